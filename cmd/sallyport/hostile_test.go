package main

import (
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	asForm  = "Content-Type: application/x-www-form-urlencoded"
	asJSON  = "Content-Type: application/json"
	asParts = "Content-Type: multipart/form-data; boundary=x"
)

// events are the lines of the journal that hold the text.
func (g *wired) events(t *testing.T, text string) (found []string) {
	t.Helper()
	dir := g.active().loaded.Tree.Audit.Dir
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		for line := range strings.SplitSeq(string(b), "\n") {
			if strings.Contains(line, text) {
				found = append(found, line)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

func TestTheFieldMethodDecidesWhereTheSiteHasItAndNowhereElse(t *testing.T) {
	const part = "--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--x--\r\n"
	const late = "--x\r\nContent-Disposition: form-data; name=\"f\"; filename=\"a\"\r\n\r\nx\r\n--x\r\nContent-Disposition: form-data; name=\"_method\"\r\n\r\nDELETE\r\n--x--\r\n"
	for _, allowed := range []bool{false, true} {
		g := newWired(t, func(text string) string {
			text = strings.Replace(text, "      bodies:\n", "      bodies:\n        - {path: \"/api/uploads/**\", types: [multipart/form-data], stream: true}\n", 1)
			return strings.Replace(text, "      cookies:", fmt.Sprintf("      method_override: %v\n      cookies:", allowed), 1)
		})
		member, viewer := "Cookie: "+g.login(t, "crm", "acme", "max", "member"), "Cookie: "+g.login(t, "crm", "acme", "vera", "viewer")
		admin := "Cookie: " + g.login(t, "crm", "acme", "ada", "admin")
		for _, c := range []struct {
			name, who, method, target, kind, body string
			status                                int    // where the site has it; elsewhere 400
			action                                string // in the journal
		}{
			{"an admin deletes by a form", admin, "POST", "/api/contacts/7", asForm, "_method=delete&x=1", 200, `"delete"`},
			{"an admin deletes by a form with a file", admin, "POST", "/api/contacts/7", asParts, part, 200, `"delete"`},
			{"a member updates by a form", member, "POST", "/api/contacts/7", asForm, "_method=PATCH&x=1", 200, `"update"`},
			{"a viewer does not", viewer, "POST", "/api/contacts/7", asForm, "_method=patch&x=1", 403, ""},
			{"an unlisted address", admin, "POST", "/things/7", asForm, "_method=delete", 200, `"delete"`},
			{"a read that would delete", viewer, "POST", "/api/contacts/7", asForm, "_method=delete", 403, ""},
			{"twice", admin, "POST", "/api/contacts/7", asForm, "_method=patch&_method=delete", 400, ""},
			{"in another spelling", admin, "POST", "/api/contacts/7", asForm, "_Method=delete", 400, ""},
			{"with PHP's space", admin, "POST", "/api/contacts/7", asForm, "+_method=delete", 400, ""},
			{"with PHP's dot", admin, "POST", "/api/contacts/7", asForm, ".method=delete", 400, ""},
			{"as a list", admin, "POST", "/api/contacts/7", asForm, "_method[]=delete", 400, ""},
			{"in JSON", admin, "POST", "/api/contacts/7", asJSON, `{"_method":"delete"}`, 400, ""},
			{"in the query", admin, "POST", "/api/contacts/7?_method=delete", asForm, "x=1", 400, ""},
			{"in a PUT", admin, "PUT", "/api/contacts/7", asForm, "_method=delete", 400, ""},
			{"behind a file that streams", admin, "POST", "/api/uploads/7", asParts, late, 400, ""},
			{"in an address whose action is a parameter", admin, "POST", "/deals/card.php", asForm, "action=confirm_delete&id=1&_method=put", 400, ""},
		} {
			t.Run(fmt.Sprintf("%s, site %v", c.name, allowed), func(t *testing.T) {
				want := c.status
				if !allowed {
					want = 400
				}
				resp, body := g.ask(t, c.method, c.target, c.body, c.who, browser, c.kind)
				// A stream is judged as it passes, and is broken off before the field.
				got := slices.DeleteFunc(g.took(), func(s seen) bool {
					return strings.Contains(s.Target, "uploads") && !strings.Contains(s.Body, "DELETE")
				})
				if resp.StatusCode != want || (want == 200) != (len(got) == 1) {
					t.Fatalf("%d, want %d: %s; the backend saw %+v", resp.StatusCode, want, body, got)
				}
				if want == 200 {
					lines := g.events(t, resp.Header.Get("X-Request-Id"))
					if len(lines) == 0 || !strings.Contains(strings.Join(lines, ""), c.action) {
						t.Errorf("the journal has %v, want %s", lines, c.action)
					}
				}
			})
		}
	}
}

func TestAnotherTenantInEverySpellingOfEveryFramework(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "admin")
	part := func(disposition, value string) string {
		return "--x\r\nContent-Disposition: " + disposition + "\r\n\r\n" + value + "\r\n--x--\r\n"
	}
	const post, target = "POST", "/api/contacts"
	for _, c := range []struct{ name, method, target, kind, body string }{
		{"query: nested (PHP, Rails, qs)", "GET", target + "?filter[tenant_id]=globex", "", ""},
		{"query: nested deeper", "GET", target + "?a[b][tenant_id]=globex", "", ""},
		{"query: dotted (ASP.NET, Spring)", "GET", target + "?filter.tenant_id=globex", "", ""},
		{"query: an operator (qs, Mongo)", "GET", target + "?tenant_id[$ne]=acme", "", ""},
		{"query: a lookup (Django)", "GET", target + "?tenant_id__in=globex", "", ""},
		{"query: an exclamation mark", "GET", target + "?tenant_id!=acme", "", ""},
		{"query: NUL", "GET", target + "?tenant_id%00=globex", "", ""},
		{"query: a space behind", "GET", target + "?tenant_id%20=globex", "", ""},
		{"query: a space before (PHP)", "GET", target + "?+tenant_id=globex", "", ""},
		{"query: an open bracket (PHP)", "GET", target + "?tenant%5Bid=globex", "", ""},
		{"query: encoded twice", "GET", target + "?tenant%255fid=globex", "", ""},
		{"query: without a value, then with one", "GET", target + "?tenant_id&tenant_id=globex", "", ""},
		{"query: the own one first", "GET", target + "?tenant_id=acme&tenant_id=globex", "", ""},
		{"query: a dotless i", "GET", target + "?tenant_%C4%B1d=globex", "", ""},
		{"query: IIS's escapes", "GET", target + "?%u0074enant_id=globex", "", ""},
		{"query: of a public address", "GET", "/public/a?tenant_id=globex", "", ""},
		{"query: of a write", post, target + "?x[tenant_id]=globex", asJSON, `{}`},
		{"path: a slash at the end", "GET", "/t/globex/records/1/", "", ""},
		{"path: another case", "GET", "/T/globex/Records/1", "", ""},
		{"path: another case of the own tenant", "GET", "/t/ACME/records/1", "", ""},
		{"path: below the listed one", "GET", "/t/globex/records/1/history", "", ""},
		{"path: beside the listed one", "GET", "/t/globex/exports", "", ""},
		{"path: behind the framework's script", "GET", "/index.php/t/globex/records/1", "", ""},
		{"path: a letter escaped", "GET", "/%74/globex/records/1", "", ""},
		{"form: nested", post, target, asForm, "filter[tenant_id]=globex"},
		{"form: NUL", post, target, asForm, "tenant_id%00=globex"},
		{"form: a space before", post, target, asForm, "+tenant_id=globex"},
		{"form: encoded twice", post, target, asForm, "tenant%255fid=globex"},
		{"form: JSON in a field", post, target, asForm, "q=%7B%22tenant_id%22%3A%22globex%22%7D"},
		{"form: JSON that curl calls a form", post, target, asForm, `{"tenant_id":"globex"}`},
		{"form: in UTF-16", post, target, asForm + "; charset=utf-16", "\xfe\xff\x00t"},
		{"form: of a GET", "GET", target, asForm, "tenant_id=globex"},
		{"JSON: a mark before it", post, target, asJSON, "\ufeff" + `{"tenant_id":"globex"}`},
		{"JSON: in UTF-16", post, target, asJSON, "{\x00\"\x00t\x00"},
		{"JSON: in UTF-16 by name", post, target, asJSON + "; charset=utf-16", `{}`},
		{"JSON: a dotless i", post, target, asJSON, "{\"tenant_\u0131d\":\"globex\"}"},
		{"JSON: a dotted key", post, target, asJSON, `{"$set":{"a.tenant_id":"globex"}}`},
		{"JSON: an operator", post, target, asJSON, `{"tenant_id":{"$ne":"acme"}}`},
		{"JSON: with comments", post, target, asJSON, `{/**/"tenant_id":"globex"}`},
		{"JSON: in a text", post, "/api/notes", "Content-Type: text/plain", ` {"tenant_id":"globex"}`},
		{"JSON: without a type", post, target, "", `{"tenant_id":"globex"}`},
		{"JSON: with two types", post, target, asJSON + "\r\nContent-Type: text/plain", `{}`},
		{"JSON: with a type of two names", post, target, "Content-Type: application/json, text/plain", `{}`},
		{"XML", post, target, "Content-Type: application/xml", `<tenant_id>globex</tenant_id>`},
		{"multipart: without quotes", post, target, asParts, part(`form-data; name=tenant_id`, "globex")},
		{"multipart: an extended name", post, target, asParts, part(`form-data; name*=utf-8''tenant%5Fid`, "globex")},
		{"multipart: two names", post, target, asParts, part(`form-data; name="a"; name="tenant_id"`, "globex")},
		{"multipart: with a file name", post, target, asParts, part(`form-data; name="tenant_id"; filename="x"`, "globex")},
		{"multipart: nested", post, target, asParts, part(`form-data; name="a[tenant_id]"`, "globex")},
		{"multipart: another boundary", post, target, "Content-Type: multipart/form-data; boundary=x; boundary=y", part(`form-data; name="a"`, "b")},
	} {
		header := []string{alice, browser}
		if c.kind != "" {
			header = append(header, c.kind)
		}
		resp, body := g.ask(t, c.method, c.target, c.body, header...)
		if got := g.took(); resp.StatusCode < 400 || resp.StatusCode > 499 || len(got) != 0 {
			t.Errorf("%s: %d %s, the backend saw %+v", c.name, resp.StatusCode, body, got)
		}
	}
	for _, target := range []string{"/api/contacts?tenant_id=acme", "/api/contacts?filter[tenant_id]=acme", "/t/acme/records/1/history", "/public/a?v=globex"} {
		resp, body := g.ask(t, "GET", target, "", alice)
		if got := g.took(); resp.StatusCode != 200 || len(got) != 1 {
			t.Errorf("%s: %d %s", target, resp.StatusCode, body)
		}
	}
}

func TestNoAddressLeadsAroundTheRulesOfAListedOne(t *testing.T) {
	g := newWired(t, nil)
	viewer := "Cookie: " + g.login(t, "crm", "acme", "vera", "viewer")
	for _, c := range []struct{ method, target, kind, body string }{
		{"GET", "/billing/1/", "", ""}, {"GET", "/BILLING/1", "", ""}, {"GET", "/billing/1.json", "", ""}, {"GET", "/billing.json", "", ""},
		{"GET", "/billing%20/1", "", ""}, {"GET", "/billing./1", "", ""}, {"GET", "/index.php/billing/1", "", ""}, {"GET", "/Index.php/Billing/1", "", ""},
		{"HEAD", "/Billing/1/", "", ""}, {"OPTIONS", "/Billing/1/", "", ""},
		{"GET", "/deals/card.php/x?action=confirm_delete&id=1", "", ""}, {"GET", "/Deals/Card.php?action=confirm_delete&id=1", "", ""},
		{"GET", "/deals/card.php?id=1&action=confirm_delete&action=view", "", ""}, {"GET", "/deals/card.php?action[]=confirm_delete", "", ""},
		{"GET", "/deals/card.php?Action=confirm_delete", "", ""}, {"GET", "/deals/card.php?+action=confirm_delete", "", ""},
		{"GET", "/deals/card.php?action=VIEW", "", ""}, {"GET", "/deals/card.php?action=view%20", "", ""},
		{"POST", "/deals/card.php?action=view", asForm, "action=confirm_delete"}, {"POST", "/deals/card.php", asForm, "action=view&action=confirm_delete"},
		{"POST", "/deals/card.php?action=view", asJSON, `{"action":"confirm_delete"}`}, {"POST", "/deals/card.php", asForm, "action[0]=confirm_delete"},
		{"POST", "/deals/card.php", asForm, "Action=confirm_delete&action=view"}, {"POST", "/deals/card.php?action=confirm_delete", "", ""},
		{"POST", "/rpc/", asJSON, `{"method":"drop"}`}, {"POST", "/rpc/", asJSON, `{"method":"read","Method":"drop"}`},
		{"POST", "/rpc/", asJSON, `[{"method":"read"},{"method":"drop"}]`}, {"POST", "/rpc/", asJSON, `{"method":"read ","params":[]}`},
		{"POST", "/rpc", asJSON, `{"method":"read"}`}, {"POST", "/RPC/", asJSON, `{"method":"drop"}`}, {"PUT", "/rpc/", asJSON, `{"method":"drop"}`},
		{"GET", "/rpc/", asJSON, `{"method":"drop"}`}, {"GET", "/rpc/?method=drop", "", ""}, {"POST", "/rpc/", asForm, `method=drop`},
	} {
		header := []string{viewer, browser}
		if c.kind != "" {
			header = append(header, c.kind)
		}
		resp, body := g.ask(t, c.method, c.target, c.body, header...)
		if got := g.took(); resp.StatusCode < 400 || resp.StatusCode > 499 || len(got) != 0 {
			t.Errorf("%s %s %s: %d %s, the backend saw %+v", c.method, c.target, c.body, resp.StatusCode, body, got)
		}
	}
	for _, c := range []struct{ method, target, kind, body string }{
		{"GET", "/deals/card.php?action=view&id=1", "", ""}, {"GET", "/deals/card.php/x?id=1", "", ""}, {"GET", "/api/contacts/7/", "", ""}, {"POST", "/rpc/", asJSON, `{"method":"read"}`},
	} {
		resp, body := g.ask(t, c.method, c.target, c.body, viewer, browser, c.kind+"\r\nX-A: b")
		if got := g.took(); resp.StatusCode != 200 || len(got) != 1 {
			t.Errorf("%s %s: %d %s", c.method, c.target, resp.StatusCode, body)
		}
	}
}

// TestEveryChangeIsInTheJournalBeforeTheBackendSeesIt sends what may change something in every
// shape, and looks for the intent under the id that the backend was told.
func TestEveryChangeIsInTheJournalBeforeTheBackendSeesIt(t *testing.T) {
	g := newWired(t, nil)
	owner := "Cookie: " + g.login(t, "crm", "acme", "olga", "owner")
	passed := 0
	for _, c := range []struct{ method, target, kind, body string }{
		{"POST", "/api/contacts", asJSON, `{}`}, {"POST", "/api/contacts", "Content-Length: 0", ""}, {"POST", "/api/contacts", "Transfer-Encoding: chunked", ""},
		{"PUT", "/api/contacts/7", asForm, "a=1"}, {"PATCH", "/api/contacts/7", asJSON, `{}`}, {"DELETE", "/api/contacts/7", "X-A: b", ""}, {"DELETE", "/api/contacts/7", asJSON, `{}`},
		{"POST", "/public/a", asForm, "a=1"}, {"DELETE", "/public/a", "X-A: b", ""}, {"POST", "/unlisted", asForm, "a=1"}, {"DELETE", "/unlisted/x", "X-A: b", ""},
		{"GET", "/deals/card.php?action=confirm_delete", "X-A: b", ""}, {"HEAD", "/deals/card.php?action=confirm_delete", "X-A: b", ""}, {"GET", "/deals/card.php?action=new_one", "X-A: b", ""},
		{"GET", "/deals/card.php/x?action=confirm_delete", "X-A: b", ""}, {"POST", "/deals/card.php", asForm, "action=confirm_delete"}, {"POST", "/deals/card.php", asForm, "x=1"},
		{"POST", "/rpc/", asJSON, `{"method":"drop"}`}, {"POST", "/rpc", asJSON, `{"method":"read"}`}, {"GET", "/rpc/?method=drop", "X-A: b", ""}, {"PUT", "/rpc/", asJSON, `{"method":"drop"}`},
	} {
		text := "\r\n"
		if c.kind == "Transfer-Encoding: chunked" {
			text = "\r\n0\r\n\r\n"
		} else if c.body != "" {
			text = fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(c.body), c.body)
		}
		g.raw(t, "crm.test", c.method+" "+c.target+" HTTP/1.1\r\nHost: crm.test\r\nConnection: close\r\n"+owner+"\r\n"+browser+"\r\n"+c.kind+"\r\n"+text)
		for _, s := range g.took() {
			passed++
			if lines := g.events(t, s.Header.Get("X-Request-Id")); len(lines) == 0 || !strings.Contains(lines[0], "intended") {
				t.Errorf("%s %s reached the backend; the journal has %v", c.method, c.target, lines)
			}
		}
	}
	if passed < 14 {
		t.Errorf("only %d requests reached the backend: the test shows little", passed)
	}
}

func TestAnotherSiteGetsNothingDoneWithSomebodysCookies(t *testing.T) {
	g := newWired(t, func(text string) string {
		return strings.Replace(text, "      cookies:", "      cors: {origins: [\"https://app.example.com\"]}\n      cookies:", 1)
	})
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "admin")
	signs := []struct {
		name, lines string
		get, post   bool
	}{
		{"from here", "Sec-Fetch-Site: same-origin\r\nOrigin: https://crm.test", true, true},
		{"from here, by an old browser", "Origin: https://crm.test", true, true},
		{"from here, by a very old browser", "Referer: https://crm.test/deals", true, true},
		{"from an allowed origin", "Sec-Fetch-Site: cross-site\r\nOrigin: https://app.example.com", true, true},
		{"from a link in a mail", "Sec-Fetch-Site: none", false, true},
		{"from another site", "Sec-Fetch-Site: cross-site\r\nOrigin: https://evil.test", false, false},
		{"from another site, without an origin", "Sec-Fetch-Site: cross-site", false, false},
		{"from a sibling", "Sec-Fetch-Site: same-site\r\nOrigin: https://evil.crm.test", false, false},
		{"from a sandboxed frame", "Sec-Fetch-Site: cross-site\r\nOrigin: null", false, false},
		{"from a null origin of an old browser", "Origin: null", false, false},
		{"without any sign", "X-A: b", false, false},
		{"with an empty origin and a foreign referer", "Origin:\r\nReferer: https://evil.test/https://crm.test/", false, false},
		{"with our name as userinfo", "Referer: https://crm.test@evil.test/", false, false},
		{"with our name as a prefix", "Origin: https://crm.test.evil.test", false, false},
		{"over http", "Origin: http://crm.test", false, false},
		{"from another port", "Sec-Fetch-Site: same-site\r\nOrigin: https://crm.test:9999", false, false},
		{"with a sign that is unknown", "Sec-Fetch-Site: Same-Origin", false, false},
		{"with two origins", "Origin: https://evil.test\r\nOrigin: https://crm.test", false, false},
		{"from an origin that resembles the allowed one", "Origin: https://app.example.com.evil.test", false, false},
		{"from the allowed one in upper case", "Origin: https://APP.example.com", false, false},
	}
	for _, c := range []struct{ name, method, target, kind, body string }{
		{"a delete by GET", "GET", "/deals/card.php?action=confirm_delete&id=1", "X-B: c", ""},
		{"a form", "POST", "/api/contacts", asForm, "a=1"},
		{"a form with a file", "POST", "/api/contacts", asParts, "--x\r\nContent-Disposition: form-data; name=\"a\"\r\n\r\nb\r\n--x--\r\n"},
		{"JSON as text", "POST", "/api/notes", "Content-Type: text/plain", `{"a":1}`},
		{"JSON", "POST", "/api/contacts", asJSON, `{"a":1}`},
		{"a POST of nothing", "POST", "/api/contacts", "Content-Length: 0", ""},
		{"a delete", "DELETE", "/api/contacts/7", "X-B: c", ""},
		{"a JSON-RPC read", "POST", "/rpc/", asJSON, `{"method":"read"}`},
	} {
		for _, s := range signs {
			resp, body := g.ask(t, c.method, c.target, c.body, alice, s.lines, c.kind)
			want := s.post
			if c.method == "GET" {
				want = s.get
			}
			if got := g.took(); want != (len(got) == 1) || want != (resp.StatusCode == 200) || !want && code(body) != "cross_origin" {
				t.Errorf("%s %s: %d %s", c.name, s.name, resp.StatusCode, body)
			}
		}
	}
	for _, s := range signs { // logging somebody out is a deed too
		if s.post {
			continue
		}
		if resp, body := g.ask(t, "POST", "/.sallyport/logout", "", alice, s.lines, "Content-Length: 0"); resp.StatusCode != 403 {
			t.Errorf("logout %s: %d %s", s.name, resp.StatusCode, body)
		}
	}
}

