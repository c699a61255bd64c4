package authn_test

import (
	"errors"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
)

func TestEachLoginIsANewSession(t *testing.T) { // no fixation
	gw := newWorld(t).running()
	b := newBrowser()
	first := gw.login(b, "crm", alice(t))
	copied := b.header() // what an attacker may have planted, or kept
	second := gw.login(b, "crm", alice(t))
	if first.SessionID == second.SessionID || first.LoginID == second.LoginID {
		t.Error("a login takes over the ids that the browser brought along")
	}
	wantRefusal(t, gw.Authenticate(request("crm", access.App, copied)), 401, "session_ended")
	if _, err := gw.visit(b, "crm"); err != nil {
		t.Errorf("the new session: %v", err)
	}
}

func TestALoginEndsTheOlderSessionOfItsBrowserAlone(t *testing.T) {
	gw := newWorld(t).running()
	l := alice(t)
	l.ProviderSession = "sid-1"
	crm, wiki := newBrowser(), newBrowser()
	gw.login(crm, "crm", l)
	gw.login(wiki, "wiki", l)
	gw.later(2 * time.Hour)
	delete(crm.jar, sessionName) // only the refresh token names the older session
	older := crm.header()
	gw.login(crm, "crm", l)
	ex := request("crm", access.App, older)
	wantRefusal(t, gw.Authenticate(ex), 401, "session_ended")
	if _, err := gw.visit(wiki, "wiki"); err != nil {
		t.Errorf("logging in again on one site ends the other's session: %v", err)
	}
	if _, err := gw.visit(crm, "crm"); err != nil {
		t.Error(err)
	}
}

func TestALoginAfterABadCookieSetsCookiesOnce(t *testing.T) {
	gw := newWorld(t).running()
	b := newBrowser()
	b.jar[sessionName], b.jar[refreshName] = "x", "y"
	ex := request("crm", access.Portal, b.header())
	if err := gw.Authenticate(ex); err != nil || !cleared(ex) {
		t.Fatalf("%v, cleared %v", err, cleared(ex))
	}
	if err := gw.Begin(t.Context(), ex, alice(t)); err != nil {
		t.Fatal(err)
	}
	if len(ex.SetCookies) != 2 || cleared(ex) {
		t.Errorf("%d cookies are set: %v", len(ex.SetCookies), ex.SetCookies)
	}
	if ex.Identity == nil || ex.Identity.Subject != "u-alice" {
		t.Error("the audit would not know who logged in")
	}
	for _, c := range ex.SetCookies { // T10
		if !c.Secure || !c.HttpOnly || c.Path != "/" || c.Domain != "" || c.SameSite == 0 || c.MaxAge <= 0 {
			t.Errorf("flags: %v", c)
		}
	}
}

func TestALoginThatCannotBeUsedMakesNoSession(t *testing.T) {
	gw := newWorld(t).running()
	l := alice(t)
	l.Subject = "u\r\nX-Tenant-ID: globex"
	ex := request("crm", access.Portal, nil)
	wantRefusal(t, gw.Begin(t.Context(), ex, l), 403, "login_unusable")
	if ex.Identity != nil || len(ex.SetCookies) != 0 || gw.faults.count("Create") != 0 {
		t.Error("a session was made")
	}
}

func TestLogoutHintIsTheLoginsOwn(t *testing.T) {
	gw := newWorld(t).running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	ex, err := gw.visit(b, "crm")
	if err != nil {
		t.Fatal(err)
	}
	if hint := gw.LogoutHint(t.Context(), ex); hint.Reveal() != "alices id token" {
		t.Errorf("the hint is %q", hint.Reveal())
	}
	if err := gw.End(t.Context(), ex); err != nil || ex.Identity == nil {
		t.Errorf("%v; the audit is to know who logged out", err)
	}
	if hint := gw.LogoutHint(t.Context(), ex); !hint.IsZero() {
		t.Error("there is a hint after the end")
	}
	if hint := gw.LogoutHint(t.Context(), request("crm", access.Portal, nil)); !hint.IsZero() {
		t.Error("there is a hint for nobody")
	}
}

func TestEndSubjectNeedsToKnowWhom(t *testing.T) {
	gw := newWorld(t).running()
	if err := gw.EndSubject(t.Context(), access.TenantID{}, "u-alice"); err == nil {
		t.Error("no tenant was taken for all")
	}
	if err := gw.EndSubject(t.Context(), alice(t).Tenant, ""); err == nil {
		t.Error("no subject was taken for all")
	}
}

func TestNewRefusesWhatWouldLeaveADoorOpen(t *testing.T) {
	w := newWorld(t)
	var good authn.Deps
	w.start(func(d *authn.Deps) { good = *d })
	for name, change := range map[string]func(*authn.Deps){
		"no environment": func(d *authn.Deps) { d.Environment = "" },
		"no master key":  func(d *authn.Deps) { d.MasterKey = nil },
		"no store":       func(d *authn.Deps) { d.Store = nil },
		"no ends":        func(d *authn.Deps) { d.Ends = nil },
		"no keys":        func(d *authn.Deps) { d.Keys = nil },
		"no Admit":       func(d *authn.Deps) { d.Admit = nil },
		"no log":         func(d *authn.Deps) { d.Log = nil },
		"bad spans":      spans(time.Second, time.Hour),
	} {
		d := good
		change(&d)
		if s, err := authn.New(d); err == nil || s != nil {
			t.Errorf("%s: made all the same", name)
		}
	}
	if _, err := authn.New(good); err != nil {
		t.Fatal(errors.Unwrap(err))
	}
}
