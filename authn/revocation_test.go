package authn_test

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
)

func TestLogoutIsLogout(t *testing.T) { // T07, T14
	w := newWorld(t)
	here, there := w.running(), w.running()
	laptop, phone := newBrowser(), newBrowser()
	id := here.login(laptop, "crm", alice(t))
	here.login(phone, "crm", alice(t))
	if _, err := there.visit(laptop, "crm"); err != nil { // known and cached there
		t.Fatal(err)
	}
	stolen := &browser{jar: map[string]string{sessionName: laptop.jar[sessionName], refreshName: laptop.jar[refreshName]}}
	if err := here.logout(laptop, "crm"); err != nil {
		t.Fatal(err)
	}
	if len(laptop.jar) != 0 {
		t.Errorf("the browser keeps %v", laptop.jar)
	}
	copied := request("crm", access.App, stolen.header())
	wantRefusal(t, here.Authenticate(copied), 401, "session_ended")
	bearer := request("crm", access.App, http.Header{"Authorization": {"Bearer " + stolen.jar[sessionName]}})
	wantRefusal(t, here.Authenticate(bearer), 401, "session_ended")

	there.later(500 * time.Millisecond) // one poll
	copied = request("crm", access.App, stolen.header())
	wantRefusal(t, there.Authenticate(copied), 401, "session_ended")
	refresh := request("crm", access.App, http.Header{"Cookie": {refreshName + "=" + stolen.jar[refreshName]}})
	wantRefusal(t, there.Authenticate(refresh), 401, "session_ended")
	for name, gw := range map[string]*instance{"here": here, "there": there} {
		if !slices.Contains(gw.ended, id.LoginID) {
			t.Errorf("%s the streams of the login are not cut: %q", name, gw.ended)
		}
	}
	if _, err := there.visit(phone, "crm"); err != nil {
		t.Errorf("another login of the same user has ended with it: %v", err)
	}
	if err := here.EndSubject(t.Context(), id.Tenant, id.Subject); err != nil {
		t.Fatal(err)
	}
	_, err := here.visit(phone, "crm")
	wantRefusal(t, err, 401, "session_ended")
}

func TestLogoutEndsTheSitesOfOneSessionAtTheProvider(t *testing.T) {
	gw := newWorld(t).running()
	l := alice(t)
	l.ProviderSession = "sid-1"
	crm, wiki, other := newBrowser(), newBrowser(), newBrowser()
	gw.login(crm, "crm", l)
	gw.login(wiki, "wiki", l)
	l.ProviderSession = "sid-2"
	gw.login(other, "crm", l)
	if err := gw.logout(crm, "crm"); err != nil {
		t.Fatal(err)
	}
	_, err := gw.visit(wiki, "wiki")
	wantRefusal(t, err, 401, "session_ended")
	if _, err := gw.visit(other, "crm"); err != nil {
		t.Errorf("another session at the provider has ended with it: %v", err)
	}
}

func TestLogoutByTheRefreshTokenAlone(t *testing.T) {
	gw := newWorld(t).running()
	b := newBrowser()
	id := gw.login(b, "crm", alice(t))
	token := b.jar[sessionName]
	delete(b.jar, sessionName)
	gw.faults.set(func(_ context.Context, question string) error {
		if question == "Rotate" { // so that the gate finds nobody
			return errors.New("down")
		}
		return nil
	})
	if err := gw.logout(b, "crm"); err != nil {
		t.Fatal(err)
	}
	wantRefusal(t, gw.Authenticate(request("crm", access.App, http.Header{"Cookie": {sessionName + "=" + token}})), 401, "session_ended")
	if !slices.Contains(gw.ended, id.LoginID) {
		t.Errorf("the streams of the login are not cut: %q", gw.ended)
	}
	if err := gw.logout(newBrowser(), "crm"); err != nil {
		t.Errorf("a logout of nobody: %v", err)
	}
}

