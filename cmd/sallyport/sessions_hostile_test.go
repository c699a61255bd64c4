package main

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/audit"
	"github.com/sallyport/sallyport/authn"
)

// surfer is a browser as far as sessions go: cookies, TLS, no redirects unless asked to.
type surfer struct {
	*http.Client
	g *wired
}

func (g *wired) surfer(t testing.TB) *surfer {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: g.ca}, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, g.addr)
		}}
	return &surfer{g: g, Client: &http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}}
}

// visit asks for a page as a navigation does.
func (s *surfer) visit(t testing.TB, address string) (*http.Response, string) {
	t.Helper()
	return s.send(t, "GET", address, "", "Accept: text/html", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Site: none", "Sec-Fetch-Dest: document")
}

func (s *surfer) send(t testing.TB, method, address, body string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, address, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	resp, err := s.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, _ := io.ReadAll(resp.Body)
	return resp, string(b)
}

// cookies gives what the browser holds for a site, by name.
func (s *surfer) cookies(address string) map[string]string {
	u, _ := url.Parse(address)
	held := map[string]string{}
	for _, c := range s.Jar.Cookies(u) {
		held[c.Name] = c.Value
	}
	return held
}

const (
	sessionName = "__Host-sallyport-session"
	refreshName = "__Host-sallyport-refresh"
)

// cookiePair splits what wired.login gives.
func cookiePair(cookie string) (session, refresh string) {
	for part := range strings.SplitSeq(cookie, "; ") {
		if strings.HasPrefix(part, sessionName+"=") {
			session = part
		} else {
			refresh = part
		}
	}
	return session, refresh
}

// setByAnswer gives the cookies of ours that an answer sets, as a Cookie header.
func setByAnswer(resp *http.Response) string {
	var pairs []string
	for _, c := range resp.Cookies() {
		if strings.HasPrefix(c.Name, "__Host-sallyport-") && c.MaxAge > 0 {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
	}
	return strings.Join(pairs, "; ")
}

// TestTwoTabsRenewAtOnce (T02, T03): everybody stays signed in with one and the same successor.
func TestTwoTabsRenewAtOnce(t *testing.T) {
	g := newWired(t, nil)
	_, refresh := cookiePair(g.login(t, "crm", "acme", "alice", "member"))
	for round := range 5 {
		successors := make([]string, 20)
		var tabs sync.WaitGroup
		for i := range successors {
			tabs.Go(func() {
				resp, body := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+refresh)
				if resp.StatusCode != 200 {
					t.Errorf("round %d: a tab got %d %s", round, resp.StatusCode, body)
				}
				_, successors[i] = cookiePair(setByAnswer(resp))
			})
		}
		tabs.Wait()
		for _, s := range successors {
			if s == "" || s != successors[0] || s == refresh {
				t.Fatalf("round %d: the tabs were given %q", round, successors)
			}
		}
		refresh = successors[0]
	}
}

// TestAWriteWithAnExpiredSessionTokenIsRenewedAndPasses with its body as it is.
func TestAWriteWithAnExpiredSessionTokenIsRenewedAndPasses(t *testing.T) {
	g := newWired(t, nil)
	_, refresh := cookiePair(g.login(t, "crm", "acme", "alice", "member"))
	body := `{"name":"ACME","note":"` + strings.Repeat("x", 200<<10) + `"}`
	resp, text := g.ask(t, "POST", "/api/contacts", body, "Cookie: "+refresh, browser, "Content-Type: application/json")
	if resp.StatusCode != 200 || setByAnswer(resp) == "" {
		t.Fatalf("got %d %s", resp.StatusCode, text)
	}
	if cache := resp.Header.Get("Cache-Control"); cache != "private, no-store" {
		t.Errorf("an answer that renews a session is %q", cache)
	}
	if got := g.took(); len(got) != 1 || got[0].Body != body || strings.Contains(fmt.Sprint(got[0].Header), "sallyport-refresh") {
		t.Errorf("the backend got %d requests", len(got))
	}
	if ev := g.eventOf(t, "acme", resp.Header.Get("X-Request-Id")); ev.Outcome != access.Done || ev.Actor.ID != "alice-id" {
		t.Errorf("the event is %+v", ev)
	}
}

// TestAnOldRefreshTokenEndsItsSession (T01): after its successor was used it is a copy of
// somebody's cookies. The whole session ends, on every request of it, and it is in the journal.
func TestAnOldRefreshTokenEndsItsSession(t *testing.T) {
	g := newWired(t, nil)
	cookie := g.login(t, "crm", "acme", "alice", "member")
	_, first := cookiePair(cookie)
	resp, _ := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+first)
	second := setByAnswer(resp)
	_, secondRefresh := cookiePair(second)
	if resp, body := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+first); resp.StatusCode != 200 || !strings.Contains(setByAnswer(resp), secondRefresh) {
		t.Fatalf("before its successor is used: %d %s", resp.StatusCode, body)
	}
	if resp, body := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+secondRefresh); resp.StatusCode != 200 {
		t.Fatalf("the successor: %d %s", resp.StatusCode, body)
	}
	g.took()
	resp, body := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+first)
	if resp.StatusCode != 401 || code(body) != "session_reused" {
		t.Fatalf("the old token: %d %s", resp.StatusCode, body)
	}
	for name, c := range map[string]string{"the session token": cookie, "the successor": second, "its refresh token": secondRefresh} {
		if resp, body := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+c); resp.StatusCode != 401 {
			t.Errorf("%s after that: %d %s", name, resp.StatusCode, body)
		}
	}
	if got := g.took(); len(got) != 0 {
		t.Errorf("the backend got %+v", got)
	}
	ev := g.eventOf(t, "acme", resp.Header.Get("X-Request-Id"))
	if ev.Action != "session_revoked" || ev.Actor.ID != "alice-id" || ev.Outcome != access.Refused || ev.Actor.Session == "" || !ev.Client.Addr.IsValid() {
		t.Errorf("the event is %+v", ev)
	}
}

