package proxy

import (
	"crypto/tls"
	"net/http"
	"testing"

	"github.com/sallyport/sallyport/access"
)

// located walks a request through the first gates and gives its Exchange.
func located(h *house, r *http.Request) (*access.Exchange, error) {
	ex := h.plan.mint.Receive(access.Exchange{Request: r, Body: access.Body{Present: r.Body != nil && r.Body != http.NoBody}})
	for _, g := range h.plan.gates[:4] {
		if err := g.pass(ex); err != nil {
			return ex, err
		}
	}
	return ex, nil
}

func TestLocateGivesEveryAddressItsMeaning(t *testing.T) {
	h := newHouse(t, nil)
	for _, c := range []struct {
		method, target, body string
		want                 string // class resource id action, ! when mutating
	}{
		{"GET", "/static/app.css", "", "public asset  read"},
		{"POST", "/static/app.css", "a=1", "app other  create!"},
		{"GET", "/api/contacts", "", "app contact  read"},
		{"HEAD", "/api/contacts/", "", "app contact  read"},
		{"POST", "/api/contacts", "a=1", "app contact  create!"},
		{"GET", "/api/contacts/7", "", "app contact 7 read"},
		{"PATCH", "/api/contacts/7", "a=1", "app contact 7 update!"},
		{"PUT", "/api/contacts/7", "a=1", "app contact 7 update!"},
		{"POST", "/api/contacts/7", "a=1", "app contact 7 update!"},
		{"DELETE", "/api/contacts/7", "", "app contact 7 delete!"},
		{"GET", "/api/%63ontacts/7", "", "app contact 7 read"},
		{"GET", "/api/contacts/7/notes", "", "app other  read"},
		{"DELETE", "/api/contacts/7/notes", "", "app other  delete!"},
		{"POST", "/api/search", "q=1", "app search  read"},
		{"PUT", "/api/search", "q=1", "app search  update!"},
		{"GET", "/deals/card.php?id=3", "", "app deal 3 read"},
		{"GET", "/deals/card.php?id=3&action=view", "", "app deal 3 read"},
		{"GET", "/deals/card.php?id=3&action=confirm_delete", "", "app deal 3 delete!"},
		{"GET", "/deals/card.php?id=3&action=something", "", "app deal 3 unknown!"},
		{"POST", "/deals/card.php?id=3", "action=view", "app deal 3 unknown!"},
		{"POST", "/deals/card.php?id=3&action=view", "x=1", "app deal 3 read!"},
		{"POST", "/acme/", `{}`, "app model  unknown!"},
		{"GET", "/anything/else", "", "app other  read"},
		{"POST", "/anything/else", "a=1", "app other  create!"},
		{"GET", "/.sallyport/login", "", "portal sallyport  "},
		{"HEAD", "/.sallyport/login", "", "portal sallyport  "},
	} {
		ex, err := located(h, request(c.method, c.target, c.body))
		if err != nil {
			t.Errorf("%s %s: %v", c.method, c.target, err)
			continue
		}
		got := ex.Route.Class.String() + " " + ex.Route.Resource + " " + ex.Route.ID + " " + ex.Route.Action
		if ex.Mutating() {
			got += "!"
		}
		if got != c.want {
			t.Errorf("%s %s: %q, want %q", c.method, c.target, got, c.want)
		}
	}
}

func TestLocateRefuses(t *testing.T) {
	for _, c := range []struct {
		name   string
		r      func() *http.Request
		status int
	}{
		{"an unknown host", func() *http.Request {
			r := request("GET", "/", "")
			r.Host = "evil.test"
			r.TLS = &tls.ConnectionState{}
			return r
		}, 421},
		{"a host with the name as its suffix", func() *http.Request {
			r := request("GET", "/", "")
			r.Host = "crm.test.evil"
			r.TLS = &tls.ConnectionState{}
			return r
		}, 421},
		{"a server name that does not fit the host", func() *http.Request { r := request("GET", "/", ""); r.Host = "alias.test"; return r }, 421},
		{"an empty host", func() *http.Request { r := request("GET", "/", ""); r.Host = ""; return r }, 421},
		{"cleartext", func() *http.Request { r := request("GET", "/", ""); r.TLS = nil; return r }, 403},
		{"an unknown page of ours", func() *http.Request { return request("GET", "/.sallyport/nothing", "") }, 404},
		{"the bare prefix", func() *http.Request { return request("GET", "/.sallyport", "") }, 404},
		{"a wrong method on a page of ours", func() *http.Request { return request("DELETE", "/.sallyport/login", "") }, 405},
		{"an action given twice", func() *http.Request { return request("GET", "/deals/card.php?action=view&action=confirm_delete", "") }, 400},
		{"an action in another spelling", func() *http.Request { return request("GET", "/deals/card.php?Action=view", "") }, 400},
		{"an action as an array", func() *http.Request { return request("GET", "/deals/card.php?action[]=confirm_delete", "") }, 400},
		{"a tenant given twice", func() *http.Request { return request("GET", "/x?tenant_id=acme&tenant_id=globex", "") }, 400},
		{"a tenant given twice in two spellings", func() *http.Request { return request("GET", "/x?tenant_id=acme&Tenant.Id[]=globex", "") }, 400},
		{"a WebSocket where they are off", func() *http.Request {
			r := request("GET", "/live", "")
			r.Header.Set("Upgrade", "websocket")
			r.Header.Set("Connection", "Upgrade")
			return r
		}, 403},
	} {
		h := newHouse(t, nil)
		if w := h.do(c.r()); w.Code != c.status || h.hits.Load() != 0 {
			t.Errorf("%s: %d, %d hits; want %d", c.name, w.Code, h.hits.Load(), c.status)
		}
	}
}