func TestAnswersToOtherOriginsAreForTheAllowedOnesAlone(t *testing.T) {
	g := newWired(t, func(text string) string {
		return strings.Replace(text, "      cookies:", "      cors: {origins: [\"https://app.example.com\"]}\n      cookies:", 1)
	})
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "admin")
	for origin, allowed := range map[string]bool{"https://app.example.com": true, "https://evil.test": false, "null": false, "https://crm.test": false, "": false} {
		resp, _ := g.ask(t, "GET", "/api/contacts/7", "", alice, "Origin: "+origin)
		g.took()
		want := ""
		if allowed {
			want = origin
		}
		if h := resp.Header; h.Get("Access-Control-Allow-Origin") != want || (h.Get("Access-Control-Allow-Credentials") == "true") != allowed || h.Get("Vary") != "Origin" {
			t.Errorf("%q: %v", origin, h)
		}
		resp, _ = g.ask(t, "OPTIONS", "/api/contacts/7", "", "Origin: "+origin, "Access-Control-Request-Method: DELETE", "Access-Control-Request-Headers: x-tenant-id")
		if len(g.took()) != 0 || (resp.StatusCode == 204) != allowed || strings.Contains(strings.ToLower(resp.Header.Get("Access-Control-Allow-Headers")), "tenant") {
			t.Errorf("a preflight from %q: %d %v", origin, resp.StatusCode, resp.Header)
		}
	}
}

