package main

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

// TestADeedOfWhichNobodySawTheEndIsUnknown: the backend has had the request, so "failed" would
// be a claim that nobody can make.
func TestADeedOfWhichNobodySawTheEndIsUnknown(t *testing.T) {
	entered := make(chan struct{}, 4)
	g := newWired(t, nil)
	cookie := g.login(t, "crm", "acme", "alice", "member")
	closes := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		conn, _, _ := http.NewResponseController(w).Hijack()
		conn.Close()
	})
	hangs := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		entered <- struct{}{}
		<-r.Context().Done()
	})
	g.script.Store(&closes)
	resp, _ := g.ask(t, "POST", "/api/contacts", `{"a":1}`, "Cookie: "+cookie, browser, "Content-Type: application/json")
	if ev := g.eventOf(t, "acme", resp.Header.Get("X-Request-Id")); resp.StatusCode != 502 || ev.Outcome != access.Unknown {
		t.Errorf("a backend that breaks off: %d, the event says %q", resp.StatusCode, ev.Outcome)
	}
	g.script.Store(&hangs)
	conn := g.dial(t, "crm.test")
	fmt.Fprintf(conn, "PUT /api/contacts/9 HTTP/1.1\r\nHost: crm.test\r\n%s\r\nCookie: %s\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}", browser, cookie)
	<-entered
	conn.Close()
	tenant, _ := access.ParseTenantID("acme")
	eventually(t, "the outcome of a write whose client left is unknown", func() bool {
		for _, ev := range g.journal.Recent(tenant, 100) {
			if ev.Request.Method == "PUT" {
				return ev.Outcome == access.Unknown
			}
		}
		return false
	})
}

// TestAFailedLoginSaysWhyInTheJournal.
func TestAFailedLoginSaysWhyInTheJournal(t *testing.T) {
	p, ca := newProvider(t)
	g := newWired(t, withProvider(p, ca))
	p.set("no", nil)
	s := g.surfer(t)
	resp, _ := s.visit(t, p.authorize(t, s.begin(t, "/")))
	if ev := g.journalled(t, resp.Header.Get("X-Request-Id")); ev.Outcome != access.Refused || !strings.Contains(fmt.Sprint(ev.Decision.Reasons), "login_invalid") {
		t.Errorf("the event is %q with %v", ev.Outcome, ev.Decision.Reasons)
	}
}

// TestStrangersDoNotOwnTheAuditDisk: callbacks that belong to no attempt are counted.
func TestStrangersDoNotOwnTheAuditDisk(t *testing.T) {
	g := newWired(t, nil)
	before := len(g.written(t))
	for range 300 {
		g.ask(t, "GET", "/.sallyport/oidc/callback?state=x&code=y", "")
	}
	if n := len(g.written(t)) - before; n > 2*120+10 {
		t.Errorf("300 forged callbacks left %d records", n)
	}
}
