package proxy

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

func noExceptions(string) spelling { return 0 }

func TestReadTargetRefusesWhatHasTwoReadings(t *testing.T) {
	for _, raw := range []string{
		"", "*", "http://crm.test/", "admin", // not the origin form
		"//admin", "/a//b", "/a/./b", "/a/../b", "/a/..", "/.", "/..", // dot and empty elements
		"/%2e%2e/admin", "/%2E%2e/admin", "/a/%2e", "/.%2e/x", // the same, encoded
		"/a%2fb", "/a%2Fb", "/a%5cb", "/a%5Cb", `/a\b`, // hidden separators
		"/public/..;/admin", "/public/;/admin", "/x;jsessionid=1", "/a%3bb", // path parameters
		"/%252e%252e/admin", "/a%252fb", "/a%25%32%66", "/a%2500", // double encoding
		"/a%00", "/a%0d%0a", "/a%7f", "/a%", "/a%2", "/a%zz", "/a%u002e", // NUL, controls, broken escapes
		"/%c0%ae%c0%ae/", "/%ff", "/%ed%a0%80", // overlong, invalid and surrogate UTF-8
		"/a#b", "/a b", "/ä", "/a\tb", "/a?b#c", "/a?b c", "/a?\x00", "/a?ä", // characters that must be encoded
		"/a?x=1;y=2", "/a?;", "/a?x=%", "/a?x=%zz", "/a?x=%00", "/a?%00=1", // odd queries
		"/a?" + strings.Repeat("x=1&", 513),
		"/" + strings.Repeat("a", maxPath), "/?" + strings.Repeat("a", maxTarget),
	} {
		if target, err := readTarget(raw, noExceptions); err == nil {
			t.Errorf("%.60q passed as %+v", raw, target)
		}
	}
}

func TestReadTargetDecodesOnce(t *testing.T) {
	for raw, want := range map[string]string{
		"/":                   "/",
		"/a/b/":               "/a/b/",
		"/a%20b":              "/a b",
		"/%61dmin":            "/admin",
		"/x%23/admin":         "/x#/admin",
		"/caf%C3%A9":          "/café",
		"/100%25":             "/100%",
		"/a{b}|c^d`e\"<f>":    "/a{b}|c^d`e\"<f>",
		"/a?x=/../../etc":     "/a",
		"/a+b":                "/a+b",
		"/...":                "/...",
		"/api/contacts/7?a=b": "/api/contacts/7",
	} {
		target, err := readTarget(raw, noExceptions)
		if err != nil || target.Path != want || target.Raw != raw {
			t.Errorf("%q: %q, %v; want %q", raw, target.Path, err, want)
		}
	}
}

func TestReadTargetExceptionsHaveOneReading(t *testing.T) {
	all := func(string) spelling { return allowSemicolon | allowEncodedSlash }
	for raw, want := range map[string]string{
		"/app/list.do;jsessionid=ABC": "/app/list.do",
		"/admin;x=1/users":            "/admin/users",
		"/files/a%2Fb":                "/files/a%2Fb",
		"/files/a%2fb":                "/files/a%2Fb",
	} {
		if target, err := readTarget(raw, all); err != nil || target.Path != want {
			t.Errorf("%q: %q, %v; want %q", raw, target.Path, err, want)
		}
	}
	for _, raw := range []string{"/a/..;/b", "/a/.;x/b", "/a/;x/b", "/a%2F..%2Fb/../c"} {
		if target, err := readTarget(raw, all); err == nil {
			t.Errorf("%q passed as %q", raw, target.Path)
		}
	}
}

func TestReadQueryKeepsOrderAndEveryPair(t *testing.T) {
	target, err := readTarget("/?a=1&b&&a=2+3&c=%26%3D&=x", noExceptions)
	want := []access.Pair{{Name: "a", Value: "1"}, {Name: "b"}, {Name: "a", Value: "2 3"}, {Name: "c", Value: "&="}, {Name: "", Value: "x"}}
	if err != nil || len(target.Query) != len(want) {
		t.Fatalf("%+v, %v", target.Query, err)
	}
	for i := range want {
		if target.Query[i] != want[i] {
			t.Errorf("pair %d = %v, want %v", i, target.Query[i], want[i])
		}
	}
}