// TestCookiesThatLie (T09, H14, J09): refused, and not one of them reaches the backend.
func TestCookiesThatLie(t *testing.T) {
	g := newWired(t, nil)
	cookie, other := g.login(t, "crm", "acme", "alice", "member"), g.login(t, "crm", "globex", "bob", "member")
	session, refresh := cookiePair(cookie)
	otherSession, otherRefresh := cookiePair(other)
	second, _ := cookiePair(g.login(t, "second", "acme", "alice", "member"))
	bearer := "Authorization: Bearer " + g.bearer(t, "crm", "acme", "alice", "member")
	for _, c := range []struct {
		name   string
		header []string
		status int
		code   string
	}{
		{"two session cookies", []string{"Cookie: " + session + "; " + otherSession}, 401, ""},
		{"two in two lines", []string{"Cookie: " + session, "Cookie: " + otherSession}, 401, ""},
		{"the same twice", []string{"Cookie: " + session + "; " + session}, 401, ""},
		{"an empty one before", []string{"Cookie: " + sessionName + "=; " + session}, 401, ""},
		{"two refresh tokens", []string{"Cookie: " + refresh + "; " + otherRefresh}, 401, ""},
		{"another's refresh token beside", []string{"Cookie: " + otherRefresh + "; " + session[:len(session)-4]}, 401, ""},
		{"another site's session", []string{"Cookie: " + second}, 401, ""},
		{"another name's session", []string{"Cookie: __host-sallyport-session=" + strings.TrimPrefix(session, sessionName+"=")}, 401, ""},
		{"the session as a refresh token", []string{"Cookie: " + refreshName + "=" + strings.TrimPrefix(session, sessionName+"=")}, 401, ""},
		{"the refresh token as a session", []string{"Cookie: " + sessionName + "=" + strings.TrimPrefix(refresh, refreshName+"=")}, 401, ""},
		{"a bearer beside a cookie", []string{"Cookie: " + session, bearer}, 400, "ambiguous_credentials"},
		{"a bearer beside a broken cookie", []string{"Cookie: " + sessionName + "=x", bearer}, 400, "ambiguous_credentials"},
		{"a bearer beside an empty cookie", []string{"Cookie: " + refreshName + "=", bearer}, 400, "ambiguous_credentials"},
		{"two bearers", []string{bearer, bearer}, 400, ""},
		{"a token in the query", nil, 401, ""},
	} {
		target := "/api/contacts/7"
		if c.header == nil {
			target += "?access_token=" + strings.TrimPrefix(bearer, "Authorization: Bearer ")
		}
		resp, body := g.ask(t, "GET", target, "", c.header...)
		if resp.StatusCode != c.status || c.code != "" && code(body) != c.code {
			t.Errorf("%s: %d %s", c.name, resp.StatusCode, body)
		}
		if got := g.took(); len(got) != 0 {
			t.Errorf("%s: the backend got %+v", c.name, got)
		}
	}
	if resp, body := g.ask(t, "GET", "/api/contacts/7", "", "Cookie: "+cookie); resp.StatusCode != 200 {
		t.Errorf("the session itself afterwards: %d %s", resp.StatusCode, body)
	}
}

