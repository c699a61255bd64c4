package authn_test

import (
	"context"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
)

func TestASessionIsRenewedInPassing(t *testing.T) {
	gw := newWorld(t).running()
	b := newBrowser()
	first := gw.login(b, "crm", alice(t))
	old := b.jar[refreshName]
	for _, step := range []struct {
		name   string
		pass   time.Duration
		renews bool
	}{
		{"well before its end", 50 * time.Minute, false},
		{"near its end", 5*time.Minute + time.Second, true},
		{"which gives a whole new one", 54 * time.Minute, false},
		{"after its end", 10 * time.Hour, true},
	} {
		gw.later(step.pass)
		ex, err := gw.visit(b, "crm")
		if err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		if got := len(ex.SetCookies) == 2; got != step.renews {
			t.Errorf("%s: renewed %v, want %v", step.name, got, step.renews)
		}
		if ex.Identity.SessionID != first.SessionID || ex.Identity.LoginID != first.LoginID {
			t.Errorf("%s: another session", step.name)
		}
	}
	if b.jar[refreshName] == old {
		t.Error("the refresh token did not rotate")
	}
	// Browsers drop the session cookie when its time is up: the other one is enough.
	delete(b.jar, sessionName)
	if _, err := gw.visit(b, "crm"); err != nil || b.jar[sessionName] == "" {
		t.Errorf("with the refresh token alone: %v", err)
	}
}

func TestTheEndForGoodIsKept(t *testing.T) { // T06
	w := newWorld(t)
	gw, other := w.running(), w.running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	end := gw.w.clock.Now().Add(7 * 24 * time.Hour)
	for gw.w.clock.Now().Add(25 * time.Minute).Before(end) { // no multiple of it is an hour before the end
		gw.later(25 * time.Minute)
		ex, err := gw.visit(b, "crm")
		if err != nil {
			t.Fatalf("%v before the end: %v", end.Sub(gw.w.clock.Now()), err)
		}
		if ex.Identity.Expires.After(end) {
			t.Fatalf("a proof until %v, after the end %v", ex.Identity.Expires, end)
		}
		for _, c := range ex.SetCookies {
			if last := gw.w.clock.Now().Add(time.Duration(c.MaxAge) * time.Second); last.After(end) {
				t.Fatalf("the cookie %s lives until %v, after the end %v", c.Name, last, end)
			}
		}
	}
	// In its last minutes a renewal would gain nothing, and only invite races.
	gw.later(4 * time.Minute)
	other.sync()
	before := gw.faults.count("Rotate")
	for range 3 {
		for _, gw := range []*instance{gw, other} {
			if _, err := gw.visit(b, "crm"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if gw.faults.count("Rotate") != before || other.faults.count("Rotate") != 0 {
		t.Error("a session in its last minutes is renewed again and again")
	}
	gw.later(time.Minute)
	ex, err := gw.visit(b, "crm")
	if got := wantRefusal(t, err, 401, "session_ended"); !got.Login || !cleared(ex) {
		t.Errorf("login %v, cookies cleared %v", got.Login, cleared(ex))
	}
}

// TestParallelRefreshes is T02 and T03: 20 tabs refresh at once on two instances, a
// hundred times, and everybody stays signed in with one live token.
func TestParallelRefreshes(t *testing.T) {
	w := newWorld(t)
	one, two := w.running(spans(time.Minute, 24*time.Hour)), w.running(spans(time.Minute, 24*time.Hour))
	b := newBrowser()
	first := one.login(b, "crm", alice(t))
	for round := range 100 {
		one.later(time.Minute)
		two.sync()
		header := b.header() // every tab sends what the jar held when they woke up
		exchanges := make([]*access.Exchange, 20)
		var group sync.WaitGroup
		for i := range exchanges {
			exchanges[i] = request("crm", access.App, header.Clone())
			group.Go(func() {
				gw := one
				if i%2 == 1 {
					gw = two
				}
				if err := gw.Authenticate(exchanges[i]); err != nil {
					t.Errorf("round %d: a tab is thrown out: %v", round, err)
				}
			})
		}
		group.Wait()
		if t.Failed() {
			return
		}
		refresh := map[string]bool{}
		for _, ex := range exchanges {
			for _, c := range ex.SetCookies {
				if c.Name == refreshName {
					refresh[c.Value] = true
				}
			}
			b.take(ex)
		}
		if len(refresh) != 1 {
			t.Fatalf("round %d: %d successors, want 1", round, len(refresh))
		}
	}
	record, err := one.faults.SQL.Find(t.Context(), first.Tenant, first.SessionID, w.clock.Now())
	if err != nil || record.Generation != 100 {
		t.Errorf("after 100 rounds the live token is number %d, %v", record.Generation, err)
	}
	if len(one.reused)+len(two.reused) != 0 {
		t.Error("a reuse was reported")
	}
}

func TestParallelRefreshesAskTheStoreOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gw := newWorld(t).running()
		b := newBrowser()
		gw.login(b, "crm", alice(t))
		gw.later(2 * time.Hour)
		header := b.header()
		open := make(chan struct{})
		gw.faults.set(func(ctx context.Context, question string) error {
			if question == "Rotate" {
				<-open // held open until all have come along
			}
			return nil
		})
		var group sync.WaitGroup
		identities := make([]*access.Identity, 20)
		for i := range identities {
			group.Go(func() {
				ex := request("crm", access.App, header.Clone())
				if err := gw.Authenticate(ex); err != nil {
					t.Error(err)
				}
				identities[i] = ex.Identity
			})
		}
		synctest.Wait()
		close(open)
		group.Wait()
		if got := gw.faults.count("Rotate"); got != 1 {
			t.Errorf("the store was asked %d times, want once", got)
		}
		for _, id := range identities {
			if id == nil || id != identities[0] {
				t.Error("the requests of one session have several Identities")
			}
		}
	})
}

