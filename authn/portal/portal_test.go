package portal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/authn/oidc"
	"github.com/sallyport/sallyport/secret"
)

type fakeProviders struct {
	offers     []oidc.Offer
	paths      []string
	begin      func(oidc.Start) (oidc.Begun, error)
	finish     func(oidc.Callback) (oidc.Finished, error)
	endSession func(provider, back string, hint secret.String) (string, bool)
}

func (f *fakeProviders) Offers(string) []oidc.Offer { return f.offers }
func (f *fakeProviders) CallbackPaths() []string    { return f.paths }
func (f *fakeProviders) Begin(_ context.Context, s oidc.Start) (oidc.Begun, error) {
	return f.begin(s)
}
func (f *fakeProviders) Finish(_ context.Context, cb oidc.Callback) (oidc.Finished, error) {
	return f.finish(cb)
}
func (f *fakeProviders) EndSession(_ context.Context, p, back string, hint secret.String) (string, bool) {
	return f.endSession(p, back, hint)
}

type fakeSessions struct {
	begun []authn.Login
	ended int
	err   error
}

func (f *fakeSessions) Begin(_ context.Context, ex *access.Exchange, l authn.Login) error {
	if f.err != nil {
		return f.err
	}
	f.begun = append(f.begun, l)
	ex.SetCookies = append(ex.SetCookies, &http.Cookie{Name: "session", Value: "token-of-the-session"})
	return nil
}

func (f *fakeSessions) End(_ context.Context, ex *access.Exchange) error {
	f.ended++
	ex.SetCookies = append(ex.SetCookies, &http.Cookie{Name: "session", MaxAge: -1})
	return f.err
}

func (f *fakeSessions) LogoutHint(context.Context, *access.Exchange) secret.String {
	if f.ended > 0 {
		return secret.String{}
	}
	return secret.New("id-token")
}

type fakeDirectory map[string]string

func (f fakeDirectory) ByDomain(d string) (access.TenantID, bool) {
	id, err := access.ParseTenantID(f[d])
	return id, err == nil
}
func (f fakeDirectory) TenantName(id access.TenantID) string { return "Tenant " + id.String() }

// fakePages shows a page as its name and its data.
type fakePages struct{ err error }

func (f fakePages) Render(w io.Writer, page string, data any) error {
	if f.err != nil {
		return f.err
	}
	_, err := fmt.Fprintf(w, "%s %+v", page, data)
	return err
}
func (fakePages) CSP() string        { return "staying" }
func (fakePages) CSPLeaving() string { return "leaving" }

// desk is a portal with its fakes.
type desk struct {
	*Portal
	providers *fakeProviders
	sessions  *fakeSessions
	started   []oidc.Start
}

