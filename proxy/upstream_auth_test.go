package proxy

import (
	"bufio"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/units"
)

func refTo(t testing.TB, text string) secret.Ref {
	t.Helper()
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte(text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	ref, err := secret.ParseRef("file:" + file)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

func TestAccountsBelongToATenantsUser(t *testing.T) {
	a := accounts{"acme/alice@acme.test": {user: "alice"}, "acme/*": {user: "acme-all"}, "bob@x.test": {user: "bob"}, "*": {}}
	for _, c := range []struct{ tenant, email, want string }{
		{"acme", "Alice@ACME.test", "alice"},
		{"acme", "carol@acme.test", "acme-all"},
		{"globex", "alice@acme.test", "alice@acme.test"}, // another tenant's provider vouches: not acme's credential
		{"globex", "bob@x.test", "bob"},
		{"acme", "", "acme-all"},
		{"globex", "", ""},
	} {
		got, ok := a.of(&access.Identity{Email: c.email, Tenant: tenantID(t, c.tenant)})
		if got.user != c.want || ok != (c.want != "") {
			t.Errorf("%s of %s is %q, %v, want %q", c.email, c.tenant, got.user, ok, c.want)
		}
	}
	if _, ok := (accounts{"acme/": {user: "x"}, "": {user: "y"}}).of(&access.Identity{Tenant: tenantID(t, "acme")}); ok {
		t.Error("an identity without e-mail has an account under the empty one")
	}
}

func TestHeaderLoginTellsTheUsersName(t *testing.T) {
	for _, c := range []struct {
		auth UpstreamAuth
		want string
	}{
		{UpstreamAuth{Kind: "header"}, "X-Remote-User: alice@acme.test"},
		{UpstreamAuth{Kind: "header", Header: "X-WEBAUTH-USER", Value: "id"}, "X-Webauth-User: u1"},
	} {
		f := newFront(t, SiteConfig{Upstreams: []string{socket(t, echoHead)}, UpstreamAuth: &c.auth}, nil)
		_, got := arrived(t, f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\nX-Remote-User: root\r\nX_WEBAUTH_USER: root\r\n\r\n"))
		if !slices.Contains(got, c.want) || strings.Contains(strings.Join(got, " "), "root") {
			t.Errorf("got\n%s\nwant %s", strings.Join(got, "\n"), c.want)
		}
	}
	nameless := alice(t)
	nameless.Email = ""
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, echoHead)}, UpstreamAuth: &UpstreamAuth{Kind: "header"}}, func(ex *access.Exchange) { ex.Identity = nameless })
	if res := f.ask(t, getRoot); res.StatusCode != 403 {
		t.Errorf("a user without e-mail: %d, want 403", res.StatusCode)
	}
}

func TestBearerLoginGivesEachUserTheirToken(t *testing.T) {
	who := alice(t)
	f := newFront(t, SiteConfig{Upstreams: []string{socket(t, echoHead)}, UpstreamAuth: &UpstreamAuth{Kind: "bearer",
		Users: map[string]Credential{"acme/alice@acme.test": {Token: refTo(t, "alices-token")}}}}, func(ex *access.Exchange) { ex.Identity = who })
	_, got := arrived(t, f.ask(t, "GET / HTTP/1.1\r\nHost: crm.test\r\nAuthorization: Basic cm9vdDpyb290\r\n\r\n"))
	if !slices.Contains(got, "Authorization: Bearer alices-token") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
	who = alice(t)
	who.Tenant = tenantID(t, "globex")
	if res := f.ask(t, getRoot); res.StatusCode != 403 || f.refused.Load().Code != "no_backend_account" {
		t.Errorf("another tenant's alice: %d, want 403", res.StatusCode)
	}
}