func TestLogoutProceedsWithoutADatabase(t *testing.T) {
	w := newWorld(t)
	here, there := w.running(), w.running()
	b := newBrowser()
	here.login(b, "crm", alice(t))
	copied := b.header()
	down := errors.New("down")
	here.faults.set(func(context.Context, string) error { return down })
	if err := here.logout(b, "crm"); err != nil || len(b.jar) != 0 {
		t.Fatalf("%v, the browser keeps %v", err, b.jar)
	}
	wantRefusal(t, here.Authenticate(request("crm", access.App, copied.Clone())), 401, "session_ended")
	if !strings.Contains(here.log.String(), "waits for the database") {
		t.Errorf("nobody is told: %s", here.log)
	}
	w.clock.advance(time.Second)
	if err := here.Sync(t.Context()); !errors.Is(err, down) {
		t.Errorf("Sync: %v", err)
	}
	here.faults.set(func(_ context.Context, question string) error { // reads come back first
		if question == "Revoke" {
			return down
		}
		return nil
	})
	if err := here.Sync(t.Context()); !errors.Is(err, down) {
		t.Errorf("an end that is not written is not reported: %v", err)
	}
	if _, err := here.visit(newBrowser(), "crm"); err == nil {
		t.Error("nobody was let in")
	}
	here.faults.set(nil)
	here.later(time.Second)
	there.sync()
	wantRefusal(t, there.Authenticate(request("crm", access.App, copied.Clone())), 401, "session_ended")
	before := here.faults.count("Revoke")
	here.later(time.Second)
	if here.faults.count("Revoke") != before {
		t.Error("what was written is written again")
	}
}

func TestAnInstanceThatLostSightOfTheListLetsNobodyIn(t *testing.T) { // promise 8
	w := newWorld(t)
	gw := w.running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	token, err := gw.Issue(t.Context(), &access.Site{Name: "crm"}, alice(t))
	if err != nil {
		t.Fatal(err)
	}
	gw.faults.set(func(context.Context, string) error { return errors.New("down") })
	try := func(class access.Class, h http.Header) (*access.Exchange, error) {
		ex := request("crm", class, h)
		return ex, gw.Authenticate(ex)
	}
	bearer := http.Header{"Authorization": {"Bearer " + token.Reveal()}}
	closed := []access.Class{access.App, access.Console, access.Operator, access.Public, access.NoClass}
	w.clock.advance(5 * time.Second)
	if err := gw.Sync(t.Context()); err == nil {
		t.Fatal("the database is not down")
	}
	for _, class := range closed {
		if _, err := try(class, b.header()); err != nil {
			t.Errorf("%v: after 5 s: %v", class, err)
		}
	}
	w.clock.advance(time.Millisecond)
	for _, class := range closed {
		for _, h := range []http.Header{b.header(), bearer.Clone()} {
			ex, err := try(class, h)
			wantRefusal(t, err, 503, "sessions_unavailable")
			if ex.Identity != nil || len(ex.SetCookies) != 0 {
				t.Errorf("%v: identity %v, cookies %v", class, ex.Identity, ex.SetCookies)
			}
		}
		_, err := try(class, http.Header{}) // a stranger learns nothing of it
		wantRefusal(t, err, 401, "not_logged_in")
	}
	if ex, err := try(access.Portal, b.header()); err != nil || ex.Identity == nil {
		t.Errorf("a logout would not find its session: %v", err)
	}
	gw.faults.set(nil)
	gw.sync()
	if _, err := gw.visit(b, "crm"); err != nil {
		t.Errorf("when the database is back: %v", err)
	}
}