func TestReuseEndsTheSession(t *testing.T) { // T01
	w := newWorld(t)
	gw, other := w.running(), w.running()
	b := newBrowser()
	id := gw.login(b, "crm", alice(t))
	copied := b.jar[refreshName] // a thief's
	for range 2 {
		gw.later(2 * time.Hour)
		if _, err := gw.visit(b, "crm"); err != nil {
			t.Fatal(err)
		}
	}
	thief := request("crm", access.App, http.Header{"Cookie": {refreshName + "=" + copied}})
	got := wantRefusal(t, gw.Authenticate(thief), 401, "session_reused")
	if thief.Identity != nil || !cleared(thief) || got.Counted {
		t.Errorf("identity %v, cleared %v, counted instead of audited %v", thief.Identity, cleared(thief), got.Counted)
	}
	if len(gw.reused) != 1 || gw.reused[0].Subject != "u-alice" || gw.reused[0].SessionID != id.SessionID || gw.reused[0].Tenant != id.Tenant {
		t.Errorf("the audit was told %+v", gw.reused)
	}
	_, err := gw.visit(b, "crm") // the session token has an hour to go
	wantRefusal(t, err, 401, "session_ended")
	if len(gw.ended) == 0 || gw.ended[0] != id.LoginID {
		t.Errorf("streams were told to cut %q, want %q", gw.ended, id.LoginID)
	}
	other.sync()
	if len(other.ended) == 0 || other.ended[0] != id.LoginID {
		t.Errorf("the other instance cuts %q, want %q", other.ended, id.LoginID)
	}
	again := request("crm", access.App, http.Header{"Cookie": {refreshName + "=" + copied}})
	wantRefusal(t, other.Authenticate(again), 401, "session_ended")
	if len(gw.reused)+len(other.reused) != 1 {
		t.Error("one theft was reported more than once")
	}
}

func TestAPredecessorGivesTheSameSuccessorUntilThatIsPresented(t *testing.T) {
	w := newWorld(t)
	gw, other := w.running(), w.running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	first := b.jar[refreshName]
	present := func(gw *instance, token string) (string, error) {
		ex := request("crm", access.App, http.Header{"Cookie": {refreshName + "=" + token}})
		err := gw.Authenticate(ex)
		for _, c := range ex.SetCookies {
			if c.Name == refreshName {
				return c.Value, err
			}
		}
		return "", err
	}
	second, err := present(gw, first)
	if err != nil || second == "" || second == first {
		t.Fatalf("%q, %v", second, err)
	}
	gw.later(20 * time.Hour) // the answer was lost; the browser comes back the next day
	other.sync()
	if lost, err := present(other, first); err != nil || lost != second {
		t.Errorf("the predecessor gives %q, %v; want %q", lost, err, second)
	}
	if third, err := present(gw, second); err != nil || third == second {
		t.Errorf("%q, %v", third, err)
	}
	_, err = present(gw, first)
	wantRefusal(t, err, 401, "session_reused")
}

func TestCookiesOfTwoSessionsAreRefused(t *testing.T) {
	gw := newWorld(t).running()
	b, other := newBrowser(), newBrowser()
	gw.login(b, "crm", alice(t))
	gw.login(other, "crm", alice(t))
	gw.later(57 * time.Minute)
	b.jar[refreshName] = other.jar[refreshName]
	_, err := gw.visit(b, "crm")
	wantRefusal(t, err, 401, "session_invalid")
	if _, err := gw.visit(other, "crm"); err != nil {
		t.Errorf("the other session suffers for it: %v", err)
	}
}

func TestRenewalAsksWhetherTheLoginMayStillBe(t *testing.T) { // T05, O22
	gw := newWorld(t).running()
	b := newBrowser()
	id := gw.login(b, "crm", alice(t))
	gw.refuse = access.Refuse(403, "tenant_gone", "Your organisation is not served here any more.", "")
	gw.later(2 * time.Hour)
	ex, err := gw.visit(b, "crm")
	wantRefusal(t, err, 403, "tenant_gone")
	if !cleared(ex) || len(gw.ended) == 0 || gw.ended[0] != id.LoginID {
		t.Errorf("cleared %v, ended %q", cleared(ex), gw.ended)
	}
	gw.refuse = nil
	if _, err := gw.faults.SQL.Find(t.Context(), id.Tenant, id.SessionID, gw.w.clock.Now()); err != authn.ErrNoSession {
		t.Errorf("the session lives on: %v", err)
	}
	gw.refuse = access.Refuse(403, "user_disabled", "x", "")
	login := request("crm", access.Portal, nil)
	wantRefusal(t, gw.Begin(t.Context(), login, alice(t)), 403, "user_disabled")
	if login.Identity != nil || len(login.SetCookies) != 0 {
		t.Error("a login that is not admitted made a session")
	}
	gw.refuse = http.ErrServerClosed // any other error: it could not tell
	wantRefusal(t, gw.Begin(t.Context(), login, alice(t)), 503, "sessions_unavailable")
}