func tenant(t *testing.T, s string) access.TenantID {
	t.Helper()
	id, err := access.ParseTenantID(s)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func newDesk(t *testing.T, c Config, offers ...oidc.Offer) *desk {
	t.Helper()
	d := &desk{sessions: &fakeSessions{}}
	d.providers = &fakeProviders{offers: offers, paths: []string{"oidc/callback", "oidc/callback/acme-sso"},
		begin: func(s oidc.Start) (oidc.Begun, error) {
			d.started = append(d.started, s)
			return oidc.Begun{URL: "https://idp.example/authorize", Cookies: []*http.Cookie{{Name: "attempt", Value: "sealed"}}}, nil
		},
		endSession: func(string, string, secret.String) (string, bool) { return "", false },
	}
	var err error
	d.Portal, err = New(c, Rooms{Providers: d.providers, Sessions: d.sessions, Directory: fakeDirectory{"acme.test": "acme", "globex.test": "globex", "empty.test": "empty"}, Pages: fakePages{}})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func acme(t *testing.T) oidc.Offer {
	return oidc.Offer{Name: "acme-sso", Label: "Acme", Tenant: tenant(t, "acme")}
}
func globex(t *testing.T) oidc.Offer {
	return oidc.Offer{Name: "globex-sso", Label: "Globex", Tenant: tenant(t, "globex")}
}

func alice(t *testing.T) *access.Identity {
	return &access.Identity{Subject: "subject-of-alice", Email: "alice@acme.test", Name: "Alice", Tenant: tenant(t, "acme"), Roles: []string{"admin"}, Provider: "acme-sso",
		SessionID: "session-id", LoginID: "login-id", AuthTime: time.Unix(1, 0), Expires: time.Unix(2, 0), AMR: []string{"pwd"}}
}

// ask calls an endpoint as the last door does.
func (d *desk) ask(t *testing.T, method, target, form string, change func(*access.Exchange)) (*httptest.ResponseRecorder, *access.Exchange, error) {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, "https://crm.example.com"+target, nil)
	r.Header.Set("Accept", "text/html")
	ex := &access.Exchange{Request: r, ID: "request-id", Site: &access.Site{Name: "crm", Origin: "https://crm.example.com:8443", Prefix: prefix, Hosts: []string{"crm.example.com", "crm2.example.com"}}}
	pairs, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		t.Fatal(err)
	}
	for name, values := range pairs {
		for _, v := range values {
			ex.Target.Query = append(ex.Target.Query, access.Pair{Name: name, Value: v})
		}
	}
	if form != "" {
		ex.Body = access.Body{Present: true, Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(form)), nil }}
	}
	if change != nil {
		change(ex)
	}
	w := httptest.NewRecorder()
	ex.Writer = w
	find := method
	if method == http.MethodHead {
		find = http.MethodGet
	}
	for _, e := range d.Endpoints() {
		if prefix+"/"+e.Path == r.URL.Path && e.Method == find {
			return w, ex, e.Serve(w, ex)
		}
	}
	t.Fatalf("nothing answers %s %s", method, target)
	return nil, nil, nil
}

func cookieNames(ex *access.Exchange) []string {
	var names []string
	for _, c := range ex.SetCookies {
		names = append(names, c.Name)
	}
	return names
}

func TestSingleProviderIsGoneToAtOnce(t *testing.T) {
	d := newDesk(t, Config{}, acme(t))
	w, ex, err := d.ask(t, "GET", prefix+"/login?return=/contacts?a=b", "", nil)
	if err != nil || w.Code != 303 || w.Header().Get("Location") != "https://idp.example/authorize" || !slices.Equal(cookieNames(ex), []string{"attempt"}) {
		t.Fatalf("%d %v, cookies %v, %v", w.Code, w.Header(), cookieNames(ex), err)
	}
	want := oidc.Address{Site: "crm", Origin: "https://crm.example.com:8443", Prefix: prefix}
	if s := d.started[0]; s.Address != want || s.Return != "/contacts?a=b" || s.Provider != "acme-sso" {
		t.Errorf("started %+v", s)
	}
}

func TestLoginPageIsShownInsteadOfForwarding(t *testing.T) {
	head := func(name, value string) func(*access.Exchange) {
		return func(ex *access.Exchange) { ex.Request.Header.Set(name, value) }
	}
	for _, c := range []struct {
		name, method, query string
		cfg                 Config
		change              func(*access.Exchange)
	}{
		{"when the file says so", "GET", "", Config{AlwaysAsk: true}, nil},
		{"after a logout", "GET", "?again=1", Config{}, nil},
		{"for a prefetch", "GET", "", Config{}, head("Sec-Purpose", "prefetch")},
		{"for an image", "GET", "", Config{}, head("Sec-Fetch-Dest", "image")},
		{"for a frame", "GET", "", Config{}, head("Sec-Fetch-Dest", "iframe")},
		{"for a script", "GET", "", Config{}, head("Sec-Fetch-Mode", "cors")},
		{"for a program", "GET", "", Config{}, head("Accept", "*/*")},
		{"for HEAD", "HEAD", "", Config{}, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, c.cfg, acme(t))
			w, ex, err := d.ask(t, c.method, prefix+"/login"+c.query, "", c.change)
			if err != nil || w.Code != 200 || len(ex.SetCookies) != 0 || len(d.started) != 0 {
				t.Fatalf("%d, cookies %v, %v", w.Code, cookieNames(ex), err)
			}
			if h := w.Header(); h.Get("Cache-Control") != "private, no-store" || h.Get("Content-Security-Policy") != "leaving" {
				t.Errorf("headers %v", h)
			}
			if body := w.Body.String(); c.method == "GET" && !strings.Contains(body, "AskEmail:false Buttons:[{Provider:acme-sso Label:Acme}]") || c.method == "HEAD" && body != "" {
				t.Errorf("page %q", body)
			}
		})
	}
}

