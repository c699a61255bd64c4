package proxy

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/access"
)

func TestAGateThatCannotAnswerAClientWhoHasGoneIsNoOutage(t *testing.T) {
	for _, c := range []struct {
		name   string
		gone   bool
		err    error
		status int
	}{
		{"gone, and the gate gave up", true, context.Canceled, 499},
		{"gone, and the gate says unavailable", true, access.Unavailable("policy", context.Canceled), 499},
		{"gone, but the gate had decided", true, access.Refuse(http.StatusForbidden, "no", "", ""), 403},
		{"there, and the gate is out of order", false, errors.New("broken"), 503},
	} {
		h := newHouse(t, func(_ *Config, r *Rooms) {
			waf := r.WAF.(fakeWAF)
			waf.head = func(*access.Exchange) error { return c.err }
			r.WAF = waf
		})
		r := request("GET", "/api/contacts/7", "")
		if c.gone {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			r = r.WithContext(ctx)
		}
		if w := h.do(r); w.Code != c.status || h.hits.Load() != 0 {
			t.Errorf("%s: %d, want %d", c.name, w.Code, c.status)
		}
	}
}

// TestStrangersCannotFillTheJournal: whatever a stranger is refused for before anybody is known is
// counted, or each probe would be a record.
func TestStrangersCannotFillTheJournal(t *testing.T) {
	for name, change := range map[string]func(*http.Request){
		"no address":          func(r *http.Request) { r.RemoteAddr = "?" },
		"a bad forwarder":     func(r *http.Request) { r.RemoteAddr = "10.0.0.1:1"; r.Header.Set("X-Forwarded-For", "x") },
		"an odd method":       func(r *http.Request) { r.Method = "BREW" },
		"an upgrade":          func(r *http.Request) { r.Header.Set("Upgrade", "h2c") },
		"a WebSocket":         func(r *http.Request) { r.Header.Set("Upgrade", "websocket") },
		"a method override":   func(r *http.Request) { r.Header.Set("X-Http-Method-Override", "PUT") },
		"one in the query":    func(r *http.Request) { r.RequestURI = "/x?_method=PUT" },
		"an ambiguous path":   func(r *http.Request) { r.RequestURI = "/a//b" },
		"a bad query":         func(r *http.Request) { r.RequestURI = "/a?%" },
		"a long target":       func(r *http.Request) { r.RequestURI = "/" + string(make([]byte, 20_000)) },
		"a tenant twice":      func(r *http.Request) { r.RequestURI = "/a?tenant_id=a&tenant_id=b" },
		"an action twice":     func(r *http.Request) { r.RequestURI = "/deals/card.php?action=a&action=b" },
		"another host":        func(r *http.Request) { r.Host = "evil.test" },
		"a page that is none": func(r *http.Request) { r.RequestURI = "/.sallyport/x" },
		"a page's method":     func(r *http.Request) { r.RequestURI, r.Method = "/.sallyport/login", "PUT" },
		"a preflight": func(r *http.Request) {
			r.Method = "OPTIONS"
			r.Header.Set("Origin", "https://evil.test")
			r.Header.Set("Access-Control-Request-Method", "PUT")
		},
	} {
		h := newHouse(t, func(_ *Config, r *Rooms) { r.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")} })
		r := request("GET", "/api/contacts", "")
		change(r)
		if w := h.do(r); w.Code < 400 || w.Code > 499 || len(h.audit.refused) != 1 || !h.audit.refused[0].Counted {
			t.Errorf("%s: %d, %v", name, w.Code, h.audit.refused)
		}
	}
}

func TestARequestThatBecomesAStreamAfterAReloadIsAuthorizedAgain(t *testing.T) {
	streams := NewStreams()
	planned := func(policy fakePolicy) *Plan {
		return newHouse(t, func(_ *Config, r *Rooms) { r.Streams, r.Policy = streams, policy }).plan
	}
	yes := func(context.Context, *access.Exchange) (access.Decision, error) {
		return access.Decision{Allow: true}, nil
	}
	no := func(context.Context, *access.Exchange) (access.Decision, error) { return access.Decision{}, nil }
	for _, c := range []struct {
		name   string
		second *Plan
		ends   bool
	}{
		{"allowed by the new plan", planned(yes), false},
		{"refused by the new plan", planned(no), true},
		{"not judged by the new plan", planned(func(context.Context, *access.Exchange) (access.Decision, error) { panic("policy") }), true},
	} {
		first := planned(yes)
		synctest.Test(t, func(t *testing.T) {
			var g Gateway
			g.Swap(first)
			tenant, _ := access.ParseTenantID("acme")
			ex := first.mint.Receive(access.Exchange{Request: request("GET", "/api/contacts/7", ""), Received: time.Now(),
				Target: access.Target{Raw: "/api/contacts/7", Path: "/api/contacts/7"}, Identity: &access.Identity{Subject: "u1", Tenant: tenant, LoginID: "l1"}})
			young := streams.follow(ex)
			defer young.close()
			g.Swap(c.second)
			if young.ended.Load() {
				t.Errorf("%s: a young request was cut", c.name)
			}
			time.Sleep(longLived + time.Second)
			if young.ended.Load() != c.ends {
				t.Errorf("%s: ended %v", c.name, !c.ends)
			}
		})
	}
}
