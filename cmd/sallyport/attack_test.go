package main

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

const browser = "Sec-Fetch-Site: same-origin"

// TestAttacksOnIdentityAndTransport are the rows of section A: identity headers and transport.
func TestAttacksOnIdentityAndTransport(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "member")
	get := func(t *testing.T, header ...string) (int, string, []seen) {
		t.Helper()
		resp, body := g.ask(t, "GET", "/api/contacts/7", "", append([]string{alice}, header...)...)
		return resp.StatusCode, body, g.took()
	}
	// passes wants the request at the backend with exactly the true tenant, under one name.
	passes := func(t *testing.T, header ...string) seen {
		t.Helper()
		status, body, got := get(t, header...)
		if status != 200 || len(got) != 1 {
			t.Fatalf("%d, %d at the backend: %s", status, len(got), body)
		}
		var tenants []string
		for name, values := range got[0].Header {
			if access.FoldName(name) == "x-tenant-id" {
				tenants = append(tenants, values...)
			}
		}
		if len(tenants) != 1 || tenants[0] != "acme" {
			t.Errorf("the backend sees tenants %v, want [acme]", tenants)
		}
		if got := got[0].Header.Get("X-User-Id"); got != "alice-id" {
			t.Errorf("the backend sees user %q", got)
		}
		return got[0]
	}
	refuses := func(t *testing.T, want string, header ...string) {
		t.Helper()
		if status, body, got := get(t, header...); status < 400 || len(got) != 0 || want != "" && code(body) != want {
			t.Errorf("%d %s, %d at the backend; want %s", status, body, len(got), want)
		}
	}
	t.Run("H01 the client names a tenant", func(t *testing.T) {
		passes(t)
		passes(t, "X-Tenant-ID: globex")
		passes(t, "x-tenant-id: globex", "X-TENANT-ID: initech", "X-Tenant-Id: globex")
	})
	t.Run("H02 with underscores", func(t *testing.T) { passes(t, "X_Tenant_ID: globex", "x_tenant-id: globex") })
	t.Run("H03 with dots", func(t *testing.T) { passes(t, "X.Tenant.ID: globex", "X!Tenant~ID: globex") })
	t.Run("H05 two Connection lines name our header", func(t *testing.T) {
		passes(t, "Connection: ", "Connection: X-Tenant-ID, X-User-ID, X-Sallyport-Assertion")
	})
	t.Run("H06 in a trailer", func(t *testing.T) {
		resp, body := g.raw(t, "crm.test", "POST /api/contacts HTTP/1.1\r\nHost: crm.test\r\nConnection: close\r\n"+alice+"\r\n"+browser+
			"\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\nTrailer: X-Tenant-Id\r\n\r\n2\r\n{}\r\n0\r\nX-Tenant-Id: globex\r\n\r\n")
		got := g.took()
		if resp.StatusCode != 200 || len(got) != 1 || len(got[0].Trailer) != 0 || got[0].Header.Get("X-Tenant-Id") != "acme" {
			t.Errorf("%d %s: %+v", resp.StatusCode, body, got)
		}
	})
	t.Run("H07 other identity headers", func(t *testing.T) {
		names := []string{"X-Forwarded-User", "Remote-User", "X-Remote-User", "X-Remote-Group", "X-Auth-Request-User", "X-Auth-Request-Email",
			"X-User-ID", "X-User-Email", "X-User-Roles", "X-Sallyport-Assertion", "X-Forwarded-Email", "X-Forwarded-Groups", "X-Webauth-User"}
		var lines []string
		for _, n := range names {
			lines = append(lines, n+": mallory")
		}
		got := passes(t, lines...)
		for name, values := range got.Header {
			if strings.Contains(strings.Join(values, " "), "mallory") {
				t.Errorf("%s: %v reaches the backend", name, values)
			}
		}
	})
	t.Run("H07 an Authorization of another scheme", func(t *testing.T) {
		status, _, got := get(t, "Authorization: Basic bWFsbG9yeTp4")
		if len(got) == 1 && got[0].Header.Get("Authorization") != "" || len(got) == 0 && status < 400 {
			t.Errorf("%d %+v", status, got)
		}
	})
	t.Run("H09 an unreadable X-Forwarded-For", func(t *testing.T) {
		for _, value := range []string{"a", ",", strings.Repeat("1.2.3.4,", 1200)} {
			if got := passes(t, "X-Forwarded-For: "+value); got.Header.Get("X-Forwarded-For") != "127.0.0.1" {
				t.Errorf("X-Forwarded-For is %q", got.Header.Get("X-Forwarded-For"))
			}
		}
	})
	t.Run("H10 headers that pick another path", func(t *testing.T) {
		resp, body := g.ask(t, "GET", "/billing/1", "", alice, "X-Forwarded-Uri: /public/a", "X-Original-URL: /public/a", "X-Rewrite-URL: /public/a")
		if got := g.took(); resp.StatusCode != 403 || len(got) != 0 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
		got := passes(t, "X-Original-URL: /billing/1", "X-Rewrite-URL: /billing/1", "X-Forwarded-Uri: /billing/1")
		for _, name := range []string{"X-Original-Url", "X-Rewrite-Url", "X-Forwarded-Uri"} {
			if got.Header.Get(name) != "" {
				t.Errorf("%s reaches the backend", name)
			}
		}
	})
	t.Run("H11 forwarding headers are rebuilt", func(t *testing.T) {
		got := passes(t, "X-Forwarded-Prefix: /x", "Forwarded: for=1.2.3.4;proto=http", "X_Forwarded_Proto: http", "X-Forwarded-Proto: http",
			"X-Forwarded-Host: evil.test", "X-Forwarded-Port: 1", "Client-IP: 1.2.3.4", "True-Client-IP: 1.2.3.4", "CF-Connecting-IP: 1.2.3.4", "X-Real-IP: 1.2.3.4")
		for name, values := range got.Header {
			joined := strings.Join(values, " ")
			if strings.Contains(joined, "1.2.3.4") || strings.Contains(joined, "evil") || access.FoldName(name) == "x-forwarded-prefix" || access.FoldName(name) == "x-forwarded-port" {
				t.Errorf("%s: %v reaches the backend", name, values)
			}
		}
		if got.Header.Get("X-Forwarded-Proto") != "https" || got.Header.Get("X-Forwarded-Host") != "crm.test" || got.Header.Get("Host") != "crm.test" {
			t.Errorf("headers %v", got.Header)
		}
	})
	t.Run("H13 health checkers are strangers too", func(t *testing.T) {
		for _, agent := range []string{"GoogleHC/1.0", "kube-probe/1.30", "ELB-HealthChecker/2.0"} {
			resp, body := g.ask(t, "GET", "/api/contacts/7", "", "User-Agent: "+agent)
			if resp.StatusCode < 400 || len(g.took()) != 0 {
				t.Errorf("%s: %d %s", agent, resp.StatusCode, body)
			}
		}
	})
	t.Run("H14 a session cookie that is none", func(t *testing.T) {
		name, _, _ := strings.Cut(strings.TrimPrefix(alice, "Cookie: "), "=")
		good := strings.TrimPrefix(alice, "Cookie: "+name+"=")
		good, _, _ = strings.Cut(good, ";")
		for _, cookie := range []string{name + "=", name + "=x", name + "=" + good[:len(good)/2], name + "=" + strings.Repeat("a", 9000),
			name + "=" + good + "; " + name + "=" + good, name + "=\xff\xfe", name + "=a.b.c", name + "=" + good + "x"} {
			resp, body := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+cookie)
			if resp.StatusCode < 400 || resp.StatusCode >= 500 || len(g.took()) != 0 {
				t.Errorf("%.60s: %d %s", cookie, resp.StatusCode, body)
			}
		}
	})
	t.Run("H15 an upgrade to h2c", func(t *testing.T) {
		refuses(t, "upgrade_refused", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA")
	})
	t.Run("H17 H18 the backend can verify who asks, and another site's assertion is not its own", func(t *testing.T) {
		assertion := passes(t).Header.Get("X-Sallyport-Assertion")
		claims := verifyAssertion(t, g, assertion)
		if claims["tenant"] != "acme" || claims["sub"] != "alice-id" || !audience(claims, "crm") || audience(claims, "second") {
			t.Errorf("claims %v", claims)
		}
	})
	t.Run("H19 our credentials do not reach the backend", func(t *testing.T) {
		got := passes(t, "X-Other: 1")
		for _, values := range got.Header {
			if strings.Contains(strings.Join(values, " "), "__Host-sallyport") {
				t.Errorf("our cookie reaches the backend: %v", got.Header["Cookie"])
			}
		}
		token := g.bearer(t, "crm", "acme", "bob", "member")
		resp, body := g.ask(t, "GET", "/api/contacts/7", "", "Authorization: Bearer "+token, "Cookie: theme=dark")
		seen := g.took()
		if resp.StatusCode != 200 || len(seen) != 1 || seen[0].Header.Get("Authorization") != "" || seen[0].Header.Get("Cookie") != "theme=dark" {
			t.Errorf("%d %s %+v", resp.StatusCode, body, seen)
		}
	})
	t.Run("H21 no page of ours shows a token", func(t *testing.T) {
		secretPart := strings.TrimPrefix(alice, "Cookie: ")
		for _, path := range []string{"login", "whoami", "logout", "loggedout", "jwks.json", "nothing"} {
			for _, accept := range []string{"text/html", "application/json"} {
				_, body := g.ask(t, "GET", "/.sallyport/"+path, "", alice, "Accept: "+accept)
				for _, pair := range strings.Split(secretPart, "; ") {
					_, value, _ := strings.Cut(pair, "=")
					for _, part := range strings.Split(value, ".") {
						if len(part) > 30 && strings.Contains(body, part) {
							t.Errorf("%s as %s shows a part of a token", path, accept)
						}
					}
				}
			}
		}
	})
	t.Run("framing: Content-Length with Transfer-Encoding is one request", func(t *testing.T) {
		g.raw(t, "crm.test", "POST /api/contacts HTTP/1.1\r\nHost: crm.test\r\n"+alice+"\r\n"+browser+
			"\r\nContent-Type: application/json\r\nContent-Length: 60\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\nGET /billing/1 HTTP/1.1\r\nHost: crm.test\r\n\r\n")
		got := g.took()
		if len(got) > 1 || len(got) == 1 && (got[0].Body != "{}" || got[0].Target != "/api/contacts" || got[0].Header.Get("Transfer-Encoding") != "") {
			t.Errorf("the backend saw %+v", got)
		}
	})
}