func TestLiveSessionIsLookedForFirst(t *testing.T) {
	for _, method := range []string{"GET", "POST"} {
		d := newDesk(t, Config{}, acme(t))
		target, form := prefix+"/login?return=/a", ""
		if method == "POST" {
			form = "return=/a&provider=acme-sso"
		}
		w, _, err := d.ask(t, method, target, form, func(ex *access.Exchange) { ex.Identity = alice(t) })
		if err != nil || w.Code != 303 || w.Header().Get("Location") != "/a" || len(d.started) != 0 {
			t.Errorf("%s: %d %v, %v", method, w.Code, w.Header(), err)
		}
	}
	d := newDesk(t, Config{}, acme(t))
	if _, _, err := d.ask(t, "POST", prefix+"/login", "again=1&provider=acme-sso", func(ex *access.Exchange) { ex.Identity = alice(t) }); err != nil || len(d.started) != 1 || !d.started[0].Again {
		t.Errorf("signing in anew: %+v, %v", d.started, err)
	}
}

func TestBadWaysBackAreReplacedBeforeTheLoginBegins(t *testing.T) {
	for _, c := range ways() {
		d := newDesk(t, Config{}, acme(t))
		if _, _, err := d.ask(t, "GET", prefix+"/login?return="+url.QueryEscape(c.raw), "", nil); err != nil || len(d.started) != 1 || d.started[0].Return != c.want {
			t.Errorf("%s by GET: %+v, %v", c.name, d.started, err)
		}
		if _, _, err := d.ask(t, "POST", prefix+"/login", "provider=acme-sso&return="+url.QueryEscape(c.raw), nil); err != nil || len(d.started) != 2 || d.started[1].Return != c.want {
			t.Errorf("%s by POST: %+v, %v", c.name, d.started, err)
		}
		w, _, err := d.ask(t, "GET", prefix+"/login?return="+url.QueryEscape(c.raw), "", func(ex *access.Exchange) { ex.Identity = alice(t) })
		if err != nil || w.Header().Get("Location") != c.want {
			t.Errorf("%s with a session: %q, %v", c.name, w.Header().Get("Location"), err)
		}
		d.providers.finish = func(oidc.Callback) (oidc.Finished, error) { return oidc.Finished{Return: c.raw}, nil }
		w, _, err = d.ask(t, "GET", prefix+"/oidc/callback", "", nil)
		if err != nil || w.Header().Get("Location") != c.want {
			t.Errorf("%s after the login: %q, %v", c.name, w.Header().Get("Location"), err)
		}
	}
	d := newDesk(t, Config{}, acme(t))
	if _, _, err := d.ask(t, "GET", prefix+"/login?return=/a&return=/b", "", nil); err != nil || d.started[0].Return != "/" {
		t.Errorf("two ways back: %+v, %v", d.started, err)
	}
}