func TestTheWayBackFromTheLoginStaysHere(t *testing.T) {
	g := newWired(t, nil)
	for _, target := range []string{"/x?a=b&return=//evil.test", "/x?%0d%0aSet-Cookie:a=b", "/%2e%2e/x", "/x?\"><script>", "/x?a='><script>alert(1)</script>", "/@evil.test", "/.evil.test/x"} {
		resp, body := g.ask(t, "GET", target, "", "Accept: text/html", "Sec-Fetch-Mode: navigate")
		if len(g.took()) != 0 {
			t.Fatalf("%s reached the backend", target)
		}
		if strings.Contains(body, "<script>") || strings.Contains(body, "evil.test") || resp.Header.Get("Set-Cookie") != "" {
			t.Errorf("%s is reflected: %v %s", target, resp.Header, body)
		}
		if where := resp.Header.Get("Location"); where != "" {
			u, err := url.Parse(where)
			if err != nil || u.Host != "" || u.Path != "/.sallyport/login" || u.Query().Get("return") != target || len(u.Query()) != 1 {
				t.Errorf("%s leads to %s", target, where)
			}
		}
	}
	for _, back := range []string{"//evil.test", "///evil.test", "/\\evil.test", "https:evil.test", "https://evil.test", "/%09/evil.test", "\t//evil.test", "javascript:alert(1)", "/\n/evil.test", "%2f%2fevil.test", "/..//evil.test", "/.//evil.test"} {
		for _, page := range []string{"login", "logout", "loggedout", "whoami"} {
			for _, accept := range []string{"text/html", "application/json"} {
				resp, body := g.ask(t, "GET", "/.sallyport/"+page+"?return="+url.QueryEscape(back), "", "Accept: "+accept)
				if u, err := url.Parse(resp.Header.Get("Location")); err != nil || u.Host != "" || u.Path != "" && !strings.HasPrefix(u.Path, "/.sallyport/") || strings.Contains(body, "href=\""+back) || strings.Contains(body, "evil.test\"") {
					t.Errorf("%s with %q: %v %s", page, back, resp.Header, body)
				}
			}
		}
	}
}

