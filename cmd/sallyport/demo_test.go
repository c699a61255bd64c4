package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/configs"
	"github.com/sallyport/sallyport/demo"
)

func newDemoHouse(t *testing.T) *demoHouse {
	t.Helper()
	log := &lockedBuffer{}
	h, err := startDemo(t.Context(), 0, log)
	if err != nil {
		t.Fatalf("%v\n%s", err, log)
	}
	t.Cleanup(func() {
		h.close()
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	return h
}

// TestThePrintedLinesDoWhatTheySay runs every line that the demo prints, once with a reader of
// curl's options and once with curl itself where it is installed.
func TestThePrintedLinesDoWhatTheySay(t *testing.T) {
	for _, runner := range []struct {
		name string
		run  func(*testing.T, *demoHouse, string) (int, string)
	}{{"read by the test", runLine}, {"by curl", curlLine}} {
		t.Run(runner.name, func(t *testing.T) {
			if _, err := exec.LookPath("curl"); runner.name == "by curl" && err != nil {
				t.Skip("curl is not installed")
			}
			h := newDemoHouse(t)
			f := h.facts()
			var printed bytes.Buffer
			if err := printDemo(&printed, f); err != nil {
				t.Fatal(err)
			}
			for _, l := range slices.Concat(f.Try, f.Attack) {
				status, body := runner.run(t, h, l.Line)
				var problem struct{ Code string }
				json.Unmarshal([]byte(body), &problem) // what is no problem has no code
				if status != l.Status || problem.Code != l.Code || !strings.Contains(body, l.Shows) {
					t.Errorf("%s:\n%s\ngot %d %q, want %d %q and %q in\n%s", l.Title, l.Line, status, problem.Code, l.Status, l.Code, l.Shows, body)
				}
				if !strings.Contains(printed.String(), "\n  "+l.Line+"\n") || strings.Contains(l.Line, "{url}") {
					t.Errorf("%s: the line is not printed as it is run", l.Title)
				}
			}
			for _, u := range f.Users {
				if !strings.Contains(printed.String(), u.Email+" ") || !strings.Contains(printed.String(), u.Password+" ") {
					t.Errorf("%s is not printed with a password", u.Email)
				}
			}
		})
	}
}

func TestEverybodyLogsInAsWhoTheyAre(t *testing.T) {
	h := newDemoHouse(t)
	for _, u := range h.idp.Users() {
		cookies, err := h.logIn(t.Context(), u)
		if err != nil {
			t.Errorf("%s: %v", u.Email, err)
			continue
		}
		if err := h.writeCurl("somebody", cookies); err != nil {
			t.Fatal(err)
		}
		_, body := runLine(t, h, "curl -K somebody "+h.origin+"/.sallyport/whoami")
		var who struct {
			Email, Tenant, Name string
			Roles               []string
		}
		if err := json.Unmarshal([]byte(body), &who); err != nil || who.Email != u.Email || who.Tenant != u.Tenant || who.Name != u.Name || !slices.Equal(who.Roles, []string{u.Role}) {
			t.Errorf("%s is %s (%v)", u.Email, body, err)
		}
	}
	stranger := h.idp.Users()[0]
	stranger.Password = "wrong"
	if cookies, err := h.logIn(t.Context(), stranger); err == nil {
		t.Errorf("a wrong password gave %d cookies", len(cookies))
	}
}

// TestHonestWorkIsNotRefused saves what the application holds, as it is, through every gate:
// a firewall that stops people from working would be switched off.
func TestHonestWorkIsNotRefused(t *testing.T) {
	h := newDemoHouse(t)
	client, err := h.visitor()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	client.Jar, client.CheckRedirect = nil, func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	cookie := jarCookies(t, h.path("acme-owner.jar"))
	send := func(method, path, kind, body string, want int) []byte {
		t.Helper()
		req, _ := http.NewRequestWithContext(t.Context(), method, h.origin+path, strings.NewReader(body))
		req.Header = http.Header{"Cookie": {cookie}, "Origin": {h.origin}}
		if kind != "" {
			req.Header.Set("Content-Type", kind)
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		answer, _ := io.ReadAll(res.Body)
		if res.StatusCode != want {
			t.Errorf("%s %s with %s: got %d, want %d\n%s", method, path, body, res.StatusCode, want, answer)
		}
		return answer
	}
	for _, r := range demo.Resources() {
		var list struct{ Items []map[string]string }
		if err := json.Unmarshal(send("GET", "/api/"+r.Path, "", "", 200), &list); err != nil || len(list.Items) == 0 {
			t.Fatalf("%s: %d, %v", r.Path, len(list.Items), err)
		}
		for _, item := range list.Items {
			id := item["id"]
			delete(item, "id")
			form := url.Values{}
			for k, v := range item {
				form.Set(k, v)
			}
			text, _ := json.Marshal(item)
			send("PATCH", "/api/"+r.Path+"/"+id, "application/json", string(text), 200)
			path := "/" + r.Path + "/" + id
			if r.Legacy {
				path = "/" + r.Path + "/card"
				form.Set("action", "update")
				form.Set("id", id)
			}
			send("POST", path, "application/x-www-form-urlencoded", form.Encode(), 303)
			time.Sleep(50 * time.Millisecond) // the demo's limit is 20 requests a second
		}
		send("GET", "/"+r.Path+"/export.csv", "", "", 200)
	}
	for _, path := range []string{"/", "/settings", "/billing", "/files", "/search?q=O%27Brien", "/contacts?q=Feld+%26+S%C3%B6hne", "/debug/request", "/demo/attacks", "/static/style.css"} {
		send("GET", path, "", "", 200)
	}
	boundary := "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"offer.txt\"\r\nContent-Type: text/plain\r\n\r\nOur offer: 5% off; select what you like from the list.\r\n--b--\r\n"
	send("POST", "/files", "multipart/form-data; boundary=b", boundary, 303)
}

func TestTheEventStreamIsCutByTheLogout(t *testing.T) {
	h := newDemoHouse(t)
	client, err := h.visitor()
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	client.Jar, client.Timeout = nil, 0
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	req, _ := http.NewRequestWithContext(ctx, http.MethodGet, h.origin+"/events", nil)
	req.Header.Set("Cookie", jarCookies(t, h.path("acme-leaver.jar")))
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	in := bufio.NewReader(res.Body)
	until := func(want string) {
		t.Helper()
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatalf("the stream ended before %q: %v", want, err)
			}
			if strings.Contains(line, want) {
				return
			}
		}
	}
	until("event: hello")
	if status, body := runLine(t, h, "curl -K acme-member -X PATCH -H 'Content-Type: application/json' -d '{\"title\":\"x\"}' "+h.origin+"/api/contacts/c-1003"); status != 200 {
		t.Fatalf("%d %s", status, body)
	}
	until(`"id":"c-1003"`)
	if status, body := runLine(t, h, "curl -K acme-leaver -X POST "+h.origin+"/.sallyport/logout"); status != 303 {
		t.Fatalf("%d %s", status, body)
	}
	if _, err := io.Copy(io.Discard, in); ctx.Err() != nil {
		t.Errorf("the stream goes on after the logout: %v", err)
	}
}

func TestTheDemosConfigurationIsFine(t *testing.T) {
	h := newDemoHouse(t)
	loaded, err := configs.Load(h.path("sallyport.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	for _, w := range loaded.Warnings {
		if strings.HasPrefix(w.Path, "store") {
			t.Errorf("the master key is not where it should be: %v", w)
		}
	}
	for _, name := range []string{"keys/master.key", "acme-owner.jar", "sallyport.yaml", "gateway.log"} {
		if info, err := os.Stat(h.path(name)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
	res, err := http.Get(h.facts().Ops + "/readyz")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("/readyz says %d", res.StatusCode)
	}
}

// TestTheWholeCommand reads what a program reads, does something, and ends the demo.
func TestTheWholeCommand(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := runDemo(ctx, 0, true, out, io.Discard)
		out.CloseWithError(io.EOF)
		ended <- err
	}()
	lines := json.NewDecoder(in)
	var f demoFacts
	if err := lines.Decode(&f); err != nil {
		t.Fatalf("%v; the command: %v", err, <-ended)
	}
	status, _ := runAsViewer(t, f)
	if status != http.StatusForbidden {
		t.Errorf("a viewer's change got %d", status)
	}
	for {
		var ev access.Event
		if err := lines.Decode(&ev); err != nil {
			t.Fatalf("no event of the refused change: %v", err)
		}
		if ev.Outcome == access.Refused {
			if ev.Tenant.String() != "acme" || ev.Actor.Email != "viewer@acme.example" || ev.Resource.ID != "c-1001" || ev.Action != access.ActionUpdate {
				t.Errorf("the event says %+v", ev)
			}
			break
		}
	}
	stop()
	go io.Copy(io.Discard, in)
	if err := <-ended; err != nil {
		t.Errorf("the demo ended with %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(os.Getenv("TMPDIR"), "sallyport-demo-*")); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// runAsViewer tries to change a contact with nothing but the printed facts.
func runAsViewer(t *testing.T, f demoFacts) (int, string) {
	t.Helper()
	at, err := url.Parse(f.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := netip.ParseAddrPort("127.0.0.1:" + at.Port())
	if err != nil {
		t.Fatal(err)
	}
	root, err := os.ReadFile(f.CA)
	if err != nil {
		t.Fatal(err)
	}
	client, err := clientOf(root, port)
	if err != nil {
		t.Fatal(err)
	}
	defer client.CloseIdleConnections()
	req, _ := http.NewRequestWithContext(t.Context(), http.MethodPatch, f.URL+"/api/contacts/c-1001", strings.NewReader(`{"title":"Mine"}`))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Origin", f.URL)
	req.Header.Set("Cookie", jarCookies(t, filepath.Join(f.Dir, "acme-viewer.jar")))
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, _ := io.ReadAll(res.Body)
	return res.StatusCode, string(body)
}

func TestAnEventIsOneLineThatCannotSteerTheTerminal(t *testing.T) {
	tenant, err := access.ParseTenantID("acme")
	if err != nil {
		t.Fatal(err)
	}
	events := make(chan access.Event, 3)
	ev := access.Event{
		Time: time.Date(2026, 3, 1, 12, 0, 0, 0, time.Local), Tenant: tenant, Actor: access.Actor{Email: "a@acme.example"}, Action: "update", Status: 403,
		Resource: access.Resource{Type: "contact", ID: "c-1\x1b[2J"}, Request: access.RequestInfo{Method: "PATCH", Path: "/x\n12:00 forged"},
		Outcome: access.Refused, Decision: access.DecisionInfo{Gate: "authorize", Rule: "role_lacks_permission"},
		Changes: []access.Change{{Field: "title", Old: "a", New: "b"}},
	}
	events <- ev
	ev.Outcome = access.Intended
	events <- ev
	events <- access.Event{Outcome: access.Refused}
	close(events)
	var out bytes.Buffer
	followDemo(&out, events, false)
	got := strings.Split(strings.TrimSuffix(out.String(), "\n"), "\n")
	if len(got) != 2 || strings.ContainsRune(out.String(), '\x1b') {
		t.Fatalf("got %d lines: %q", len(got), out.String())
	}
	for _, want := range []string{"12:00:00", "acme", "a@acme.example", "refused", "403", "update contact c-1?[2J", "authorize role_lacks_permission", `title: "a" → "b"`, "PATCH /x?12:00 forged"} {
		if !strings.Contains(got[0], want) {
			t.Errorf("%q is missing in %q", want, got[0])
		}
	}
	if !strings.Contains(got[1], "somebody") {
		t.Errorf("a stranger is %q", got[1])
	}
}

func TestATakenPortIsNoObstacle(t *testing.T) {
	h := newDemoHouse(t)
	taken := int(h.rt.edge.Addrs().HTTPS.Port())
	if got := freePort(taken); got != 0 {
		t.Errorf("port %d is taken, got %d", taken, got)
	}
	if _, err := startDemo(t.Context(), taken, io.Discard); err == nil || !strings.Contains(err.Error(), "--port") {
		t.Errorf("a port that was asked for and is taken: %v", err)
	}
	if got := run([]string{"demo", "--port", "70000"}, nil, io.Discard, io.Discard); got != exitUsage {
		t.Errorf("a port that does not exist: exit %d", got)
	}
}

func TestTheLinesNameEveryRoleAndTenantThatExists(t *testing.T) {
	known := map[string]bool{}
	for _, tenant := range demo.Tenants() {
		for _, role := range demo.Roles() {
			known[tenant.ID+" "+role] = true
		}
	}
	for _, p := range demoPeople {
		if !known[p.tenant+" "+p.role] {
			t.Errorf("%s is nobody: %s", p.file, fmt.Sprint(p))
		}
	}
}