// TestALogoutEndsTheLoginOnEverySite, and cuts what is open under it on both.
func TestALogoutEndsTheLoginOnEverySite(t *testing.T) {
	g := newWired(t, nil)
	tenant, _ := access.ParseTenantID("acme")
	login := func(site, subject, sid string) string {
		ex := &access.Exchange{Request: httptest.NewRequest("GET", "https://crm.test/", nil), Site: &access.Site{Name: site}}
		if err := g.sessions.Begin(t.Context(), ex, authn.Login{Tenant: tenant, Subject: subject, Roles: []string{"member"}, Provider: "idp-acme", ProviderSession: sid}); err != nil {
			t.Fatal(err)
		}
		var pairs []string
		for _, c := range ex.SetCookies {
			pairs = append(pairs, c.Name+"="+c.Value)
		}
		return strings.Join(pairs, "; ")
	}
	crm, second, others := login("crm", "alice-id", "sid-1"), login("second", "alice-id", "sid-1"), login("second", "carol-id", "sid-2")
	opened := make(chan struct{}, 4)
	script := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/events" {
			io.WriteString(w, "hi")
			return
		}
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		opened <- struct{}{}
		<-r.Context().Done()
	})
	g.script.Store(&script)
	ask := func(host, cookie string) (*http.Response, string) {
		return g.raw(t, host, "GET /api/x HTTP/1.1\r\nHost: "+host+"\r\nConnection: close\r\nCookie: "+cookie+"\r\n\r\n")
	}
	ended := map[string]chan struct{}{}
	for host, cookie := range map[string]string{"crm.test": crm, "second.test": second} {
		conn := g.dial(t, host)
		fmt.Fprintf(conn, "GET /events HTTP/1.1\r\nHost: %s\r\nCookie: %s\r\n\r\n", host, cookie)
		done := make(chan struct{})
		ended[host] = done
		go func() { io.Copy(io.Discard, conn); close(done) }()
		<-opened
	}
	for host, cookie := range map[string]string{"crm.test": crm, "second.test": second} {
		if resp, body := ask(host, cookie); resp.StatusCode != 200 {
			t.Fatalf("%s before: %d %s", host, resp.StatusCode, body)
		}
	}
	resp, body := g.ask(t, "POST", "/.sallyport/logout", "", "Cookie: "+crm, browser, "Content-Length: 0")
	if resp.StatusCode != 303 {
		t.Fatalf("logout: %d %s", resp.StatusCode, body)
	}
	for host, cookie := range map[string]string{"crm.test": crm, "second.test": second} {
		if resp, body := ask(host, cookie); resp.StatusCode != 401 {
			t.Errorf("%s with the next request: %d %s", host, resp.StatusCode, body)
		}
		_, refresh := cookiePair(cookie)
		if resp, body := ask(host, refresh); resp.StatusCode != 401 {
			t.Errorf("%s by its refresh token: %d %s", host, resp.StatusCode, body)
		}
		select {
		case <-ended[host]:
		case <-time.After(10 * time.Second):
			t.Errorf("%s: the event stream goes on", host)
		}
	}
	if resp, body := ask("second.test", others); resp.StatusCode != 200 {
		t.Errorf("somebody else's session: %d %s", resp.StatusCode, body)
	}
	if ev := g.eventOf(t, "acme", resp.Header.Get("X-Request-Id")); ev.Action != "logout" || ev.Outcome != access.Done || ev.Actor.ID != "alice-id" {
		t.Errorf("the event is %+v", ev)
	}
}