func TestHostNamesAreComparedWithoutPortAndCase(t *testing.T) {
	for host, want := range map[string]string{"CRM.test:8443": "crm.test", "crm.test": "crm.test", "[::1]:443": "::1", "[::1]": "::1", "127.0.0.1:8443": "127.0.0.1"} {
		if got := hostName(host); got != want {
			t.Errorf("hostName(%q) = %q, want %q", host, got, want)
		}
	}
}

func TestPreflightIsAnsweredHere(t *testing.T) {
	for _, c := range []struct {
		origin string
		status int
	}{{"https://app.example.com", 204}, {"https://evil.example.com", 403}, {"https://app.example.com.evil", 403}, {"null", 403}} {
		h := newHouse(t, func(cfg *Config, _ *Rooms) { cfg.Sites[0].CORS.Origins = []string{"https://app.example.com"} })
		r := request("OPTIONS", "/api/contacts", "")
		r.Header.Set("Origin", c.origin)
		r.Header.Set("Access-Control-Request-Method", "POST")
		r.Header.Set("Sec-Fetch-Site", "cross-site")
		w := h.do(r)
		if w.Code != c.status || h.hits.Load() != 0 {
			t.Errorf("%s: %d, %d hits; want %d", c.origin, w.Code, h.hits.Load(), c.status)
		}
		if got := w.Header().Get("Access-Control-Allow-Origin"); (got == c.origin) != (c.status == 204) {
			t.Errorf("%s: Access-Control-Allow-Origin %q", c.origin, got)
		}
	}
}

func TestPatterns(t *testing.T) {
	for _, c := range []struct {
		pattern, path string
		want          bool
	}{
		{"/", "/", true}, {"/", "/a", false},
		{"/a", "/a", true}, {"/a", "/a/", false}, {"/a", "/ab", false}, {"/a", "/", false},
		{"/a/", "/a/", true}, {"/a/", "/a", false},
		{"/a/{id}", "/a/7", true}, {"/a/{id}", "/a/", false}, {"/a/{id}", "/a/7/8", false},
		{"/a/*/c", "/a/b/c", true}, {"/a/*/c", "/a/b", false},
		{"/s/**", "/s/", true}, {"/s/**", "/s/a/b", true}, {"/s/**", "/s", true}, {"/s/**", "/sx", false},
		{"/**", "/", true}, {"/**", "/a/b", true}, {"/{db}/", "/crm/", true}, {"/{db}/", "/crm/bus", false},
	} {
		p, err := parsePattern(c.pattern)
		if err != nil {
			t.Fatal(err)
		}
		if _, got := p.match(c.path); got != c.want {
			t.Errorf("%s on %s: %v, want %v", c.pattern, c.path, got, c.want)
		}
	}
	for _, bad := range []string{"", "a", "/a//b", "/**/a", "/a{b}", "/{}", "/{a}/{a}", "/a*"} {
		if _, err := parsePattern(bad); err == nil {
			t.Errorf("pattern %q is accepted", bad)
		}
	}
}

// FuzzLocate: any target is refused or gets a class; nothing in between panics.
func FuzzLocate(f *testing.F) {
	for _, seed := range []string{"/", "/api/contacts/7", "/deals/card.php?action=view", "/t/acme/reports/", "/.sallyport/", "/static"} {
		f.Add("GET", seed)
		f.Add("POST", seed)
	}
	h := newHouse(f, nil)
	f.Fuzz(func(t *testing.T, method, target string) {
		r := request("GET", "/", "")
		r.Method, r.RequestURI = method, target
		ex, err := located(h, r)
		if err == nil && (ex.Route.Class == access.NoClass || ex.Route.ReadOnly && method != "GET" && method != "HEAD" && method != "OPTIONS" && ex.Route.Resource != "search" && ex.Route.Resource != "deal") {
			t.Fatalf("%s %q: %+v", method, target, ex.Route)
		}
	})
}