// FuzzReadTarget: what passes has no dot elements under any decoding that a backend could
// add, and net/url agrees with our one reading.
func FuzzReadTarget(f *testing.F) {
	for _, seed := range []string{"/", "/a/b?c=d", "/%2e%2e/", "/a;b", "/a%252e", "/x?y=%zz", "//", "/{|}^"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		target, err := readTarget(raw, noExceptions)
		if err != nil {
			return
		}
		if target.Raw != raw {
			t.Fatalf("raw %q became %q", raw, target.Raw)
		}
		u, err := url.ParseRequestURI(raw)
		if err != nil {
			t.Fatalf("%q passed, but net/url says %v", raw, err)
		}
		if u.Path != target.Path {
			t.Fatalf("%q: net/url reads %q, we read %q", raw, u.Path, target.Path)
		}
		again, err := url.PathUnescape(target.Path)
		for _, path := range []string{target.Path, again} {
			if err == nil && strings.Contains("/"+path+"/", "/../") {
				t.Fatalf("%q passed with a dot element: %q", raw, path)
			}
		}
		if len(target.Query) > maxQueryPairs {
			t.Fatalf("%d pairs", len(target.Query))
		}
		values, err := url.ParseQuery(target.RawQuery)
		if err != nil {
			t.Fatalf("%q passed, but net/url says %v", raw, err)
		}
		for _, p := range target.Query {
			if p.Name == "" && p.Value == "" {
				continue
			}
			if _, ok := values[p.Name]; !ok {
				t.Fatalf("%q: net/url has no %q", raw, p.Name)
			}
		}
	})
}

func TestSanitizeRefusesOddMethodsUpgradesAndOverrides(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*http.Request)
		status int
	}{
		{"TRACE", func(r *http.Request) { r.Method = "TRACE" }, 405},
		{"CONNECT", func(r *http.Request) { r.Method = "CONNECT" }, 405},
		{"lower case", func(r *http.Request) { r.Method = "get" }, 405},
		{"an unknown verb", func(r *http.Request) { r.Method = "PROPFIND" }, 405},
		{"h2c", func(r *http.Request) { r.Header.Set("Upgrade", "h2c") }, 400},
		{"two upgrades", func(r *http.Request) { r.Header["Upgrade"] = []string{"websocket", "h2c"} }, 400},
		{"an upgrade list", func(r *http.Request) { r.Header.Set("Upgrade", "websocket, h2c") }, 400},
		{"a method override", func(r *http.Request) { r.Header.Set("X-HTTP-Method-Override", "DELETE") }, 400},
		{"a folded method override", func(r *http.Request) { r.Header["X_http_method_override"] = []string{"DELETE"} }, 400},
		{"absolute form", func(r *http.Request) { r.RequestURI = "https://crm.test/" }, 400},
		{"_method in the query", func(r *http.Request) { r.RequestURI = "/api/contacts/7?_method=DELETE" }, 400},
		{"nothing odd", func(r *http.Request) {}, 200},
	} {
		h := newHouse(t, nil)
		r := request("GET", "/api/contacts/7", "")
		c.change(r)
		w := h.do(r)
		if w.Code != c.status || (w.Code == 200) != (h.hits.Load() == 1) {
			t.Errorf("%s: %d, %d hits; want %d", c.name, w.Code, h.hits.Load(), c.status)
		}
	}
}

func TestSanitizeRemovesEverySpellingOfOurHeaders(t *testing.T) {
	h := newHouse(t, nil)
	r := request("GET", "/api/contacts/7", "")
	for _, name := range []string{"X-Tenant-Id", "x-tenant-id", "X_Tenant_ID", "X.Tenant.Id", "X-User-Id", "X_user-ID"} {
		r.Header[name] = []string{"globex"}
	}
	r.Header.Set("X-Ordinary", "stays")
	var ex *access.Exchange
	waf := h.plan.rooms.WAF.(fakeWAF)
	waf.head = func(e *access.Exchange) error { ex = e; return nil }
	h.plan.rooms.WAF = waf
	h.plan.gates = h.plan.table()
	h.plan.serve(httptest.NewRecorder(), r)
	if ex == nil {
		t.Fatal("the request did not get past locate")
	}
	for name := range ex.Request.Header {
		if folded := access.FoldName(name); folded == "x-tenant-id" || folded == "x-user-id" {
			t.Errorf("%s is still there", name)
		}
	}
	if ex.Request.Header.Get("X-Ordinary") != "stays" {
		t.Error("an ordinary header was removed")
	}
}