// TestAttacksOnPathAndAuthorisation are the rows of section B.
func TestAttacksOnPathAndAuthorisation(t *testing.T) {
	g := newWired(t, nil)
	viewer := "Cookie: " + g.login(t, "crm", "acme", "vera", "viewer")
	member := "Cookie: " + g.login(t, "crm", "acme", "max", "member")
	for _, c := range []struct {
		name, method, target, body, who string
		status                          int
	}{
		{"P01 the query does not open a path", "GET", "/billing/1?x=/public/a", "", viewer, 403},
		{"P01 nor for a stranger", "GET", "/api/contacts/7?x=/public/a", "", "", 401},
		{"P02 a fragment", "GET", "/public/x#/../../billing/1", "", "", 400},
		{"P02 an encoded fragment is a character", "GET", "/public/x%23/../billing/1", "", "", 400},
		{"P03 dot elements", "GET", "/public/../billing/1", "", "", 400},
		{"P03 a single dot", "GET", "/public/./x", "", "", 400},
		{"P03 a double slash", "GET", "//billing/1", "", "", 400},
		{"P05 a path parameter", "GET", "/public/..;/billing/1", "", "", 400},
		{"P05 a session parameter", "GET", "/public/a;jsessionid=1", "", "", 400},
		{"P06 double encoding", "GET", "/public/%252e%252e/billing/1", "", "", 400},
		{"P06 overlong UTF-8", "GET", "/public/%c0%ae%c0%ae/billing/1", "", "", 400},
		{"P06 mixed case escapes are one spelling", "GET", "/billin%67/1", "", viewer, 403},
		{"P06 an encoded slash", "GET", "/public%2f..%2fbilling/1", "", "", 400},
		{"P06 a backslash", "GET", `/public\..\billing`, "", "", 400},
		{"P07 a lower-case method", "get", "/api/contacts/7", "", member, 405},
		{"P07 an unknown method", "PROPFIND", "/api/contacts/7", "", member, 405},
		{"P07 TRACE", "TRACE", "/api/contacts/7", "", member, 405},
		{"P07 a viewer writes", "PATCH", "/api/contacts/7", `{"a":1}`, viewer, 403},
		{"P07 a viewer deletes by GET", "GET", "/deals/card.php?action=confirm_delete&id=1", "", viewer, 403},
		{"P07 HEAD is a read", "HEAD", "/api/contacts/7", "", viewer, 200},
		{"P07 HEAD of what is not theirs", "HEAD", "/billing/1", "", viewer, 403},
		{"public is public", "GET", "/public/a", "", "", 200},
		{"public is for reading", "POST", "/public/a", `{}`, "", 401},
		{"a stranger", "GET", "/api/contacts/7", "", "", 401},
		{"an absolute target", "GET", "https://crm.test/api/contacts/7", "", viewer, 400},
		{"an unknown page of ours", "GET", "/.sallyport/console", "", viewer, 404},
	} {
		t.Run(c.name, func(t *testing.T) {
			header := []string{browser}
			if c.who != "" {
				header = append(header, c.who)
			}
			if c.body != "" {
				header = append(header, "Content-Type: application/json")
			}
			resp, body := g.ask(t, c.method, c.target, c.body, header...)
			if got := g.took(); resp.StatusCode != c.status || (c.status == 200) != (len(got) == 1) {
				t.Errorf("%d, %d at the backend, want %d: %s", resp.StatusCode, len(got), c.status, body)
			}
		})
	}
	t.Run("P07 a method override", func(t *testing.T) {
		for _, name := range []string{"X-HTTP-Method-Override", "X-HTTP-Method", "X-Method-Override", "X_HTTP_METHOD_OVERRIDE"} {
			resp, body := g.ask(t, "POST", "/api/contacts", `{}`, member, browser, "Content-Type: application/json", name+": DELETE")
			got := g.took()
			if resp.StatusCode != 400 || len(got) != 0 {
				t.Errorf("%s: %d %s", name, resp.StatusCode, body)
			}
		}
	})
	t.Run("hosts", func(t *testing.T) {
		for _, c := range []struct {
			name, sni, host string
			status          int
		}{{"another site's host on this connection", "crm.test", "second.test", 421}, {"an alias on the wrong connection", "crm.test", "other.test", 421},
			{"an unknown host", "crm.test", "evil.test", 421}, {"an alias on its own", "other.test", "other.test", 401}} {
			resp, body := g.raw(t, c.sni, "GET /api/contacts/7 HTTP/1.1\r\nHost: "+c.host+"\r\nConnection: close\r\n\r\n")
			if resp.StatusCode != c.status || len(g.took()) != 0 {
				t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
			}
		}
	})
	t.Run("J09 a session of one site does not open another", func(t *testing.T) {
		resp, body := g.raw(t, "second.test", "GET /x HTTP/1.1\r\nHost: second.test\r\nConnection: close\r\n"+viewer+"\r\n\r\n")
		if resp.StatusCode != 401 || len(g.took()) != 0 {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	})
	t.Run("P11 T07 after logout nothing of the session works", func(t *testing.T) {
		cookie := "Cookie: " + g.login(t, "crm", "acme", "lea", "member")
		if resp, body := g.ask(t, "GET", "/api/contacts/7", "", cookie); resp.StatusCode != 200 {
			t.Fatalf("%d %s", resp.StatusCode, body)
		}
		g.took()
		if resp, body := g.ask(t, "POST", "/.sallyport/logout", "", cookie, browser, "Content-Length: 0"); resp.StatusCode >= 400 {
			t.Fatalf("logout: %d %s", resp.StatusCode, body)
		}
		if resp, body := g.ask(t, "GET", "/api/contacts/7", "", cookie); resp.StatusCode != 401 || len(g.took()) != 0 {
			t.Errorf("after logout: %d %s", resp.StatusCode, body)
		}
	})
}

// TestTenantSwaps tries to name another tenant in every place there is.
func TestTenantSwaps(t *testing.T) {
	g := newWired(t, nil)
	alice := "Cookie: " + g.login(t, "crm", "acme", "alice", "admin")
	const form, js, multi = "application/x-www-form-urlencoded", "application/json", "multipart/form-data; boundary=x"
	for _, c := range []struct{ name, method, target, kind, body, code string }{
		{"in the path", "GET", "/t/globex/records/1", "", "", "tenant_mismatch"},
		{"in the query", "GET", "/api/contacts?tenant_id=globex", "", "", "tenant_mismatch"},
		{"in the query, folded", "GET", "/api/contacts?Tenant.ID=globex", "", "", "tenant_mismatch"},
		{"in the query, twice", "GET", "/api/contacts?tenant_id=acme&tenant_id=globex", "", "", "query_ambiguous"},
		{"in a form", "POST", "/api/contacts", form, "name=x&tenant_id=globex", "tenant_mismatch"},
		{"in a form, as an array", "POST", "/api/contacts", form, "tenant_id[]=globex", "tenant_mismatch"},
		{"in JSON", "POST", "/api/contacts", js, `{"tenant_id":"globex"}`, "tenant_mismatch"},
		{"deep in JSON", "POST", "/api/contacts", js, `{"a":[{"b":{"tenant_id":"globex"}}]}`, "tenant_mismatch"},
		{"in JSON with an escaped key", "POST", "/api/contacts", js, `{"tenant\u005fid":"globex"}`, ""},
		{"in JSON with a duplicate key", "POST", "/api/contacts", js, `{"tenant_id":"acme","tenant_id":"globex"}`, ""},
		{"in JSON as null", "POST", "/api/contacts", js, `{"tenant_id":null}`, "tenant_mismatch"},
		{"in JSON sent as text", "POST", "/api/notes", "text/plain", `{"tenant_id":"globex"}`, "tenant_mismatch"},
		{"in multipart", "POST", "/api/contacts", multi, "--x\r\nContent-Disposition: form-data; name=\"tenant_id\"\r\n\r\nglobex\r\n--x--\r\n", "tenant_mismatch"},
		{"in XML that nobody declared", "POST", "/api/contacts", "text/xml", `<tenant_id>globex</tenant_id>`, ""},
	} {
		header := []string{alice, browser}
		if c.kind != "" {
			header = append(header, "Content-Type: "+c.kind)
		}
		resp, body := g.ask(t, c.method, c.target, c.body, header...)
		if got := g.took(); resp.StatusCode < 400 || resp.StatusCode > 499 || len(got) != 0 || c.code != "" && code(body) != c.code {
			t.Errorf("%s: %d %s, %d at the backend", c.name, resp.StatusCode, body, len(got))
		}
	}
	for _, c := range []struct{ target, kind, body string }{
		{"/api/contacts?tenant_id=acme", js, `{"tenant_id":"acme","name":"x"}`}, {"/api/contacts", form, "tenant_id=acme&name=O%27Brien"}, {"/api/notes", "text/plain", "just a note"},
	} {
		resp, body := g.ask(t, "POST", c.target, c.body, alice, browser, "Content-Type: "+c.kind)
		if got := g.took(); resp.StatusCode != 200 || len(got) != 1 || got[0].Body != c.body {
			t.Errorf("%s %s: %d %s", c.target, c.body, resp.StatusCode, body)
		}
	}
}

// TestEveryRefusalExplainsItself looks at the shape of refusals from many gates.
func TestEveryRefusalExplainsItself(t *testing.T) {
	g := newWired(t, nil)
	for _, c := range []struct{ method, target string }{{"GET", "/api/contacts"}, {"GET", "//x"}, {"GET", "/x?q=<script>alert(1)</script>"}, {"TRACE", "/"}, {"GET", "/.sallyport/none"}} {
		resp, body := g.ask(t, c.method, c.target, "", "Accept: application/json")
		if resp.Header.Get("Content-Type") != "application/problem+json" || code(body) == "?" || resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: %v %s", c.method, c.target, resp.Header, body)
		}
		resp, body = g.ask(t, c.method, c.target, "", "Accept: text/html", "Sec-Fetch-Mode: navigate")
		if resp.StatusCode == http.StatusSeeOther {
			if !strings.HasPrefix(resp.Header.Get("Location"), "/.sallyport/login?return=") {
				t.Errorf("%s %s: %v", c.method, c.target, resp.Header)
			}
			continue
		}
		if !strings.HasPrefix(resp.Header.Get("Content-Type"), "text/html") || !strings.Contains(body, resp.Header.Get("X-Request-Id")) || strings.Contains(body, "94210") {
			t.Errorf("%s %s as a page: %v %s", c.method, c.target, resp.Header, body)
		}
	}
}

func TestPublicPathsTakeNoCredentialAndGiveNoTenant(t *testing.T) {
	g := newWired(t, nil)
	alice := g.login(t, "crm", "acme", "alice", "owner")
	resp, body := g.ask(t, "GET", "/public/a", "", "Cookie: theme=dark; "+alice, "Authorization: Bearer "+g.bearer(t, "crm", "acme", "bob", "owner"), "X-Tenant-ID: globex")
	got := g.took()
	if resp.StatusCode != 200 || len(got) != 1 {
		t.Fatalf("%d %s", resp.StatusCode, body)
	}
	for name, values := range got[0].Header {
		joined := strings.Join(values, " ")
		if strings.Contains(joined, "__Host-sallyport") || access.FoldName(name) == "x-tenant-id" || name == "Authorization" || access.FoldName(name) == "x-user-id" {
			t.Errorf("%s: %v reaches the backend", name, values)
		}
	}
}
