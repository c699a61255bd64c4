package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/configs"
	"github.com/sallyport/sallyport/secret"
)

// TestBrokenDependenciesOfTheWiredGateway breaks the real things one at a time and looks at
// what still answers: never a 2xx for what cannot be decided or written down, and the backend
// is not reached.
func TestBrokenDependenciesOfTheWiredGateway(t *testing.T) {
	type request struct{ method, target, body string }
	read, write, page := request{"GET", "/api/contacts/7", ""}, request{"POST", "/api/contacts", `{"a":1}`}, request{"GET", "/.sallyport/login", ""}
	logout := request{"POST", "/.sallyport/logout", ""}
	for _, c := range []struct {
		name    string
		broken  func(t *testing.T, g *wired)
		refused []request
		answers []request
	}{
		{"nothing is broken", func(*testing.T, *wired) {}, nil, []request{read, write, page, logout}},
		{"the journal's folder is gone", func(t *testing.T, g *wired) {
			dir := g.active().loaded.Tree.Audit.Dir
			segments, err := filepath.Glob(filepath.Join(dir, "*"))
			if err != nil || len(segments) == 0 {
				t.Fatal("no journal", err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(dir, nil, 0o600); err != nil { // a file stands where the folder was
				t.Fatal(err)
			}
			// The first write after that may still find its open file; the journal must notice.
			eventually(t, "the journal notices", func() bool {
				resp, _ := g.ask(t, "POST", "/api/contacts", `{}`, "Cookie: "+g.login(t, "crm", "acme", "probe", "member"), browser, "Content-Type: application/json")
				g.took()
				return resp.StatusCode == http.StatusServiceUnavailable
			})
		}, []request{write}, []request{read, page, logout}},
		{"the WAF is closed", func(_ *testing.T, g *wired) { g.active().waf.Close() }, []request{read, write, page, logout}, nil},
		{"the database is closed", func(t *testing.T, g *wired) {
			if err := g.db.Close(); err != nil {
				t.Fatal(err)
			}
			// An instance that has lost sight of the list of ended sessions for more than 5 s
			// refuses everybody but on the login pages.
			eventually(t, "the list is stale", func() bool {
				resp, _ := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+g.staleCookie)
				g.took()
				return resp.StatusCode == http.StatusServiceUnavailable
			})
		}, []request{read, write}, []request{page}},
	} {
		t.Run(c.name, func(t *testing.T) {
			g := newWired(t, nil)
			cookie := g.login(t, "crm", "acme", "alice", "member")
			g.staleCookie = cookie
			c.broken(t, g)
			ask := func(r request) (*http.Response, string) {
				header := []string{"Cookie: " + cookie, browser}
				if r.body != "" {
					header = append(header, "Content-Type: application/json")
				} else if r.method == "POST" {
					header = append(header, "Content-Length: 0")
				}
				return g.ask(t, r.method, r.target, r.body, header...)
			}
			for _, r := range c.refused {
				if resp, body := ask(r); resp.StatusCode != http.StatusServiceUnavailable || len(g.took()) != 0 {
					t.Errorf("%s %s: %d %s; want 503 and nothing at the backend", r.method, r.target, resp.StatusCode, body)
				}
			}
			for _, r := range c.answers {
				if resp, body := ask(r); resp.StatusCode >= 400 {
					t.Errorf("%s %s: %d %s; want an answer", r.method, r.target, resp.StatusCode, body)
				}
			}
		})
	}
}

func TestADeadBackendIsNoOpenDoorAndNoCrash(t *testing.T) {
	g := newWired(t, func(text string) string {
		i := strings.Index(text, `upstreams: ["`)
		j := strings.Index(text[i:], `"]`)
		return text[:i] + `upstreams: ["http://127.0.0.1:1` + text[i+j:]
	})
	cookie := "Cookie: " + g.login(t, "crm", "acme", "alice", "member")
	for _, method := range []string{"GET", "POST"} {
		resp, body := g.ask(t, method, "/api/contacts", map[string]string{"GET": "", "POST": "{}"}[method], cookie, browser, "Content-Type: application/json")
		if resp.StatusCode != http.StatusBadGateway || code(body) == "?" {
			t.Errorf("%s: %d %s", method, resp.StatusCode, body)
		}
	}
}

func TestADeadProviderIsSaidSo(t *testing.T) {
	g := newWired(t, nil)
	resp, body := g.ask(t, "POST", "/.sallyport/login", "email=alice%40acme.test&return=%2F", browser, "Content-Type: application/x-www-form-urlencoded", "Origin: https://crm.test")
	if resp.StatusCode < 500 || strings.Contains(body, "idp.invalid") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if resp, _ := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+g.login(t, "crm", "acme", "alice", "viewer")); resp.StatusCode != 200 {
		t.Errorf("a dead provider ends sessions: %d", resp.StatusCode)
	}
}

func TestAStartThatFailsSaysWhy(t *testing.T) {
	t.Setenv("SALLYPORT_WIRED_KEY", secret.NewMasterKey().Text().Reveal())
	dir := t.TempDir()
	text := strings.Replace(fmt.Sprintf(wiredConfig, dir, "https://127.0.0.1:1"), `client_secret: "env:SALLYPORT_WIRED_KEY"`, `client_secret: "env:SALLYPORT_NOT_SET"`, 1)
	loaded, err := configs.Parse("sallyport.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if rt, err := newRuntime(t.Context(), loaded, io.Discard); err == nil || rt != nil || !strings.Contains(err.Error(), "SALLYPORT_NOT_SET") {
		t.Errorf("%v, %v", rt, err)
	}
}
