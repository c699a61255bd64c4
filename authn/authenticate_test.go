package authn_test

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/secret"
)

func TestALoginOpensTheApplication(t *testing.T) {
	gw := newWorld(t).running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	ex, err := gw.visit(b, "crm")
	if err != nil {
		t.Fatal(err)
	}
	id := ex.Identity
	if id == nil || id.Subject != "u-alice" || id.Tenant.String() != "acme" || !id.HasRole("member") || id.Provider != "idp" || ex.Credential != access.CookieCredential {
		t.Errorf("identity %+v, credential %v", id, ex.Credential)
	}
	if len(ex.SetCookies) != 0 {
		t.Errorf("a fresh session sets cookies: %v", ex.SetCookies)
	}
	again, err := gw.visit(b, "crm")
	if err != nil || again.Identity != id {
		t.Errorf("the session's requests do not share one Identity: %v", err)
	}
}

// TestH19 and the "backend never sees our credentials" promise.
func TestOurCredentialsAreTakenOutOfTheRequest(t *testing.T) {
	gw := newWorld(t).running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	token, err := gw.Issue(t.Context(), &access.Site{Name: "crm"}, alice(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range []access.Class{access.App, access.Console, access.Operator, access.NoClass} {
		h := b.header()
		h["Cookie"] = append(h["Cookie"], `x="a b"; __Host-sallyport-login-q=1;y`)
		ex := request("crm", class, h)
		if err := gw.Authenticate(ex); err != nil {
			t.Fatalf("%v: %v", class, err)
		}
		if got := ex.Request.Header["Cookie"]; !slices.Equal(got, []string{"app=1", `x="a b";y`}) {
			t.Errorf("%v: the backend would get Cookie %q", class, got)
		}
		ex = request("crm", class, http.Header{"Authorization": {"Bearer " + token.Reveal()}, "Cookie": {"app=1"}})
		if err := gw.Authenticate(ex); err != nil {
			t.Fatalf("%v: %v", class, err)
		}
		if ex.Request.Header.Get("Authorization") != "" || ex.Request.Header.Get("Cookie") != "app=1" {
			t.Errorf("%v: the backend would get %q", class, ex.Request.Header)
		}
		if ex.Credential != access.BearerCredential || ex.Identity.Subject != "u-alice" {
			t.Errorf("%v: credential %v, identity %+v", class, ex.Credential, ex.Identity)
		}
	}
	refused := request("crm", access.App, http.Header{"Authorization": {"Bearer x"}, "Cookie": {sessionName + "=x"}})
	if err := gw.Authenticate(refused); err == nil || len(refused.Request.Header) != 0 {
		t.Errorf("after a refusal (%v) there is left %q", err, refused.Request.Header)
	}
}

func TestOtherSchemesAreNotOurs(t *testing.T) {
	gw := newWorld(t).running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	h := b.header()
	h.Set("Authorization", "Basic YTpi")
	ex := request("crm", access.App, h)
	if err := gw.Authenticate(ex); err != nil || ex.Credential != access.CookieCredential || ex.Request.Header.Get("Authorization") != "Basic YTpi" {
		t.Errorf("%v, credential %v, left %q", err, ex.Credential, ex.Request.Header)
	}
	alone := request("crm", access.App, http.Header{"Authorization": {"Basic YTpi"}})
	wantRefusal(t, gw.Authenticate(alone), 401, "not_logged_in")
}

func TestBadCredentialsAreRefused(t *testing.T) {
	gw := newWorld(t).running()
	b, other := newBrowser(), newBrowser()
	gw.login(b, "crm", alice(t))
	gw.login(other, "crm", alice(t))
	wiki := newBrowser()
	gw.login(wiki, "wiki", alice(t))
	s, r := b.jar[sessionName], b.jar[refreshName]
	cookie := func(parts ...string) http.Header { return http.Header{"Cookie": {strings.Join(parts, "; ")}} }
	bearer := func(values ...string) http.Header { return http.Header{"Authorization": values} }
	both := bearer("Bearer " + s)
	both["Cookie"] = []string{sessionName + "=" + s}
	for _, c := range []struct {
		name   string
		header http.Header
		status int
		code   string
		clears bool
	}{
		{"nothing", http.Header{}, 401, "not_logged_in", false},
		{"J14 a token in the query only", http.Header{"Referer": {"https://crm.example/?access_token=" + s}}, 401, "not_logged_in", false},
		{"H14 an empty cookie", cookie(sessionName + "="), 401, "session_ended", true},
		{"H14 x", cookie(sessionName + "=x"), 401, "session_invalid", true},
		{"H14 truncated", cookie(sessionName + "=" + s[:len(s)-5]), 401, "session_invalid", true},
		{"H14 9 kB", cookie(sessionName + "=" + strings.Repeat("a", 9000)), 401, "session_invalid", true},
		{"H14 not UTF-8", cookie(sessionName + "=\xff\xfe\x80"), 401, "session_invalid", true},
		{"H14 x beside a good refresh token", cookie(sessionName+"=x", refreshName+"="+r), 401, "session_invalid", true},
		{"H14 a refresh token of nobody", cookie(refreshName + "=acme.AAAAAAAAAAAAAAAAAAAAAA.0." + strings.Repeat("A", 43)), 401, "session_invalid", true},
		{"H14 a refresh token changed", cookie(refreshName + "=" + r[:len(r)-1] + "."), 401, "session_invalid", true},
		{"T09 two of the name, the good one first", cookie(sessionName+"="+s, sessionName+"=x"), 401, "session_invalid", true},
		{"T09 two of the name, the good one last", cookie(sessionName+"=x", sessionName+"="+s), 401, "session_invalid", true},
		{"T09 the same twice", cookie(sessionName+"="+s, sessionName+"="+s), 401, "session_invalid", true},
		{"T09 two refresh tokens", cookie(sessionName+"="+s, refreshName+"="+r, refreshName+"="+other.jar[refreshName]), 401, "session_invalid", true},
		{"T11 a jar of 300 cookies of ours", cookie(slices.Repeat([]string{sessionName + "=" + s}, 300)...), 401, "session_invalid", true},
		{"J09 another site's session", cookie(sessionName + "=" + wiki.jar[sessionName]), 401, "session_invalid", true},
		{"another site's refresh token", cookie(refreshName + "=" + wiki.jar[refreshName]), 401, "session_invalid", true},
		{"a refresh token as session", cookie(sessionName + "=" + r), 401, "session_invalid", true},
		{"a session as refresh token", cookie(refreshName + "=" + s), 401, "session_invalid", true},
		{"a bearer of nobody", bearer("Bearer x.y.z"), 401, "token_invalid", false},
		{"an empty bearer", bearer("Bearer"), 401, "token_invalid", false},
		{"J09 another site's bearer", bearer("Bearer " + wiki.jar[sessionName]), 401, "token_invalid", false},
		{"a refresh token as bearer", bearer("Bearer " + r), 401, "token_invalid", false},
		{"J10 a megabyte of dots", bearer("Bearer " + strings.Repeat(".", 1<<20)), 401, "token_invalid", false},
		{"J11 a bearer with its last character changed", bearer("Bearer " + s[:len(s)-1] + string(s[len(s)-1]^1)), 401, "token_invalid", false},
		{"a good bearer twice", bearer("Bearer "+s, "Bearer "+s), 400, "ambiguous_credentials", false},
		{"a good bearer beside Basic", bearer("Basic YTpi", "Bearer "+s), 400, "ambiguous_credentials", false},
		{"cookie and bearer, both good", both, 400, "ambiguous_credentials", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, class := range []access.Class{access.App, access.Console, access.Operator, access.Public, access.NoClass} {
				ex := request("crm", class, c.header.Clone())
				got := wantRefusal(t, gw.Authenticate(ex), c.status, c.code)
				if ex.Identity != nil || ex.Credential != access.NoCredential {
					t.Errorf("refused, and an identity all the same: %+v", ex.Identity)
				}
				if cleared(ex) != c.clears {
					t.Errorf("cookies cleared: %v, want %v", cleared(ex), c.clears)
				}
				if program := len(c.header["Authorization"]) > 0; got.Login == program {
					t.Errorf("sends to the login page: %v", got.Login)
				}
				if got.Status == 401 && got.Header.Get("WWW-Authenticate") == "" {
					t.Error("a 401 without WWW-Authenticate")
				}
				if strings.Contains(got.Error(), s[len(s)-20:]) || strings.Contains(got.Detail, "eyJ") {
					t.Errorf("the refusal shows the token: %v", got)
				}
			}
			portal := request("crm", access.Portal, c.header.Clone())
			if err := gw.Authenticate(portal); err != nil || portal.Identity != nil {
				t.Errorf("on Portal: %v, %+v; want nobody", err, portal.Identity)
			}
		})
	}
	if _, err := gw.visit(b, "crm"); err != nil {
		t.Errorf("somebody else's attempts have ended the session: %v", err)
	}
	if strings.Contains(gw.log.String(), s[:60]) || strings.Contains(gw.log.String(), r) {
		t.Errorf("J14 a token is in the log: %s", gw.log)
	}
}

func TestSessionsOfAnotherEnvironmentOrMasterKeyAreRefused(t *testing.T) {
	w := newWorld(t)
	b := newBrowser()
	w.running().login(b, "crm", alice(t))
	staging := w.running(func(d *authn.Deps) { d.Environment = "staging" })
	_, err := staging.visit(b, "crm")
	wantRefusal(t, err, 401, "session_invalid")

	w.master = secret.NewMasterKey()
	stranger := w.start()
	if err := stranger.Sync(t.Context()); err == nil || !strings.Contains(err.Error(), "master key") {
		t.Errorf("another master key: %v; want an error that says so", err)
	}
	_, err = stranger.visit(b, "crm")
	wantRefusal(t, err, 401, "not_logged_in") // staging has cleared the cookies
}

func TestAnInstanceThatHasSeenNothingLetsNobodyIn(t *testing.T) {
	w := newWorld(t)
	b := newBrowser()
	w.running().login(b, "crm", alice(t))
	blind := w.start()
	_, err := blind.visit(b, "crm")
	wantRefusal(t, err, 503, "sessions_unavailable")
	ex := request("crm", access.Portal, nil)
	wantRefusal(t, blind.Begin(t.Context(), ex, alice(t)), 503, "sessions_unavailable")
	if ex.Identity != nil || len(ex.SetCookies) != 0 {
		t.Error("a login without keys made a session")
	}
}

func TestARequestThatWasNotLocatedIsRefused(t *testing.T) {
	gw := newWorld(t).running()
	for _, site := range []*access.Site{nil, {}} {
		ex := request("crm", access.App, http.Header{"Cookie": {sessionName + "=x"}})
		ex.Site = site
		wantRefusal(t, gw.Authenticate(ex), 503, "site_unknown")
		wantRefusal(t, gw.Begin(t.Context(), ex, alice(t)), 503, "site_unknown")
	}
}

func TestIdentitiesTooLargeForACookieComeFromTheStore(t *testing.T) {
	w := newWorld(t)
	gw := w.running()
	l := alice(t)
	for i := range 400 {
		l.Groups = append(l.Groups, strings.Repeat("g", 20)+string(rune('a'+i%26)))
	}
	b := newBrowser()
	gw.login(b, "crm", l)
	if n := len(b.jar[sessionName]); n > 3600 {
		t.Fatalf("the cookie has %d bytes", n)
	}
	other := w.running() // has not seen the token yet
	ex, err := other.visit(b, "crm")
	if err != nil || len(ex.Identity.Groups) != 401 || !ex.Identity.HasRole("member") || ex.Identity.Name != "Alice" {
		t.Fatalf("%v: %+v", err, ex.Identity)
	}
	if _, err := other.visit(b, "crm"); err != nil || other.faults.count("Find") != 1 {
		t.Errorf("the store was asked %d times, %v; want once", other.faults.count("Find"), err)
	}
}

func TestBearerEndsWithItsToken(t *testing.T) {
	gw := newWorld(t).running()
	token, err := gw.Issue(t.Context(), &access.Site{Name: "crm"}, alice(t))
	if err != nil {
		t.Fatal(err)
	}
	send := func() error {
		return gw.Authenticate(request("crm", access.App, http.Header{"Authorization": {"Bearer " + token.Reveal()}}))
	}
	gw.later(time.Hour - time.Second)
	if err := send(); err != nil {
		t.Errorf("a second before its end: %v", err)
	}
	gw.later(time.Second)
	if got := wantRefusal(t, send(), 401, "token_expired"); got.Login {
		t.Error("a program is sent to the login page")
	}
	if gw.faults.count("Rotate") != 0 {
		t.Error("a bearer was renewed")
	}
	if _, err := gw.Issue(t.Context(), nil, alice(t)); err == nil {
		t.Error("a token for no site")
	}
}