func TestEmailFindsTheTenantsProvider(t *testing.T) {
	listed := globex(t)
	listed.Button = true
	for _, c := range []struct {
		name, form string
		offers     []oidc.Offer
		want       string // the provider; "" for the page
	}{
		{"a known domain", "email=alice@acme.test", []oidc.Offer{acme(t), globex(t)}, "acme-sso"},
		{"another known domain", "email=bob@globex.test", []oidc.Offer{acme(t), globex(t)}, "globex-sso"},
		{"with blanks around", "email=+alice@acme.test+", []oidc.Offer{acme(t), globex(t)}, "acme-sso"},
		{"the last at sign counts", "email=a@acme.test@globex.test", []oidc.Offer{acme(t), globex(t)}, "globex-sso"},
		{"an unknown domain", "email=a@nobody.test", []oidc.Offer{acme(t), globex(t)}, ""},
		{"a tenant without a provider", "email=a@empty.test", []oidc.Offer{acme(t), globex(t)}, ""},
		{"no address", "email=alice", []oidc.Offer{acme(t), globex(t)}, ""},
		{"nothing", "x=y", []oidc.Offer{acme(t), globex(t)}, ""},
		{"a name that was guessed", "provider=acme-sso", []oidc.Offer{acme(t), globex(t)}, ""},
		{"a name that was guessed with another's address", "provider=acme-sso&email=bob@globex.test", []oidc.Offer{acme(t), globex(t)}, ""},
		{"a name chosen among the tenant's own", "provider=acme-sso&email=alice@acme.test", []oidc.Offer{acme(t), globex(t)}, "acme-sso"},
		{"a button", "provider=globex-sso", []oidc.Offer{acme(t), listed}, "globex-sso"},
		{"the only one", "provider=acme-sso", []oidc.Offer{acme(t)}, "acme-sso"},
		{"none at all", "email=alice@acme.test", nil, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, Config{}, c.offers...)
			w, ex, err := d.ask(t, "POST", prefix+"/login", c.form, nil)
			if err != nil {
				t.Fatal(err)
			}
			if c.want == "" {
				if w.Code != 200 || !strings.Contains(w.Body.String(), "Notice:no_provider") || !strings.Contains(w.Body.String(), "AskEmail:true") || len(ex.SetCookies) != 0 {
					t.Errorf("%d %s", w.Code, w.Body)
				}
				return
			}
			if w.Code != 303 || len(d.started) != 1 || d.started[0].Provider != c.want {
				t.Errorf("%d, started %+v", w.Code, d.started)
			}
		})
	}
}

func TestUnknownDomainsAreToldTheSameAsDomainsWithoutAProvider(t *testing.T) {
	page := func(email string) string {
		d := newDesk(t, Config{}, acme(t), globex(t))
		w, _, err := d.ask(t, "POST", prefix+"/login", "email="+email, nil)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprint(w.Code, w.Header(), strings.ReplaceAll(w.Body.String(), email, "X"))
	}
	if a, b := page("a@nobody.test"), page("a@empty.test"); a != b {
		t.Errorf("unknown:\n%s\nwithout a provider:\n%s", a, b)
	}
}

func TestTenantWithTwoProvidersIsAsked(t *testing.T) {
	second := acme(t)
	second.Name, second.Label = "acme-two", "Acme Two"
	d := newDesk(t, Config{}, acme(t), second, globex(t))
	w, _, err := d.ask(t, "POST", prefix+"/login", "email=alice@acme.test&return=/a", nil)
	if err != nil || len(d.started) != 0 || !strings.Contains(w.Body.String(), "Buttons:[{Provider:acme-sso Label:Acme} {Provider:acme-two Label:Acme Two}]") ||
		!strings.Contains(w.Body.String(), "Email:alice@acme.test") || !strings.Contains(w.Body.String(), "Return:/a") {
		t.Errorf("%s, %v", w.Body, err)
	}
}

func TestProviderThatIsDownIsNoDeadEnd(t *testing.T) {
	for cause, want := range map[error]string{errors.New("down: https://idp.internal"): "503 provider_down", oidc.ErrNoProvider: "200 no_provider"} {
		d := newDesk(t, Config{}, acme(t))
		d.providers.begin = func(oidc.Start) (oidc.Begun, error) { return oidc.Begun{}, cause }
		w, ex, err := d.ask(t, "GET", prefix+"/login?return=/a", "", nil)
		if got := fmt.Sprint(w.Code, " ", strings.SplitN(strings.SplitN(w.Body.String(), "Notice:", 2)[1], " ", 2)[0]); err != nil || got != want || len(ex.SetCookies) != 0 {
			t.Errorf("%v: %s, %v", cause, got, err)
		}
		if strings.Contains(w.Body.String(), "idp.internal") || !strings.Contains(w.Body.String(), "Return:/a") {
			t.Errorf("page %s", w.Body)
		}
	}
}