// TestRenewalFailsClosed has the store err, panic, hang and answer nothing.
func TestRenewalFailsClosed(t *testing.T) {
	for name, fault := range map[string]func(ctx context.Context) error{
		"errs":             func(context.Context) error { return errors.New("down") },
		"panics":           func(context.Context) error { panic("a bug in the driver") },
		"hangs":            func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() },
		"hangs for ever":   func(context.Context) error { time.Sleep(time.Hour); return nil },
		"wraps no session": func(context.Context) error { return errors.New("no such session") },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				gw := w.running()
				b := newBrowser()
				gw.login(b, "crm", alice(t))
				gw.later(56 * time.Minute)
				gw.faults.set(func(ctx context.Context, question string) error { return fault(ctx) })
				began := time.Now()
				ex, err := gw.visit(b, "crm")
				if err != nil || ex.Identity == nil {
					t.Errorf("near its end, but good: %v", err)
				}
				w.clock.advance(4 * time.Second)
				ex, err = gw.visit(b, "crm")
				if err != nil || ex.Identity == nil {
					t.Errorf("while the list is fresh: %v", err)
				}
				gw.faults.set(nil)
				gw.later(time.Hour)
				gw.faults.set(func(ctx context.Context, question string) error { return fault(ctx) })
				ex, err = gw.visit(b, "crm")
				wantRefusal(t, err, 503, "sessions_unavailable")
				if ex.Identity != nil || len(ex.SetCookies) != 0 {
					t.Errorf("after its end: identity %v, cookies %v", ex.Identity, ex.SetCookies)
				}
				portal := request("crm", access.Portal, b.header())
				if err := gw.Authenticate(portal); err != nil || portal.Identity != nil || len(portal.SetCookies) != 0 {
					t.Errorf("on Portal: %v, %+v, %v", err, portal.Identity, portal.SetCookies)
				}
				login := request("crm", access.Portal, nil)
				wantRefusal(t, gw.Begin(t.Context(), login, alice(t)), 503, "sessions_unavailable")
				if login.Identity != nil || len(login.SetCookies) != 0 {
					t.Error("a login without a database made a session")
				}
				if err := gw.Sync(t.Context()); err == nil {
					t.Error("Sync is content")
				}
				if took := time.Since(began); took > 30*time.Second {
					t.Errorf("a store that does not answer was waited for: %v", took)
				}
				gw.faults.set(nil)
				time.Sleep(2 * time.Hour) // those that hang come back, too late to matter
				gw.sync()
				if _, err := gw.visit(b, "crm"); err != nil {
					t.Errorf("when the store is back: %v", err)
				}
			})
		})
	}
}

func TestAStoreThatHangsCollectsNoGoroutines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := newWorld(t).running()
		var browsers []*browser
		for range 80 {
			b := newBrowser()
			gw.login(b, "crm", alice(t))
			browsers = append(browsers, b)
		}
		gw.later(2 * time.Hour)
		back := make(chan struct{})
		gw.faults.set(func(_ context.Context, question string) error { <-back; return nil })
		errs := make(chan error, len(browsers))
		for _, b := range browsers {
			go func() { errs <- gw.Authenticate(request("crm", access.App, b.header())) }()
		}
		for range browsers {
			wantRefusal(t, <-errs, 503, "sessions_unavailable")
		}
		if got := gw.faults.count("Rotate"); got != 64 {
			t.Errorf("%d questions hang at the store, want 64 at most", got)
		}
		close(back)
		synctest.Wait()
		gw.faults.set(nil)
		if _, err := gw.visit(browsers[79], "crm"); err != nil {
			t.Errorf("when the store is back: %v", err)
		}
	})
}

func TestRunKeepsTheListFreshAndStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		real := func(d *authn.Deps) { d.Now = time.Now }
		here, there := w.running(real), w.start(real)
		ctx, stop := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() { stopped <- there.Run(ctx) }()
		b := newBrowser()
		here.login(b, "crm", alice(t))
		copied := b.header()
		time.Sleep(10 * time.Second)
		if err := there.Authenticate(request("crm", access.App, copied.Clone())); err != nil {
			t.Errorf("with Run running: %v", err)
		}
		if err := here.logout(b, "crm"); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		wantRefusal(t, there.Authenticate(request("crm", access.App, copied.Clone())), 401, "session_ended")
		stop()
		if err := <-stopped; err != nil {
			t.Error(err)
		}
	})
}

func TestEndedSessionsStayEndedAcrossARestart(t *testing.T) {
	w := newWorld(t)
	gw := w.running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	copied := b.header()
	if err := gw.logout(b, "crm"); err != nil {
		t.Fatal(err)
	}
	gw.later(30 * time.Minute)
	wantRefusal(t, gw.Authenticate(request("crm", access.App, copied.Clone())), 401, "session_ended")
	restarted := w.running() // reads the whole list
	wantRefusal(t, restarted.Authenticate(request("crm", access.App, copied.Clone())), 401, "session_ended")
	gw.later(2 * time.Hour)
	told := len(gw.ended)
	gw.later(time.Minute)
	if len(gw.ended) != told {
		t.Error("old news is told again")
	}
	wantRefusal(t, gw.Authenticate(request("crm", access.App, copied.Clone())), 401, "session_ended")
}