// TestTheKeysMayBeCached, and an answer that sets a cookie may not, whoever else asked for it.
func TestTheKeysMayBeCached(t *testing.T) {
	g := newWired(t, nil)
	session, refresh := cookiePair(g.login(t, "crm", "acme", "alice", "member"))
	for cookie, want := range map[string]string{"a=b": "public, max-age=300", session: "public, max-age=300", refresh: "private, no-store"} {
		resp, body := g.ask(t, "GET", "/.sallyport/jwks.json", "", "Cookie: "+cookie)
		if resp.StatusCode != 200 || resp.Header.Get("Cache-Control") != want || !strings.Contains(body, `"Ed25519"`) || strings.Contains(body, `"d"`) {
			t.Errorf("with %.30s: %d %q %s", cookie, resp.StatusCode, resp.Header.Get("Cache-Control"), body)
		}
	}
}

// provider is a scripted OpenID provider that signs with Ed25519.
type provider struct {
	*httptest.Server
	key ed25519.PrivateKey

	mu     sync.Mutex
	codes  map[string]url.Values // code → the authorization request
	claims map[string]any        // changes of the token's claims
	fails  string                // the token endpoint's error
}

func newProvider(t *testing.T) (p *provider, ca string) {
	t.Helper()
	_, key, _ := ed25519.GenerateKey(rand.Reader)
	p = &provider{key: key, codes: map[string]url.Values{}}
	p.Server = httptest.NewTLSServer(http.HandlerFunc(p.serve))
	t.Cleanup(p.Close)
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return p, ca
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func (p *provider) serve(w http.ResponseWriter, r *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	switch r.URL.Path {
	case "/.well-known/openid-configuration":
		json.NewEncoder(w).Encode(map[string]any{"issuer": p.URL, "authorization_endpoint": p.URL + "/authorize", "token_endpoint": p.URL + "/token", "jwks_uri": p.URL + "/jwks",
			"id_token_signing_alg_values_supported": []string{"EdDSA"}, "authorization_response_iss_parameter_supported": true})
	case "/jwks":
		json.NewEncoder(w).Encode(map[string]any{"keys": []any{map[string]any{"kty": "OKP", "crv": "Ed25519", "kid": "k", "use": "sig", "x": base64url(p.key.Public().(ed25519.PublicKey))}}})
	case "/token":
		r.ParseForm()
		asked, ok := p.codes[r.PostForm.Get("code")]
		delete(p.codes, r.PostForm.Get("code"))
		sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
		if !ok || p.fails != "" || asked.Get("code_challenge") != base64url(sum[:]) {
			w.WriteHeader(400)
			fmt.Fprintf(w, `{"error":"invalid_grant","error_description":"%s"}`, p.fails)
			return
		}
		claims := map[string]any{"iss": p.URL, "aud": asked.Get("client_id"), "sub": "alice-at-the-provider", "nonce": asked.Get("nonce"), "email": "alice@acme.test", "email_verified": true,
			"name": "Alice", "exp": time.Now().Add(time.Hour).Unix(), "iat": time.Now().Unix()}
		for name, value := range p.claims {
			claims[name] = value
		}
		head, _ := json.Marshal(map[string]any{"alg": "EdDSA", "typ": "JWT", "kid": "k"})
		body, _ := json.Marshal(claims)
		signed := base64url(head) + "." + base64url(body)
		json.NewEncoder(w).Encode(map[string]any{"access_token": "the-providers-access-token", "token_type": "Bearer", "id_token": signed + "." + base64url(ed25519.Sign(p.key, []byte(signed)))})
	default:
		w.WriteHeader(404)
	}
}

// authorize plays the person at the provider and gives the address that the browser is sent to.
func (p *provider) authorize(t *testing.T, location string) string {
	t.Helper()
	u, err := url.Parse(location)
	if err != nil || !strings.HasPrefix(location, p.URL+"/authorize?") {
		t.Fatalf("the browser was sent to %q", location)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var random [600]byte // some providers' codes are sealed tokens
	rand.Read(random[:])
	c := base64url(random[:])
	p.codes[c] = u.Query()
	q := url.Values{"code": {c}, "state": {u.Query().Get("state")}, "iss": {p.URL}, "session_state": {base64url(random[:32]) + ".x"}}
	return u.Query().Get("redirect_uri") + "?" + q.Encode()
}

func (p *provider) set(fails string, claims map[string]any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fails, p.claims = fails, claims
}

// withProvider gives acme a provider that answers.
func withProvider(p *provider, ca string) func(string) string {
	return func(text string) string {
		return strings.Replace(text, `issuer: "https://idp.invalid/acme", client_id: x, client_secret: "env:SALLYPORT_WIRED_KEY", roles: {default: viewer}}`,
			`issuer: "`+p.URL+`", client_id: gw, client_secret: "env:SALLYPORT_WIRED_KEY", ca: "`+ca+`", allow: ["127.0.0.0/8"], roles: {default: member}, button: true}`, 1)
	}
}

// begin posts the login page's form and gives where the browser is sent.
func (s *surfer) begin(t *testing.T, back string) string {
	t.Helper()
	resp, body := s.send(t, "POST", "https://crm.test/.sallyport/login", url.Values{"provider": {"idp-acme"}, "return": {back}, "again": {"1"}}.Encode(),
		"Content-Type: application/x-www-form-urlencoded", "Accept: text/html", browser, "Origin: https://crm.test")
	if resp.StatusCode != 303 {
		t.Fatalf("the login's form: %d %s", resp.StatusCode, body)
	}
	return resp.Header.Get("Location")
}

// TestLoginThroughAProvider walks real logins over the wired gateway.
func TestLoginThroughAProvider(t *testing.T) {
	p, ca := newProvider(t)
	g := newWired(t, withProvider(p, ca))

	t.Run("two tabs, each with its own way back", func(t *testing.T) {
		s := g.surfer(t)
		one, two := s.begin(t, "/api/contacts/1?x=y"), s.begin(t, "/api/contacts/2")
		for back, location := range map[string]string{"/api/contacts/1?x=y": one, "/api/contacts/2": two} {
			resp, body := s.visit(t, p.authorize(t, location))
			if resp.StatusCode != 303 || resp.Header.Get("Location") != back {
				t.Fatalf("the callback: %d %q %s", resp.StatusCode, resp.Header.Get("Location"), body)
			}
			ev := g.eventOf(t, "acme", resp.Header.Get("X-Request-Id"))
			if ev.Action != "login" || ev.Outcome != access.Done || ev.Actor.Email != "alice@acme.test" || ev.Actor.Provider != "idp-acme" || ev.Actor.Session == "" {
				t.Errorf("the event is %+v", ev)
			}
			if resp, body := s.visit(t, "https://crm.test/api/contacts/7"); resp.StatusCode != 200 {
				t.Fatalf("after the login: %d %s", resp.StatusCode, body)
			}
		}
		if got := s.cookies("https://crm.test/"); len(got) != 2 {
			t.Errorf("the browser holds %v", got)
		}
		for _, got := range g.took() {
			if strings.Contains(fmt.Sprint(got.Header), "sallyport-") {
				t.Errorf("the backend got a cookie of ours: %v", got.Header)
			}
		}
	})
	t.Run("an answer is good once, and in its own browser alone", func(t *testing.T) {
		s, victim := g.surfer(t), g.surfer(t)
		answer := p.authorize(t, s.begin(t, "/"))
		if resp, body := victim.visit(t, answer); resp.StatusCode != 400 || victim.cookies("https://crm.test/")[sessionName] != "" {
			t.Errorf("in another browser: %d %s", resp.StatusCode, body)
		}
		held := s.cookies("https://crm.test/")
		if resp, body := s.visit(t, answer); resp.StatusCode != 303 {
			t.Fatalf("in its own: %d %s", resp.StatusCode, body)
		}
		again := g.surfer(t)
		u, _ := url.Parse("https://crm.test/")
		for name, value := range held { // a copy of the browser as it was
			again.Jar.SetCookies(u, []*http.Cookie{{Name: name, Value: value, Secure: true, Path: "/"}})
		}
		if resp, body := again.visit(t, answer); resp.StatusCode != 400 || again.cookies("https://crm.test/")[sessionName] != "" {
			t.Errorf("a second time: %d %s", resp.StatusCode, body)
		}
		// On the other host of the site there is no such attempt.
		if resp, body := s.visit(t, strings.Replace(p.authorize(t, s.begin(t, "/")), "crm.test", "other.test", 1)); resp.StatusCode != 400 {
			t.Errorf("on another host: %d %s", resp.StatusCode, body)
		}
	})
	t.Run("no way back leads elsewhere", func(t *testing.T) {
		for _, back := range []string{"//evil.test", "///evil.test", `/\evil.test`, "https://evil.test", "https:evil.test", "/\t/evil.test", "/%09/evil.test", "/%5cevil.test", "javascript:alert(1)",
			"/.sallyport/logout", "/a/..//evil.test", "/%2f/evil.test", "\x00/", "/a\r\nSet-Cookie: x=y", strings.Repeat("/a", 2000), "/%252f%252fevil.test/.."} {
			s := g.surfer(t)
			resp, body := s.send(t, "POST", "https://crm.test/.sallyport/login", url.Values{"provider": {"idp-acme"}, "return": {back}}.Encode(),
				"Content-Type: application/x-www-form-urlencoded", "Accept: text/html", browser, "Origin: https://crm.test")
			if resp.StatusCode >= 400 && resp.StatusCode < 500 { // the WAF or the reading of forms was first
				continue
			}
			if resp.StatusCode != 303 {
				t.Fatalf("%q: %d %s", back, resp.StatusCode, body)
			}
			resp, body = s.visit(t, p.authorize(t, resp.Header.Get("Location")))
			if resp.StatusCode != 303 || resp.Header.Get("Location") != "/" {
				t.Errorf("%q leads to %d %q %s", back, resp.StatusCode, resp.Header.Get("Location"), body)
			}
		}
	})
	t.Run("failed logins are in the journal", func(t *testing.T) {
		for name, c := range map[string]struct {
			change func(string) string
			fails  string
			claims map[string]any
			status int
			code   string
		}{
			"the provider says no": {change: func(a string) string {
				return strings.Replace(a, "code=", "error=access_denied&error_description=hunter2-secret&x=", 1)
			}, status: 403, code: "login_denied"},
			"the token endpoint says no":        {fails: "hunter2-secret", status: 403, code: "login_invalid"},
			"a token for another client":        {claims: map[string]any{"aud": "other"}, status: 403, code: "login_invalid"},
			"a token with another nonce":        {claims: map[string]any{"nonce": "x"}, status: 403, code: "login_invalid"},
			"another issuer in the answer":      {change: func(a string) string { return strings.Replace(a, "iss=", "iss=x", 1) }, status: 400, code: ""},
			"a subject that no header can hold": {claims: map[string]any{"groups": []string{"a\nb"}}, status: 403, code: "login_invalid"},
		} {
			p.set(c.fails, c.claims)
			s := g.surfer(t)
			answer := p.authorize(t, s.begin(t, "/"))
			if c.change != nil {
				answer = c.change(answer)
			}
			resp, body := s.visit(t, answer)
			if resp.StatusCode < 400 || resp.StatusCode >= 500 || s.cookies("https://crm.test/")[sessionName] != "" {
				t.Errorf("%s: %d %.300s", name, resp.StatusCode, body)
			}
			if strings.Contains(body, "hunter2") {
				t.Errorf("%s: the page repeats what the provider said", name)
			}
			ev := g.journalled(t, resp.Header.Get("X-Request-Id"))
			if ev.Action != "login" || ev.Outcome == access.Done || ev.Outcome == access.Intended || ev.Status != resp.StatusCode {
				t.Errorf("%s: the event is %+v", name, ev)
			}
			if !strings.Contains(body, c.code) {
				t.Errorf("%s: the page does not say %q", name, c.code)
			}
		}
		p.set("", nil)
	})
}

// journalled finds the last record of a request in the files of the journal, whatever its tenant.
func (g *wired) journalled(t *testing.T, request string) (found access.Event) {
	t.Helper()
	eventually(t, "the journal has "+request, func() bool {
		for _, ev := range g.written(t) {
			if ev.Request.ID == request && ev.Outcome != access.Intended {
				found = ev
				return true
			}
		}
		return false
	})
	return found
}

// written gives the events in the files of the journal.
func (g *wired) written(t *testing.T) (events []access.Event) {
	t.Helper()
	err := audit.Read(g.active().loaded.Tree.Audit.Dir, func(_ audit.Header, content []byte) error {
		ev, _, err := audit.DecodeEvent(content)
		events = append(events, ev)
		return err
	}, func(string, audit.Hash) {})
	if err != nil {
		t.Fatal(err)
	}
	return events
}

// TestTheJournalIsComplete (A02, A03): everything that was changed, tried or refused to somebody
// is in it, with who, for which tenant, to what, and how it ended; and no secret is in it or in the log.
func TestTheJournalIsComplete(t *testing.T) {
	p, ca := newProvider(t)
	g := newWired(t, func(text string) string {
		return strings.Replace(withProvider(p, ca)(text), "level: warn", "level: debug", 1)
	})
	secrets := []string{"the-providers-access-token", "hunter2", "s3cr3t-value", "client-csrf-value"}
	type want struct {
		request                                          string
		tenant, actor, action, resource, id, gate, cause string
		outcome                                          access.Outcome
		status                                           int
	}
	var wants []want
	note := func(resp *http.Response, w want) {
		w.request, w.status = resp.Header.Get("X-Request-Id"), resp.StatusCode
		wants = append(wants, w)
	}
	remember := func(cookie string) string {
		for part := range strings.SplitSeq(cookie, "; ") {
			_, value, _ := strings.Cut(part, "=")
			secrets = append(secrets, value)
		}
		return cookie
	}

	s := g.surfer(t)
	answer := p.authorize(t, s.begin(t, "/"))
	u, _ := url.Parse(answer)
	for _, c := range s.cookies("https://crm.test/") {
		secrets = append(secrets, c)
	}
	secrets = append(secrets, u.Query().Get("code"), u.Query().Get("state"))
	resp, body := s.visit(t, answer)
	if resp.StatusCode != 303 {
		t.Fatalf("login: %d %s", resp.StatusCode, body)
	}
	remember(setByAnswer(resp))
	held := s.cookies("https://crm.test/")
	mine := sessionName + "=" + held[sessionName] + "; " + refreshName + "=" + held[refreshName]
	who := g.eventOf(t, "acme", resp.Header.Get("X-Request-Id")).Actor.ID
	note(resp, want{tenant: "acme", actor: who, action: "login", resource: "sallyport", outcome: access.Done})
	if len(who) != 26 {
		t.Fatalf("the actor of the login is %q", who)
	}

	write := func(method, target, body string, w want, header ...string) {
		t.Helper()
		resp, _ := g.ask(t, method, target, body, append(header, "Cookie: "+mine+"; csrf=client-csrf-value", browser, "Content-Type: application/json")...)
		if w.tenant == "" {
			w.tenant = "acme"
		}
		w.actor = who
		note(resp, w)
	}
	write("POST", "/api/contacts", `{"name":"x","password":"hunter2","api_key":"s3cr3t-value"}`, want{action: "create", resource: "contact", outcome: access.Done})
	write("PATCH", "/api/contacts/7", `{"name":"x","auth":{"token":"s3cr3t-value"}}`, want{action: "update", resource: "contact", id: "7", outcome: access.Done})
	write("DELETE", "/api/contacts/7", "", want{action: "delete", resource: "contact", id: "7", outcome: access.Refused, gate: "authorize", cause: "not_permitted"})
	write("PUT", "/billing/9", `{"a":1}`, want{action: "update", resource: "invoice", id: "9", outcome: access.Refused, gate: "authorize", cause: "not_permitted"})
	write("GET", "/api/contacts/7?tenant_id=globex", "", want{action: "read", resource: "contact", id: "7", outcome: access.Refused, gate: "tenant", cause: "tenant_mismatch"})
	write("POST", "/api/contacts", `{"tenant_id":"globex"}`, want{action: "create", resource: "contact", outcome: access.Refused, gate: "operation", cause: "tenant_mismatch"})
	write("GET", "/deals/card.php?action=confirm_delete&id=4", "", want{action: "delete", resource: "deal", id: "4", outcome: access.Refused, gate: "authorize", cause: "not_permitted"})
	write("POST", "/rpc/", `{"method":"write","params":["hunter2-less"]}`, want{action: "unknown", resource: "model", outcome: access.Refused, gate: "authorize", cause: "not_permitted"})
	crossed, _ := g.ask(t, "POST", "/api/contacts", `{}`, "Cookie: "+mine, "Origin: https://evil.test", "Sec-Fetch-Site: cross-site", "Content-Type: application/json")
	note(crossed, want{tenant: "acme", actor: who, action: "create", resource: "contact", outcome: access.Refused, gate: "cross_origin", cause: "cross_origin"})

	// An old refresh token, after its successor was used.
	_, first := cookiePair(remember(g.login(t, "crm", "acme", "carol", "member")))
	renewed, _ := g.ask(t, "GET", "/api/x", "", "Cookie: "+first)
	_, second := cookiePair(remember(setByAnswer(renewed)))
	third, _ := g.ask(t, "GET", "/api/x", "", "Cookie: "+second)
	remember(setByAnswer(third))
	reused, _ := g.ask(t, "GET", "/api/contacts/3", "", "Cookie: "+first)
	note(reused, want{tenant: "acme", actor: "carol-id", action: "session_revoked", resource: "contact", id: "3", outcome: access.Refused, gate: "authenticate", cause: "session_reused"})

	// A login that fails at the token endpoint.
	p.set("hunter2", nil)
	failing := g.surfer(t)
	answer = p.authorize(t, failing.begin(t, "/"))
	u, _ = url.Parse(answer)
	secrets = append(secrets, u.Query().Get("code"), u.Query().Get("state"))
	resp, _ = failing.visit(t, answer)
	note(resp, want{action: "login", resource: "sallyport", outcome: access.Refused, gate: "last_door", cause: "login_invalid"})

	out, _ := g.ask(t, "POST", "/.sallyport/logout", "", "Cookie: "+mine, browser, "Content-Length: 0")
	note(out, want{tenant: "acme", actor: who, action: "logout", resource: "sallyport", outcome: access.Done})

	for _, w := range wants {
		ev := g.journalled(t, w.request)
		got := want{w.request, ev.Tenant.String(), ev.Actor.ID, ev.Action, ev.Resource.Type, ev.Resource.ID, w.gate, w.cause, ev.Outcome, ev.Status}
		if got != w || w.gate != "" && (ev.Decision.Gate != w.gate || !strings.Contains(fmt.Sprint(ev.Decision.Reasons), w.cause)) {
			t.Errorf("the journal has\n%+v %s %v\nwant\n%+v", got, ev.Decision.Gate, ev.Decision.Reasons, w)
		}
		if !ev.Client.Addr.IsValid() || ev.Request.Site != "crm" || ev.Time.IsZero() || ev.ID == "" {
			t.Errorf("the event lacks something: %+v", ev)
		}
	}
	places := map[string]string{"the log": g.logged.String(), "the metrics": g.ops(t, "/metrics"), "the journal": strings.Join(g.events(t, ""), "\n")}
	for place, text := range places {
		for _, s := range secrets {
			if len(s) >= 7 && strings.Contains(strings.ReplaceAll(text, "hunter2-less", ""), s) {
				t.Errorf("%s holds the secret %.60q", place, s)
			}
		}
	}
	if !strings.Contains(places["the journal"], `"name"`) || !strings.Contains(places["the log"], "oidc/callback") {
		t.Error("what is searched for secrets does not hold what it should")
	}
}