func TestFormsThatCannotBeReadAreRefused(t *testing.T) {
	for name, form := range map[string]string{"a field twice": "email=a&email=b", "bad encoding": "email=%zz", "semicolons": "a=1;b=2", "too long": "a=" + strings.Repeat("x", maxForm)} {
		d := newDesk(t, Config{}, acme(t))
		_, _, err := d.ask(t, "POST", prefix+"/login", form, nil)
		if r := (*access.Refusal)(nil); !errors.As(err, &r) || r.Status != 400 || len(d.started) != 0 {
			t.Errorf("%s: %v", name, err)
		}
	}
	d := newDesk(t, Config{}, acme(t))
	_, _, err := d.ask(t, "POST", prefix+"/login", "x", func(ex *access.Exchange) {
		ex.Body.Open = func() (io.ReadCloser, error) { return nil, errors.New("the spool is gone") }
	})
	if err == nil || len(d.started) != 0 {
		t.Error("a body that does not open is taken for an empty one")
	}
}

func TestCallbackBeginsTheSessionOfWhatTheProviderProved(t *testing.T) {
	d := newDesk(t, Config{}, acme(t))
	var got oidc.Callback
	login := authn.Login{Tenant: tenant(t, "acme"), Subject: "s", Provider: "acme-sso"}
	d.providers.finish = func(cb oidc.Callback) (oidc.Finished, error) {
		got = cb
		return oidc.Finished{Login: login, Return: "/a", Cookies: []*http.Cookie{{Name: "attempt", MaxAge: -1}}}, nil
	}
	w, ex, err := d.ask(t, "GET", prefix+"/oidc/callback/acme-sso?code=c&state=s", "", func(ex *access.Exchange) { ex.Request.AddCookie(&http.Cookie{Name: "attempt", Value: "v"}) })
	if err != nil || w.Code != 303 || w.Header().Get("Location") != "/a" || len(d.sessions.begun) != 1 || d.sessions.begun[0].Subject != "s" {
		t.Fatalf("%d %v, begun %+v, %v", w.Code, w.Header(), d.sessions.begun, err)
	}
	if !slices.Equal(cookieNames(ex), []string{"attempt", "session"}) || got.Endpoint != "oidc/callback/acme-sso" || len(got.Query) != 2 || len(got.Cookies) != 1 {
		t.Errorf("cookies %v, callback %+v", cookieNames(ex), got)
	}
}

func TestCallbackThatIsRefusedBeginsNoSession(t *testing.T) {
	d := newDesk(t, Config{}, acme(t))
	refusal := access.Refuse(400, "login_state", "x", "y")
	d.providers.finish = func(oidc.Callback) (oidc.Finished, error) {
		return oidc.Finished{Cookies: []*http.Cookie{{Name: "attempt", MaxAge: -1}}}, refusal
	}
	w, ex, err := d.ask(t, "GET", prefix+"/oidc/callback", "", nil)
	if !errors.Is(err, refusal) || len(d.sessions.begun) != 0 || w.Body.Len() != 0 || len(w.Header()) != 0 || !slices.Equal(cookieNames(ex), []string{"attempt"}) {
		t.Errorf("%v, begun %v, cookies %v", err, d.sessions.begun, cookieNames(ex))
	}
	d.sessions.err = access.Unavailable("sessions_unavailable", errors.New("down"))
	d.providers.finish = func(oidc.Callback) (oidc.Finished, error) { return oidc.Finished{Return: "/a"}, nil }
	if w, _, err := d.ask(t, "GET", prefix+"/oidc/callback", "", nil); !errors.Is(err, d.sessions.err) || len(w.Header()) != 0 {
		t.Errorf("a session that does not begin: %v, headers %v", err, w.Header())
	}
	d.providers.finish = func(oidc.Callback) (oidc.Finished, error) {
		t.Error("HEAD uses the attempt up")
		return oidc.Finished{}, nil
	}
	if _, _, err := d.ask(t, "HEAD", prefix+"/oidc/callback", "", nil); err == nil {
		t.Error("HEAD is answered")
	}
}

