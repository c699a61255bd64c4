// Tells what others change while the page is open. Everything works without it.
"use strict";
(() => {
  const line = document.getElementById("live");
  if (!line || !window.EventSource) return;
  const stream = new EventSource("/events");
  const say = (state, text) => { line.dataset.state = state; line.hidden = !text; line.textContent = text; };
  stream.addEventListener("hello", () => say("open", ""));
  stream.addEventListener("change", (e) => {
    const n = JSON.parse(e.data);
    const done = { create: "created", update: "changed", delete: "deleted" }[n.action] || n.action;
    say("open", `${n.by || "Somebody"} ${done} ${n.type} “${n.name || n.id}”`);
  });
  stream.addEventListener("error", () => say(stream.readyState === EventSource.CLOSED ? "closed" : "lost",
    "Live updates have stopped. Reload the page; you may need to sign in again."));
  addEventListener("pagehide", () => stream.close());
})();