func TestSecretsAreFetchedAtTheStartAndNeverNamed(t *testing.T) {
	missing, err := secret.ParseRef("file:/nonexistent/secret")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		ref  secret.Ref
		want string
	}{
		{"missing", missing, "sites[0].upstream_auth.users.*.token"},
		{"unset", secret.Ref{}, "sites[0].upstream_auth.users.*.token"},
		{"a line break", refTo(t, "hunter2\r\nX-Tenant-ID: globex"), "control characters"},
	} {
		all, err := newSites(Config{Sites: []SiteConfig{{Name: "crm", Hosts: []string{"crm.test"}, Upstreams: []string{"http://127.0.0.1:1"},
			UpstreamAuth: &UpstreamAuth{Kind: "bearer", Users: map[string]Credential{"*": {Token: c.ref}}}}}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		f := newFront(t, SiteConfig{Upstreams: []string{"http://127.0.0.1:1"}}, nil)
		_, err = newBackends(all, f.plan.rooms)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// tryton behaves like the real one: a JSON-RPC login per database, a session in Authorization,
// 401 when that has ended.
type tryton struct {
	mu       sync.Mutex
	sessions map[string]string // token → user
	logins   int
	writes   []string
	slow     chan struct{} // each login takes one, when set
	seen     []http.Header
	always   int // a status that calls always get, when set
}

func (b *tryton) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	var call struct {
		Method string
		Params []json.RawMessage
	}
	json.Unmarshal(body, &call)
	if call.Method == "common.db.login" {
		if b.slow != nil {
			<-b.slow
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.logins++
		b.seen = append(b.seen, r.Header)
		var user string
		var pass struct{ Password string }
		json.Unmarshal(call.Params[0], &user)
		json.Unmarshal(call.Params[1], &pass)
		if pass.Password != `pa"ss\{user}` || r.URL.Path != "/crm/" {
			io.WriteString(w, `{"id":0,"result":null}`)
			return
		}
		token := fmt.Sprintf("token%d", b.logins)
		b.sessions[token] = user
		fmt.Fprintf(w, `{"id":0,"result":[7,%q]}`, token)
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	kind, encoded, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	plain, _ := base64.StdEncoding.DecodeString(encoded)
	parts := strings.Split(string(plain), ":")
	if b.always != 0 || kind != "Session" || len(parts) != 3 || parts[1] != "7" || b.sessions[parts[2]] != parts[0] {
		w.Header().Set("WWW-Authenticate", "Basic")
		w.WriteHeader(max(b.always, 401))
		return
	}
	if r.Method == "POST" {
		b.writes = append(b.writes, string(body))
	}
	fmt.Fprintf(w, "%s by %s", body, parts[0])
}

func (b *tryton) count() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.logins
}

func (b *tryton) endAll() {
	b.mu.Lock()
	defer b.mu.Unlock()
	clear(b.sessions)
}

func trytonAuth(t *testing.T, password string) *UpstreamAuth {
	return &UpstreamAuth{Kind: "login", Users: map[string]Credential{"*": {User: "admin", Password: refTo(t, password)}},
		Login: &LoginConfig{Path: "/{tenant}/", Type: "application/json",
			Body:   `{"id":0,"method":"common.db.login","params":["{user}",{"password":"{password}"},"en"]}`,
			Take:   map[string]string{"id": "json.result.0", "token": "json.result.1"},
			Header: map[string]string{"Authorization": "Session base64({user}:{id}:{token})"}, Renew: []int{401, 403}}}
}

func newTryton(t *testing.T, password string, exchange func(*access.Exchange)) (*tryton, *front) {
	b := &tryton{sessions: map[string]string{}}
	server := httptest.NewServer(b)
	t.Cleanup(server.Close)
	auth := trytonAuth(t, password)
	auth.check("upstream_auth", func(path, what, _ string) { t.Errorf("%s: %s", path, what) }, func(path, what, _ string) { t.Errorf("warning: %s: %s", path, what) })
	f := newFront(t, SiteConfig{Upstreams: []string{server.URL}, UpstreamAuth: auth,
		Tenant: TenantConfig{PathElement: true, PathNames: map[string]string{"acme": "crm"}}}, exchange)
	return b, f
}

func spooled(ex *access.Exchange) {
	if !ex.Body.Present {
		return
	}
	b, _ := io.ReadAll(ex.Request.Body)
	ex.Body.Stream, ex.Body.Size = nil, int64(len(b))
	ex.Body.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(string(b))), nil }
}

const goodPassword = `pa"ss\{user}`

func post(body string) string {
	return fmt.Sprintf("POST /crm/ HTTP/1.1\r\nHost: crm.test\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}

func TestOneLoginServesAUsersRequests(t *testing.T) {
	b, f := newTryton(t, goodPassword, spooled)
	b.slow = make(chan struct{})
	var conns []net.Conn
	for range 5 {
		conns = append(conns, f.raw(t, post(`{"method":"read"}`)))
	}
	b.slow <- struct{}{}
	for _, conn := range conns {
		if res := readAnswer(t, bufio.NewReader(conn)); res.StatusCode != 200 || text(t, res) != `{"method":"read"} by admin` {
			t.Errorf("%d", res.StatusCode)
		}
	}
	if b.count() != 1 {
		t.Errorf("%d logins, want 1", b.count())
	}
	h := b.seen[0]
	if h.Get("X-Tenant-Id") != "acme" || h.Get("X-User-Id") != "u1" || h.Get("Referer") != "https://crm.test/crm/" || h.Get("X-Forwarded-For") != "192.0.2.7" {
		t.Errorf("the login came with %v", h)
	}
	if strings.Contains(f.log.String(), "{user}") {
		t.Error("the password is in the log")
	}
}

func TestALoginSurvivesTheClientThatBeganIt(t *testing.T) {
	b, f := newTryton(t, goodPassword, spooled)
	b.slow = make(chan struct{})
	first := f.raw(t, post(`{"method":"read"}`))
	second := f.raw(t, post(`{"method":"read"}`))
	first.Close()
	b.slow <- struct{}{}
	if res := readAnswer(t, bufio.NewReader(second)); res.StatusCode != 200 || b.count() != 1 {
		t.Errorf("%d after %d logins", res.StatusCode, b.count())
	}
}

func TestAnEndedBackendSessionIsRenewedOnceForReadsAndWrites(t *testing.T) {
	b, f := newTryton(t, goodPassword, spooled)
	now := time.Now()
	f.jar.now = func() time.Time { return now }
	for i, request := range []string{getRoot, post(`{"method":"write"}`), getRoot} {
		if res := f.ask(t, request); res.StatusCode != 200 {
			t.Fatalf("request %d: %d", i, res.StatusCode)
		}
		b.endAll()
		now = now.Add(loginPause)
	}
	if b.count() != 3 || len(b.writes) != 1 || b.writes[0] != `{"method":"write"}` {
		t.Errorf("%d logins, writes %q", b.count(), b.writes)
	}
}

func TestAPageThatAlwaysAnswers401CostsNoLoginEachTime(t *testing.T) {
	b, f := newTryton(t, goodPassword, spooled)
	b.always = 401
	for range 5 {
		if res := f.ask(t, getRoot); res.StatusCode != 401 || res.Header.Get("WWW-Authenticate") != "" {
			t.Errorf("%d %q, want the backend's own 401 without asking for credentials", res.StatusCode, res.Header["WWW-Authenticate"])
		}
	}
	if b.count() != 2 {
		t.Errorf("%d logins, want 2: the first and one renewal", b.count())
	}
}

func TestAStreamThatMetAnEndedSessionIsToBeSentAgain(t *testing.T) {
	b, f := newTryton(t, goodPassword, func(ex *access.Exchange) {
		if ex.Request.Method == "GET" {
			spooled(ex)
		}
	})
	f.ask(t, getRoot)
	b.endAll()
	if res := f.ask(t, post(`{"method":"write"}`)); res.StatusCode != 503 || f.refused.Load().Code != "upstream_session_renewed" {
		t.Errorf("%d, want 503", res.StatusCode)
	}
	if res := f.ask(t, post(`{"method":"write"}`)); res.StatusCode != 200 || len(b.writes) != 1 {
		t.Errorf("sent again: %d, %d writes", res.StatusCode, len(b.writes))
	}
}

func TestAWrongPasswordIsNotTriedAgainAtOnce(t *testing.T) {
	b, f := newTryton(t, "wrong", spooled)
	now := time.Now()
	f.jar.now = func() time.Time { return now }
	for range 3 {
		if res := f.ask(t, getRoot); res.StatusCode != 502 || f.refused.Load().Code != "upstream_login_failed" {
			t.Errorf("%d, want 502 upstream_login_failed", res.StatusCode)
		}
	}
	if b.count() != 1 {
		t.Errorf("%d attempts, want 1", b.count())
	}
	now = now.Add(loginPause)
	f.ask(t, getRoot)
	if b.count() != 2 {
		t.Errorf("%d attempts after the pause, want 2", b.count())
	}
}

func TestSessionsBelongToOneUserAndOneLogin(t *testing.T) {
	who := alice(t)
	b, f := newTryton(t, goodPassword, func(ex *access.Exchange) { ex.Identity = who })
	f.ask(t, getRoot)
	for i, change := range []func(*access.Identity){
		func(id *access.Identity) { id.LoginID = "l2" },
		func(id *access.Identity) { id.Subject = "u2" },
	} {
		who = alice(t)
		change(who)
		if res := f.ask(t, getRoot); res.StatusCode != 200 || b.count() != i+2 {
			t.Errorf("change %d: %d, %d logins", i, res.StatusCode, b.count())
		}
	}
	who = alice(t)
	if f.ask(t, getRoot); b.count() != 3 {
		t.Errorf("the first session is gone: %d logins", b.count())
	}
	f.jar.Forget("l1") // logout, which ends u1's and u2's session of that login
	if f.ask(t, getRoot); b.count() != 4 {
		t.Errorf("the session outlived the logout: %d logins", b.count())
	}
	now := time.Now().Add(time.Hour + time.Second)
	f.jar.now = func() time.Time { return now }
	if f.ask(t, getRoot); b.count() != 5 {
		t.Errorf("the session outlived its time: %d logins", b.count())
	}
}

func TestACookieSessionIsKeptFromTheBrowser(t *testing.T) {
	var mu sync.Mutex
	var got []string
	php := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if r.URL.Path == "/login.php" {
			if r.ParseForm() != nil || r.PostForm.Get("pw") != "a&b=c" || r.PostForm.Get("user") != "alice@acme.test" {
				t.Errorf("login with %v", r.PostForm)
			}
			http.SetCookie(w, &http.Cookie{Name: "PHPSESSID", Value: "first", HttpOnly: true})
			w.Header().Set("Location", "/")
			w.WriteHeader(302)
			return
		}
		got = append(got, r.Header.Get("Cookie"))
		http.SetCookie(w, &http.Cookie{Name: "PHPSESSID", Value: fmt.Sprint("rotated", len(got)), HttpOnly: true})
		http.SetCookie(w, &http.Cookie{Name: "theme", Value: "dark"})
	}))
	t.Cleanup(php.Close)
	f := newFront(t, SiteConfig{Upstreams: []string{php.URL}, Cookies: CookiesConfig{Script: []string{"theme", "PHPSESSID"}}, UpstreamAuth: &UpstreamAuth{Kind: "login",
		Users: map[string]Credential{"acme/*": {Password: refTo(t, "a&b=c")}},
		Login: &LoginConfig{Path: "/login.php", Type: "application/x-www-form-urlencoded", Body: "user={user}&pw={password}",
			Take: map[string]string{"sid": "cookie.PHPSESSID"}, Header: map[string]string{"cookie": "PHPSESSID={sid}"}}}}, nil)
	const request = "GET / HTTP/1.1\r\nHost: crm.test\r\nCookie: theme=light; PHPSESSID=stolen\r\n\r\n"
	for range 2 {
		res := f.ask(t, request)
		if lines := res.Header["Set-Cookie"]; len(lines) != 1 || !strings.HasPrefix(lines[0], "theme=dark") {
			t.Errorf("the browser gets %q", lines)
		}
	}
	if want := []string{"theme=light; PHPSESSID=first", "theme=light; PHPSESSID=rotated1"}; !slices.Equal(got, want) {
		t.Errorf("the backend gets %q, want %q", got, want)
	}
}