func TestWhoamiShowsNoTokenAndNoSessionID(t *testing.T) {
	signedIn := func(accept string) func(*access.Exchange) {
		return func(ex *access.Exchange) {
			ex.Identity = alice(t)
			ex.Request.Header.Set("Accept", accept)
			ex.Request.Header.Set("Authorization", "Bearer bearer-token")
			ex.Request.AddCookie(&http.Cookie{Name: "__Host-sallyport-session", Value: "session-token"})
		}
	}
	for accept, kind := range map[string]string{"text/html,*/*": "text/html; charset=utf-8", "application/json": "application/json", "*/*": "application/json", "": "application/json"} {
		d := newDesk(t, Config{}, acme(t))
		w, _, err := d.ask(t, "GET", prefix+"/whoami", "", signedIn(accept))
		if err != nil || w.Code != 200 || w.Header().Get("Content-Type") != kind || w.Header().Get("Cache-Control") != "private, no-store" || w.Header().Get("Vary") != "Accept" {
			t.Errorf("%s: %d %v, %v", accept, w.Code, w.Header(), err)
		}
		body := w.Body.String()
		for _, want := range []string{"subject-of-alice", "alice@acme.test", "acme", "Tenant acme", "admin", "acme-sso"} {
			if !strings.Contains(body, want) {
				t.Errorf("%s lacks %s: %s", accept, want, body)
			}
		}
		for _, bad := range []string{"session-token", "bearer-token", "session-id", "login-id", "id-token"} {
			if strings.Contains(body, bad) {
				t.Errorf("%s shows %s", accept, bad)
			}
		}
		if kind == "application/json" {
			var got map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil || got["tenant"] != "acme" {
				t.Errorf("%s: %v", body, err)
			}
		}
	}
	d := newDesk(t, Config{}, acme(t))
	_, _, err := d.ask(t, "GET", prefix+"/whoami", "", nil)
	if r := (*access.Refusal)(nil); !errors.As(err, &r) || r.Status != 401 || !r.Login {
		t.Errorf("nobody: %v", err)
	}
}

func TestLogoutNeedsAPost(t *testing.T) {
	d := newDesk(t, Config{}, acme(t))
	w, ex, err := d.ask(t, "GET", prefix+"/logout", "", func(ex *access.Exchange) { ex.Identity = alice(t) })
	if err != nil || w.Code != 200 || d.sessions.ended != 0 || len(ex.SetCookies) != 0 || !strings.Contains(w.Body.String(), "alice@acme.test") {
		t.Errorf("GET: %d %s, ended %d, %v", w.Code, w.Body, d.sessions.ended, err)
	}
	if w, _, err := d.ask(t, "GET", prefix+"/logout", "", nil); err != nil || w.Header().Get("Location") != prefix+"/loggedout" {
		t.Errorf("GET without a session: %v, %v", w.Header(), err)
	}
	w, ex, err = d.ask(t, "POST", prefix+"/logout", "", func(ex *access.Exchange) { ex.Identity = alice(t) })
	if err != nil || w.Code != 303 || w.Header().Get("Location") != prefix+"/loggedout?local=1" || d.sessions.ended != 1 || len(ex.SetCookies) != 1 {
		t.Errorf("POST: %d %v, ended %d, %v", w.Code, w.Header(), d.sessions.ended, err)
	}
	w, _, err = d.ask(t, "POST", prefix+"/logout", "", nil)
	if err != nil || w.Header().Get("Location") != prefix+"/loggedout" || d.sessions.ended != 2 {
		t.Errorf("POST without a session: %v, %v", w.Header(), err)
	}
	d.sessions.err = errors.New("down")
	if _, _, err := d.ask(t, "POST", prefix+"/logout", "", nil); err == nil {
		t.Error("a logout that failed says that it succeeded")
	}
}

func TestLogoutLeadsOnToTheProvider(t *testing.T) {
	d := newDesk(t, Config{}, acme(t))
	d.providers.endSession = func(provider, back string, hint secret.String) (string, bool) {
		if provider != "acme-sso" || back != "https://crm.example.com:8443/.sallyport/loggedout" || hint.Reveal() != "id-token" || d.sessions.ended != 1 {
			t.Errorf("provider %q, back %q, ended %d", provider, back, d.sessions.ended)
		}
		return "https://idp.example/logout", true
	}
	w, _, err := d.ask(t, "POST", prefix+"/logout", "", func(ex *access.Exchange) { ex.Identity = alice(t) })
	if err != nil || w.Header().Get("Location") != "https://idp.example/logout" {
		t.Errorf("%v, %v", w.Header(), err)
	}
}