func TestNothingThatAClientSendsBreaksALineOfTheLog(t *testing.T) {
	g := newWired(t, func(text string) string { return strings.Replace(text, "level: warn", "level: info", 1) })
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "admin")
	const evil = "%E2%80%A8%C2%85%1b[31m"
	for _, c := range []struct{ method, target string }{
		{"GET", "/x/%0a{\"level\":\"INFO\"}"}, {"GET", "/x/" + evil}, {"GET", "/x/%E2%80%AE%E2%80%A8fake"}, {"GET", "/x?q=%0afake"}, {"DELETE", "/api/contacts/%E2%80%A8x"}, {"A'B", "/x"},
	} {
		g.ask(t, c.method, c.target, "", alice, browser, "User-Agent: a\tb\x1b[31m", "Referer: x\x1b[2J")
	}
	g.took()
	for _, line := range g.events(t, "\u2028") {
		if strings.Contains(line, "\x1b") {
			t.Errorf("the journal holds %q", line)
		}
	}
	for _, file := range g.events(t, "\x1b") {
		t.Errorf("the journal holds %q", file)
	}
}

// TestGiantInputsAreAnswered sends what is dearest to look at within the bounds of a head. Nothing may
// grow with the square of it: then one of these would outlast the connection's patience of 20 s.
func TestGiantInputsAreAnswered(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "admin")
	var names strings.Builder
	for i := range 510 {
		fmt.Fprintf(&names, "a%d[tenant_id]=acme&", i)
	}
	for _, target := range []string{
		"/api/contacts?" + names.String() + "b=1",
		"/api/contacts?" + strings.Repeat("tenant_i", 1900) + "=1",
		"/api/contacts?" + strings.Repeat("%5B", 5000),
		"/" + strings.Repeat("a/", 2000) + "a",
		"/" + strings.Repeat("a.php/", 600) + "a",
		"/billing" + strings.Repeat(".", 4000) + "/1",
	} {
		if resp, body := g.ask(t, "GET", target, "", alice); resp.StatusCode >= 500 {
			t.Errorf("%.60s…: %d %s", target, resp.StatusCode, body)
		}
		g.took()
	}
}

// TestReloadsUnderLoadDropNothing asks without a pause while the configuration changes to and fro.
// Each answer fits one of the two configurations, whole.
func TestReloadsUnderLoadDropNothing(t *testing.T) {
	g := newWired(t, func(text string) string { // a busy machine is not what is shown here
		return strings.Replace(text, "policy: {", "policy: {deadline: 5s, ", 1)
	})
	viewer := "Cookie: " + g.login(t, "crm", "acme", "vera", "viewer")
	text, err := os.ReadFile(g.file)
	if err != nil {
		t.Fatal(err)
	}
	other := strings.Replace(string(text), "        - {type: contact,", "        - {type: invoice, path: \"/new/{id}\"}\n        - {type: contact,", 1)
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 3 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				resp, body := g.ask(t, "GET", "/new/thing", "", viewer)
				if resp.StatusCode != 200 && resp.StatusCode != http.StatusForbidden {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				g.took()
			}
		})
	}
	for i := range 4 {
		before := g.active()
		g.rename(t, []string{other, string(text)}[i%2])
		eventually(t, "a new plan", func() bool { return g.active() != before })
	}
	close(stop)
	asking.Wait()
}