func TestALoginGoesToAnAddressThatLives(t *testing.T) {
	b, f := newTryton(t, goodPassword, spooled)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	dead, err := url.Parse("http://" + l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p := f.backends.bySite[&f.site.Site].pool
	p.targets, p.maxTries = append(p.targets, &target{url: dead}), 2
	p.targets[0].inFlight.Add(1) // so that the dead one is tried first
	if res := f.ask(t, getRoot); res.StatusCode != 200 || p.targets[1].fails.Load() != 1 || b.count() != 1 {
		t.Errorf("%d, %d failures to connect, %d logins", res.StatusCode, p.targets[1].fails.Load(), b.count())
	}
}

func TestWhatALoginAnswerMayHold(t *testing.T) {
	l := &sessionLogin{cfg: LoginConfig{Take: map[string]string{"a": "json.x.0.y"}}}
	for answer, want := range map[string]string{
		`{"x":[{"y":"v"}]}`:                  "v",
		`{"x":[{"y":12345678901234567890}]}`: "12345678901234567890",
		`{"x":[{"y":""}]}`:                   "",
		`{"x":[{"y":null}]}`:                 "",
		`{"x":[{"y":true}]}`:                 "",
		`{"x":[{"y":"a\r\nb"}]}`:             "",
		`{"x":[]}`:                           "",
		`{"x":{"0":{"y":"v"}}}`:              "v",
		`"x"`:                                "",
		`<html>`:                             "",
		``:                                   "",
	} {
		values := map[string]string{}
		if err := l.take(values, []byte(answer), nil); values["a"] != want || (err == nil) != (want != "") {
			t.Errorf("%s gives %q, %v, want %q", answer, values["a"], err, want)
		}
	}
}

func TestTemplates(t *testing.T) {
	values := map[string]string{"user": `a"b\&c`, "token": "t k"}
	names := map[string]bool{"user": true, "token": true}
	for _, c := range []struct {
		text   string
		escape func(string) string
		want   string
	}{
		{`{"u":"{user}","n":{},"x":{"y":1}}`, jsonText, `{"u":"a\"b\\\u0026c","n":{},"x":{"y":1}}`},
		{`u={user}&t={token}&b=base64({user}:{token})`, url.QueryEscape, `u=a%22b%5C%26c&t=t+k&b=YSJiXCZjOnQgaw%3D%3D`},
		{`/{token}/x`, url.PathEscape, `/t%20k/x`},
		{`base64(`, url.QueryEscape, `base64(`},
		{`b{`, url.QueryEscape, `b{`},
		{``, url.QueryEscape, ``},
		{`bob base6 {User} { user }`, url.QueryEscape, `bob base6 {User} { user }`},
	} {
		tpl, err := parseTemplate(c.text, names)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := tpl.expand(values, c.escape); got != c.want {
			t.Errorf("%s gives %s, want %s", c.text, got, c.want)
		}
	}
	for _, text := range []string{"{password}", "base64({nobody})"} {
		if _, err := parseTemplate(text, names); err == nil {
			t.Errorf("%s is understood", text)
		}
	}
}

func FuzzTemplate(f *testing.F) {
	f.Add(`{"a":"{user}"}`, `x"`)
	f.Add(`base64({user}`, "{user}")
	f.Fuzz(func(t *testing.T, text, value string) {
		tpl, err := parseTemplate(text, map[string]bool{"user": true})
		if err != nil {
			return
		}
		same := func(s string) string { return s }
		if !strings.Contains(text, "base64(") {
			if got, want := tpl.expand(map[string]string{"user": value}, same), strings.ReplaceAll(text, "{user}", value); got != want {
				t.Errorf("%q with %q gives %q, want %q", text, value, got, want)
			}
		}
	})
}

func TestChecksOfTheUpstreamHalf(t *testing.T) {
	users := map[string]Credential{"acme/*": {Password: refTo(t, "x")}}
	login := func(change func(*LoginConfig)) UpstreamAuth {
		l := *trytonAuth(t, "x").Login
		l.Take, l.Header = map[string]string{"id": "json.result.0", "token": "json.result.1"}, map[string]string{"Authorization": "{token}"}
		change(&l)
		return UpstreamAuth{Kind: "login", Users: users, Login: &l}
	}
	type checker interface {
		check(path string, problem, warn func(path, what, hint string))
	}
	for _, c := range []struct {
		name     string
		cfg      checker
		problems string
		warnings string
	}{
		{"nothing said of upstream", UpstreamConfig{}, "", ""},
		{"all said of upstream", UpstreamConfig{CA: "/ca.pem", ServerName: "crm.internal", Dial: units.Span(time.Second), MaxConns: 10, HealthPath: "/health?x=y"}, "", ""},
		{"wrong upstream", UpstreamConfig{CA: "ca.pem", ServerName: "a b", Dial: units.Span(time.Hour), MaxConns: -1, HealthPath: "health"}, "x.ca x.health_path x.max_conns x.server_name", "x.dial"},
		{"cookies", CookiesConfig{Script: []string{"theme", "a b", "__Host-sallyport-session"}, Prelogin: []string{"", "lang"}}, "x.prelogin[0] x.script[1] x.script[2]", ""},
		{"response", ResponseConfig{Frame: "never", Referrer: "all"}, "x.frame x.referrer", ""},
		{"loose response", ResponseConfig{Frame: "off", Referrer: "unsafe-url"}, "", "x.frame x.referrer"},
		{"no kind", UpstreamAuth{}, "x.kind", ""},
		{"header", UpstreamAuth{Kind: "header", Header: "Remote-User"}, "", ""},
		{"wrong header", UpstreamAuth{Kind: "header", Header: "Cookie", Value: "name", Users: users, Login: &LoginConfig{}}, "x.header x.login x.users x.value", ""},
		{"bearer without token", UpstreamAuth{Kind: "bearer", Users: users}, "x.users.acme/*", ""},
		{"bearer for nobody", UpstreamAuth{Kind: "bearer"}, "x.users", ""},
		{"any tenant's e-mail", UpstreamAuth{Kind: "bearer", Users: map[string]Credential{"a@b": {Token: refTo(t, "x")}, "*": {Token: refTo(t, "x")}}}, "", "x.users.a@b"},
		{"half a key", UpstreamAuth{Kind: "bearer", Users: map[string]Credential{"acme/": {Token: refTo(t, "x"), User: "a\nb"}}}, "x.users.acme/ x.users.acme/.user", ""},
		{"login without login", UpstreamAuth{Kind: "login", Users: users}, "x.login", ""},
		{"a right login", login(func(*LoginConfig) {}), "", ""},
		{"an empty login", login(func(l *LoginConfig) { *l = LoginConfig{} }), "x.login.body x.login.header x.login.path x.login.take x.login.type", ""},
		{"a wrong login", login(func(l *LoginConfig) {
			l.Path, l.Body, l.Renew = "/{nobody}", "{password}{id}", []int{401, 302}
			l.Take = map[string]string{"Password": "json.a", "password": "json.b", "c": "header.x"}
			l.Header = map[string]string{"Content-Type": "{c}", "X-A": "{password}", "X-B": "a\nb"}
		}), "x.login.body x.login.header.Content-Type x.login.header.X-A x.login.header.X-B x.login.path x.login.renew[1] x.login.take.Password x.login.take.c x.login.take.password", ""},
	} {
		var problems, warnings []string
		note := func(list *[]string) func(path, what, hint string) {
			return func(path, what, hint string) {
				*list = append(*list, path)
				if what == "" || hint == "" {
					t.Errorf("%s: %s without words", c.name, path)
				}
			}
		}
		c.cfg.check("x", note(&problems), note(&warnings))
		slices.Sort(problems)
		slices.Sort(warnings)
		if got := strings.Join(slices.Compact(problems), " "); got != c.problems {
			t.Errorf("%s: problems at %s, want %s", c.name, got, c.problems)
		}
		if got := strings.Join(slices.Compact(warnings), " "); got != c.warnings {
			t.Errorf("%s: warnings at %s, want %s", c.name, got, c.warnings)
		}
	}
}
