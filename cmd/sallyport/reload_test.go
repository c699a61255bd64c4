package main

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/configs"
)

// eventually polls, since a change of a file arrives when the system says so.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("it did not happen: %s", what)
}

func (g *wired) ops(t *testing.T, path string) string {
	t.Helper()
	client := &http.Client{Timeout: 10 * time.Second}
	resp, err := client.Get("http://" + g.edge.Addrs().Ops.String() + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return string(b)
}

// rename puts a new file in the place of the configuration, as deployments do.
func (g *wired) rename(t *testing.T, text string) {
	t.Helper()
	next := filepath.Join(filepath.Dir(g.file), "next")
	if err := os.WriteFile(next, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(next, g.file); err != nil {
		t.Fatal(err)
	}
}

func TestReload(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "viewer")
	text, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	old := g.active().hash()
	ask := func(target string) (int, string) {
		resp, body := g.ask(t, "GET", target, "", alice)
		g.took()
		return resp.StatusCode, body
	}
	if status, _ := ask("/new/thing"); status != 200 {
		t.Fatalf("before: %d", status)
	}
	for _, where := range []string{"/readyz", "/metrics"} {
		if !strings.Contains(g.ops(t, where), old) {
			t.Errorf("%s does not show the hash %s", where, old)
		}
	}

	// An atomic rename is taken over; the session survives, and what the file says now holds.
	g.rename(t, strings.Replace(string(text), "        - {type: contact,", "        - {type: invoice, path: \"/new/{id}\"}\n        - {type: contact,", 1))
	eventually(t, "a new plan", func() bool { return g.active().hash() != old })
	if status, body := ask("/new/thing"); status != 403 {
		t.Errorf("after: %d %s", status, body)
	}
	if status, body := ask("/api/contacts/7"); status != 200 {
		t.Errorf("the session is gone: %d %s", status, body)
	}
	changed := g.active().hash()
	for _, where := range []string{"/readyz", "/metrics"} {
		if got := g.ops(t, where); !strings.Contains(got, changed) || strings.Contains(got, old) {
			t.Errorf("%s does not show the hash %s alone", where, changed)
		}
	}

	// A broken file is not: the old one goes on, and says so.
	g.rename(t, strings.Replace(string(text), "ratelimit:", "ratelimits:", 1))
	eventually(t, "a report of the broken file", func() bool { return strings.Contains(g.ops(t, "/readyz"), "ratelimits") })
	if g.active().hash() != changed {
		t.Error("a broken file was taken over")
	}
	if status, _ := ask("/new/thing"); status != 403 {
		t.Errorf("under a broken file: %d", status)
	}
	if !strings.Contains(g.ops(t, "/metrics"), `sallyport_reloads_total{result="failed"} 1`) {
		t.Error("the failed reload is not counted")
	}

	// And the mended one is again.
	g.rename(t, string(text))
	eventually(t, "the first plan again", func() bool { return g.active().hash() == old })
	eventually(t, "health again", func() bool { return !strings.Contains(g.ops(t, "/readyz"), "ratelimits") })
}

func TestReloadByAnotherLinkBesideTheFile(t *testing.T) {
	// Kubernetes mounts a folder with a link to a folder that it swaps.
	g := newWired(t, nil)
	text, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	old, dir := g.active().hash(), filepath.Dir(g.file)
	for i, content := range []string{string(text), string(text) + "\n# changed\n"} {
		target := filepath.Join(dir, []string{"v1", "v2"}[i])
		if err := os.Mkdir(target, 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(target, "sallyport.yaml"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(dir, "next")
		if err := os.Symlink(target, link); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(link, filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.Symlink(filepath.Join(dir, "data", "sallyport.yaml"), link); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(link, g.file); err != nil {
				t.Fatal(err)
			}
		}
	}
	eventually(t, "a new plan", func() bool { return g.active().hash() != old })
}

func TestAChangeBeforeTheWatchingBeganIsSeen(t *testing.T) {
	file := filepath.Join(t.TempDir(), "sallyport.yaml")
	if err := os.WriteFile(file, []byte("changed"), 0o600); err != nil {
		t.Fatal(err)
	}
	for served, want := range map[string]bool{"before": true, "changed": false} {
		ctx, stop := context.WithTimeout(t.Context(), 4*settle)
		reloaded := false
		err := watchFile(file, slog.New(slog.DiscardHandler)).changes(ctx, configs.Hash([]byte(served)), func(string) {
			reloaded = true
			stop()
		})
		stop()
		if err != nil || reloaded != want {
			t.Errorf("serving what was %s: reloaded %v, %v", served, reloaded, err)
		}
	}
}

// TestWhatARoleMayChangesWithTheNextRequest is row P09 of the attack table, as far as the file
// decides: what a role may do is asked anew with each request. Which roles somebody has comes
// from the identity provider at the login, and lasts for session.refresh at most.
func TestWhatARoleMayChangesWithTheNextRequest(t *testing.T) {
	g := newWired(t, nil)
	vera := "Cookie: " + g.login(t, "crm", "acme", "vera", "viewer")
	if resp, body := g.ask(t, "GET", "/api/contacts/7", "", vera); resp.StatusCode != 200 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	old := g.active().hash()
	text, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	g.rename(t, strings.Replace(string(text), "areas: {invoice: billing}", "areas: {invoice: billing, contact: billing}", 1))
	eventually(t, "a new plan", func() bool { return g.active().hash() != old })
	g.took()
	if resp, body := g.ask(t, "GET", "/api/contacts/7", "", vera); resp.StatusCode != 403 || len(g.took()) != 0 {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}