func TestLoggedoutLeadsToALoginThatAsks(t *testing.T) {
	d := newDesk(t, Config{}, acme(t))
	for query, want := range map[string]string{"": "false", "?local=1": "true"} {
		w, _, err := d.ask(t, "GET", prefix+"/loggedout"+query, "", nil)
		if err != nil || !strings.Contains(w.Body.String(), "/.sallyport/login?again=1") || !strings.Contains(w.Body.String(), "StillAtProvider:"+want) || w.Header().Get("Content-Security-Policy") != "staying" {
			t.Errorf("%q: %s, %v", query, w.Body, err)
		}
	}
}

func TestAddressIsThatOfTheHostAsked(t *testing.T) {
	for host, want := range map[string]string{
		"crm.example.com":       "https://crm.example.com:8443",
		"crm2.example.com:8443": "https://crm2.example.com:8443",
		"CRM2.example.com":      "https://crm2.example.com:8443",
		"evil.test":             "https://crm.example.com:8443",
		"":                      "https://crm.example.com:8443",
	} {
		d := newDesk(t, Config{}, acme(t))
		_, _, err := d.ask(t, "GET", prefix+"/login", "", func(ex *access.Exchange) { ex.Request.Host = host })
		if err != nil || d.started[0].Origin != want {
			t.Errorf("host %q gives %q, %v", host, d.started[0].Origin, err)
		}
	}
}

func TestPortIsTheOneByWhichTheBrowserCame(t *testing.T) {
	for host, want := range map[string]string{
		"crm.example.com:8443":  "https://crm.example.com:8443",
		"CRM2.example.com:8443": "https://crm2.example.com:8443",
		"crm.example.com":       "https://crm.example.com",
		"crm.example.com:443":   "https://crm.example.com",
		"crm.example.com:x":     "https://crm.example.com",
		"evil.test:8443":        "https://crm.example.com",
	} {
		d := newDesk(t, Config{}, acme(t))
		_, _, err := d.ask(t, "GET", prefix+"/login", "", func(ex *access.Exchange) { ex.Request.Host, ex.Site.Origin = host, "https://crm.example.com" })
		if err != nil || d.started[0].Origin != want {
			t.Errorf("host %q gives %q, %v, want %q", host, d.started[0].Origin, err, want)
		}
	}
}

func TestEndpointsDeclareWhatTheGatesNeedToKnow(t *testing.T) {
	d := newDesk(t, Config{}, acme(t))
	seen := map[string]access.Endpoint{}
	for _, e := range d.Endpoints() {
		if e.Class != access.Portal || e.Action == "" || e.Serve == nil || e.Path == "" || strings.HasPrefix(e.Path, "/") {
			t.Errorf("%s %s: %+v", e.Method, e.Path, e)
		}
		seen[e.Method+" "+e.Path] = e
	}
	for name, want := range map[string]struct{ readOnly, crossSite, always bool }{
		"GET login": {true, false, false}, "POST login": {true, false, false}, "GET whoami": {true, false, false}, "GET logout": {true, false, false},
		"POST logout": {false, false, true}, "GET loggedout": {true, false, false}, "GET oidc/callback": {false, true, false}, "GET oidc/callback/acme-sso": {false, true, false},
	} {
		e, ok := seen[name]
		if !ok || e.ReadOnly != want.readOnly || e.CrossSite != want.crossSite || e.Always != want.always {
			t.Errorf("%s: %+v", name, e)
		}
		delete(seen, name)
	}
	if len(seen) != 0 {
		t.Errorf("unexpected endpoints %v", seen)
	}
}

func TestMissingRoomsAndPagesAreErrors(t *testing.T) {
	if _, err := New(Config{}, Rooms{}); err == nil {
		t.Error("a portal without rooms is made")
	}
	d := newDesk(t, Config{AlwaysAsk: true}, acme(t))
	d.rooms.Pages = fakePages{err: errors.New("broken")}
	w, _, err := d.ask(t, "GET", prefix+"/login", "", nil)
	if err == nil || w.Body.Len() != 0 || len(w.Header()) != 0 {
		t.Errorf("a page that does not render: %v, %v", err, w.Header())
	}
	if _, _, err := d.ask(t, "GET", prefix+"/login", "", func(ex *access.Exchange) { ex.Site = nil }); err == nil {
		t.Error("an unlocated request is answered")
	}
}
