package session_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/authn/session"
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/store"
)

// rig is a store under test, opened and migrated.
type rig struct {
	*session.SQL
	db     *store.DB
	master *secret.MasterKey
}

// stores runs a test on SQLite always, and on PostgreSQL, in a schema of its own, when
// SALLYPORT_TEST_POSTGRES holds an address.
func stores(t *testing.T, test func(t *testing.T, r rig)) {
	open := func(t *testing.T, database string) rig {
		db, err := store.Open(t.Context(), store.Config{Database: database})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		if err := db.Migrate(t.Context(), session.Owner, session.Migrations()); err != nil {
			t.Fatal(err)
		}
		master := secret.NewMasterKey()
		return rig{session.New(db.SQL(), master), db, master}
	}
	t.Run("sqlite", func(t *testing.T) { test(t, open(t, "sqlite:"+filepath.Join(t.TempDir(), "s.db"))) })
	t.Run("postgresql", func(t *testing.T) {
		address := os.Getenv("SALLYPORT_TEST_POSTGRES")
		if address == "" {
			t.Skip("SALLYPORT_TEST_POSTGRES is not set")
		}
		admin, err := store.Open(t.Context(), store.Config{Database: address})
		if err != nil {
			t.Fatal(err)
		}
		schema := "test_" + strings.ToLower(rand.Text())
		if _, err := admin.SQL().ExecContext(t.Context(), "CREATE SCHEMA "+schema); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			admin.SQL().ExecContext(context.Background(), "DROP SCHEMA "+schema+" CASCADE")
			admin.Close()
		})
		join := "?"
		if strings.Contains(address, "?") {
			join = "&"
		}
		test(t, open(t, address+join+"search_path="+schema))
	})
}

var start = time.Unix(1_800_000_000, 123_456_000).UTC()

func tenant(t *testing.T, name string) access.TenantID {
	t.Helper()
	id, err := access.ParseTenantID(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func record(t *testing.T, tenantName, id, login, subject string) authn.Record {
	return authn.Record{
		ID: id, LoginID: login, Site: "crm", Created: start, Expires: start.Add(7 * 24 * time.Hour),
		Login: authn.Login{
			Tenant: tenant(t, tenantName), Subject: subject, Email: "alice@acme.example", Name: "Alice Ł", Roles: []string{"member", "x"}, Groups: []string{"Sales, North"},
			Provider: "idp", AuthTime: start.Add(-time.Minute), AMR: []string{"pwd", "otp"}, IDToken: secret.New("the id token"),
		},
	}
}

func create(t *testing.T, r rig, records ...authn.Record) {
	t.Helper()
	for _, rec := range records {
		if err := r.Create(t.Context(), rec.Login.Tenant, rec); err != nil {
			t.Fatal(err)
		}
	}
}

func rotate(t *testing.T, r rig, rec authn.Record, generation int64, now time.Time) (authn.Record, error) {
	return r.Rotate(t.Context(), rec.Login.Tenant, authn.Rotation{ID: rec.ID, Site: rec.Site, Generation: generation, Now: now})
}

func TestARecordComesBackAsItWas(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		rec := record(t, "acme", "s1", "l1", "u1")
		rec.Login.ProviderSession = "sid-at-idp"
		create(t, r, rec)
		found, err := r.Find(t.Context(), rec.Login.Tenant, "s1", start)
		if err != nil {
			t.Fatal(err)
		}
		rotated, err := rotate(t, r, rec, 0, start)
		if err != nil {
			t.Fatal(err)
		}
		for _, got := range []authn.Record{found, rotated} {
			want := rec
			want.Generation = got.Generation
			if token := got.Login.IDToken; token.Reveal() != "the id token" {
				t.Errorf("the ID token is %q", token.Reveal())
			}
			if g, w := fmt.Sprintf("%+v", got), fmt.Sprintf("%+v", want); g != w {
				t.Errorf("got  %s\nwant %s", g, w)
			}
		}
		if found.Generation != 0 || rotated.Generation != 1 {
			t.Errorf("generations %d and %d, want 0 and 1", found.Generation, rotated.Generation)
		}
	})
}

func TestRotation(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		rec := record(t, "acme", "s1", "l1", "u1")
		create(t, r, rec)
		for _, step := range []struct {
			name    string
			present int64
			want    int64
			err     error
		}{
			{"the first is exchanged", 0, 1, nil},
			{"the predecessor gives the same successor", 0, 1, nil},
			{"and again", 0, 1, nil},
			{"the successor is exchanged", 1, 2, nil},
			{"it is the predecessor now", 1, 2, nil},
			{"one that was never issued is refused, and harms nobody", 7, 0, authn.ErrNoSession},
			{"the live one", 2, 3, nil},
			{"an old one ends the session", 0, 3, authn.ErrReused},
			{"which is over for the live one", 3, 0, authn.ErrNoSession},
			{"for the predecessor", 2, 0, authn.ErrNoSession},
			{"and is reported once", 0, 0, authn.ErrNoSession},
		} {
			got, err := rotate(t, r, rec, step.present, start.Add(time.Minute))
			if !errors.Is(err, step.err) || got.Generation != step.want {
				t.Fatalf("%s: generation %d, %v; want %d, %v", step.name, got.Generation, err, step.want, step.err)
			}
			if errors.Is(err, authn.ErrReused) && (got.ID != "s1" || got.LoginID != "l1" || got.Login.Subject != "u1") {
				t.Errorf("the report does not say whose session it was: %+v", got)
			}
		}
		ends, err := r.Ended(t.Context(), start)
		if err != nil || len(ends) != 1 || ends[0].SessionID != "s1" || ends[0].LoginID != "l1" || !ends[0].At.Equal(start.Add(time.Minute)) {
			t.Errorf("ended: %+v, %v; want s1", ends, err)
		}
	})
}

func TestRotationKeepsTheEndForGood(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		rec := record(t, "acme", "s1", "l1", "u1")
		create(t, r, rec)
		last := rec.Expires.Add(-time.Microsecond)
		got, err := rotate(t, r, rec, 0, last)
		if err != nil || !got.Expires.Equal(rec.Expires) {
			t.Fatalf("a microsecond before the end: %v, expires %v; want %v", err, got.Expires, rec.Expires)
		}
		for _, generation := range []int64{0, 1} {
			if _, err := rotate(t, r, rec, generation, rec.Expires); !errors.Is(err, authn.ErrNoSession) {
				t.Errorf("generation %d at the end: %v", generation, err)
			}
		}
		if _, err := r.Find(t.Context(), rec.Login.Tenant, "s1", rec.Expires); !errors.Is(err, authn.ErrNoSession) {
			t.Errorf("found at its end: %v", err)
		}
	})
}

func TestTenantsAndSitesAreApart(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		mine, theirs := record(t, "acme", "s1", "l1", "u1"), record(t, "globex", "s1", "l1", "u1")
		create(t, r, mine, theirs) // the same ids: the tenant is part of the key
		globex := theirs.Login.Tenant
		if _, err := rotate(t, r, mine, 0, start); err != nil {
			t.Fatal(err)
		}
		if got, err := r.Find(t.Context(), globex, "s1", start); err != nil || got.Generation != 0 || got.Login.Tenant != globex {
			t.Errorf("the other tenant's session is at generation %d of %q, %v", got.Generation, got.Login.Tenant, err)
		}
		for _, scope := range []authn.Scope{{Session: "s1"}, {Login: "s1"}, {Subject: "u1"}} {
			if _, err := r.Revoke(t.Context(), mine.Login.Tenant, scope, start); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.Find(t.Context(), globex, "s1", start); err != nil {
			t.Errorf("the other tenant's session was ended too: %v", err)
		}
		elsewhere := theirs
		elsewhere.Site = "wiki"
		if _, err := rotate(t, r, elsewhere, 0, start); !errors.Is(err, authn.ErrNoSession) {
			t.Errorf("a token of another site: %v", err)
		}
		if _, err := rotate(t, r, theirs, 0, start); err != nil {
			t.Errorf("after the foreign one: %v", err)
		}
		if err := r.Create(t.Context(), mine.Login.Tenant, theirs); err == nil {
			t.Error("a session of one tenant was stored under another")
		}
		if _, err := r.Revoke(t.Context(), access.TenantID{}, authn.Scope{Subject: "u1"}, start); err == nil {
			t.Error("no tenant was taken for all")
		}
	})
}

func TestRevokeScopes(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		with := func(id, login, subject, sid string) authn.Record {
			rec := record(t, "acme", id, login, subject)
			rec.Login.ProviderSession = sid
			return rec
		}
		other := with("x1", "lx", "u1", "sid1")
		other.Login.Provider = "another"
		create(t, r, with("a1", "la", "u1", ""), with("a2", "la", "u1", ""), with("b1", "lb", "u1", "sid1"), with("c1", "lc", "u1", "sid1"),
			other, with("d1", "ld", "u2", ""), with("e1", "le", "u3", ""), with("e2", "lf", "u3", ""))
		for _, c := range []struct {
			name  string
			scope authn.Scope
			want  string
		}{
			{"a login ends on every site, and no login without a provider's session with it", authn.Scope{Login: "a1"}, "a1 a2"},
			{"a second time nothing is left of it", authn.Scope{Login: "a1"}, ""},
			{"a login ends those of the same session at the same provider", authn.Scope{Login: "b1"}, "b1 c1"},
			{"a session alone", authn.Scope{Session: "e1"}, "e1"},
			{"all that is left of a user", authn.Scope{Subject: "u3"}, "e2"},
			{"nobody", authn.Scope{Session: "no such"}, ""},
		} {
			ends, err := r.Revoke(t.Context(), tenant(t, "acme"), c.scope, start)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, e := range ends {
				got = append(got, e.SessionID)
			}
			slices.Sort(got)
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("%s: %q, want %q", c.name, s, c.want)
			}
		}
		for _, scope := range []authn.Scope{{}, {Session: "d1", Subject: "u2"}, {Session: "d1", Login: "d1"}} {
			if _, err := r.Revoke(t.Context(), tenant(t, "acme"), scope, start); err == nil {
				t.Errorf("the scope %+v was accepted", scope)
			}
		}
		for _, id := range []string{"x1", "d1"} {
			if _, err := r.Find(t.Context(), tenant(t, "acme"), id, start); err != nil {
				t.Errorf("%s was ended by nobody: %v", id, err)
			}
		}
		if ends, err := r.Ended(t.Context(), start.Add(time.Microsecond)); err != nil || len(ends) != 0 {
			t.Errorf("ended later than they were: %v, %v", ends, err)
		}
		if ends, err := r.Ended(t.Context(), start); err != nil || len(ends) != 6 {
			t.Errorf("%d are listed as ended, %v; want 6", len(ends), err)
		}
	})
}

// TestDoubleSpend shows that of many who present one token at once, all get the one
// successor and the database makes one step.
func TestDoubleSpend(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		rec := record(t, "acme", "s1", "l1", "u1")
		create(t, r, rec)
		for round := range int64(10) {
			var group sync.WaitGroup
			for range 20 {
				group.Go(func() {
					got, err := rotate(t, r, rec, round, start)
					if err != nil || got.Generation != round+1 {
						t.Errorf("round %d: generation %d, %v", round, got.Generation, err)
					}
				})
			}
			group.Wait()
		}
		if got, err := r.Find(t.Context(), rec.Login.Tenant, "s1", start); err != nil || got.Generation != 10 {
			t.Errorf("after 10 rounds: generation %d, %v", got.Generation, err)
		}
	})
}

func TestReuseIsReportedOnceHoweverManyNoticeIt(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		rec := record(t, "acme", "s1", "l1", "u1")
		create(t, r, rec)
		for g := range int64(3) {
			if _, err := rotate(t, r, rec, g, start); err != nil {
				t.Fatal(err)
			}
		}
		var mu sync.Mutex
		reports := 0
		var group sync.WaitGroup
		for range 10 {
			group.Go(func() {
				_, err := rotate(t, r, rec, 0, start)
				mu.Lock()
				defer mu.Unlock()
				if errors.Is(err, authn.ErrReused) {
					reports++
				} else if !errors.Is(err, authn.ErrNoSession) {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if reports != 1 {
			t.Errorf("%d reports, want 1", reports)
		}
	})
}

func TestNothingRestsInClear(t *testing.T) {
	dir := t.TempDir()
	db, err := store.Open(t.Context(), store.Config{Database: "sqlite:" + filepath.Join(dir, "s.db")})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context(), session.Owner, session.Migrations()); err != nil {
		t.Fatal(err)
	}
	s := session.New(db.SQL(), secret.NewMasterKey())
	rec := record(t, "acme", "s1", "l1", "u1")
	rec.Login.ProviderSession = "sid-at-idp"
	if err := s.Create(t.Context(), rec.Login.Tenant, rec); err != nil {
		t.Fatal(err)
	}
	seed := []byte("0123456789abcdefghijklmnopqrstuv")
	if err := s.AddKey(t.Context(), authn.Key{ID: "k1", Environment: "test", Purpose: "session", Generation: 1, Seed: seed, Created: start, ActiveFrom: start}); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil { // folds the log into the file
		t.Fatal(err)
	}
	file, err := os.ReadFile(filepath.Join(dir, "s.db"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(file), "authn_sessions") {
		t.Fatal("this is not the database")
	}
	for _, clear := range []string{"alice@acme.example", "Alice", "Sales, North", "the id token", "sid-at-idp", "otp", string(seed)} {
		if strings.Contains(string(file), clear) {
			t.Errorf("%q rests in clear", clear)
		}
	}
}

func TestSealedValuesDoNotOpenInAnotherRow(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		create(t, r, record(t, "acme", "mine", "l1", "u1"), record(t, "acme", "owners", "l2", "u2"), record(t, "globex", "mine", "l3", "u3"))
		for _, from := range []string{"tenant_id = 'acme' AND id = 'owners'", "tenant_id = 'globex'"} {
			if _, err := r.db.SQL().ExecContext(t.Context(), "UPDATE authn_sessions SET identity = (SELECT identity FROM authn_sessions WHERE "+from+") WHERE tenant_id = 'acme' AND id = 'mine'"); err != nil {
				t.Fatal(err)
			}
			if got, err := r.Find(t.Context(), tenant(t, "acme"), "mine", start); !errors.Is(err, secret.ErrSealed) {
				t.Errorf("a row took over the identity of %s: %+v, %v", from, got.Login, err)
			}
		}
	})
}

func TestKeysAreOfOneEnvironmentAndMasterKey(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		key := func(environment, purpose string, generation int64, id string) authn.Key {
			return authn.Key{ID: id, Environment: environment, Purpose: purpose, Generation: generation, Created: start, ActiveFrom: start.Add(time.Hour), Seed: []byte("0123456789abcdef0123456789abcdef")}
		}
		for _, k := range []authn.Key{key("test", "session", 1, "k1"), key("test", "session", 1, "late"), key("test", "assertion", 1, "k2"), key("test", "session", 2, "k3"), key("staging", "session", 1, "k4")} {
			if err := r.AddKey(t.Context(), k); err != nil {
				t.Fatalf("%s: %v", k.ID, err)
			}
		}
		ids := func() string {
			keys, err := r.Keys(t.Context(), "test")
			if err != nil {
				t.Fatal(err)
			}
			var ids []string
			for _, k := range keys {
				ids = append(ids, k.ID)
				if string(k.Seed) != "0123456789abcdef0123456789abcdef" || !k.ActiveFrom.Equal(start.Add(time.Hour)) || !k.Created.Equal(start) {
					t.Errorf("%s came back as %+v", k.ID, k)
				}
			}
			return strings.Join(ids, " ")
		}
		if got := ids(); got != "k2 k1 k3" {
			t.Errorf("the keys are %s; want k2 k1 k3: the first of a generation stays", got)
		}
		if err := r.DropKey(t.Context(), "test", "k1"); err != nil {
			t.Fatal(err)
		}
		if got := ids(); got != "k2 k3" {
			t.Errorf("after dropping k1: %s", got)
		}
		if keys, err := session.New(r.db.SQL(), secret.NewMasterKey()).Keys(t.Context(), "test"); !errors.Is(err, secret.ErrSealed) || keys != nil {
			t.Errorf("under another master key: %v, %v", keys, err)
		}
	})
}

func TestPruneDeletesTheExpiredAlone(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		old, young := record(t, "acme", "old", "l1", "u1"), record(t, "globex", "young", "l2", "u2")
		old.Expires = start.Add(-time.Hour)
		create(t, r, old, young)
		if err := r.Prune(t.Context(), start); err != nil {
			t.Fatal(err)
		}
		var ids string
		if err := r.db.SQL().QueryRowContext(t.Context(), "SELECT MIN(id) || MAX(id) FROM authn_sessions").Scan(&ids); err != nil || ids != "youngyoung" {
			t.Errorf("left: %q, %v", ids, err)
		}
	})
}

func TestAStoreThatIsGoneIsAnErrorAndNotAnEmptyAnswer(t *testing.T) {
	stores(t, func(t *testing.T, r rig) {
		rec := record(t, "acme", "s1", "l1", "u1")
		create(t, r, rec)
		if err := r.db.Close(); err != nil {
			t.Fatal(err)
		}
		acme := rec.Login.Tenant
		for name, call := range map[string]func() error{
			"Create": func() error { return r.Create(t.Context(), acme, rec) },
			"Rotate": func() error { _, err := rotate(t, r, rec, 0, start); return err },
			"Find":   func() error { _, err := r.Find(t.Context(), acme, "s1", start); return err },
			"Revoke": func() error {
				_, err := r.Revoke(t.Context(), acme, authn.Scope{Session: "s1"}, start)
				return err
			},
			"Ended":   func() error { _, err := r.Ended(t.Context(), start); return err },
			"Prune":   func() error { return r.Prune(t.Context(), start) },
			"Keys":    func() error { _, err := r.Keys(t.Context(), "test"); return err },
			"AddKey":  func() error { return r.AddKey(t.Context(), authn.Key{}) },
			"DropKey": func() error { return r.DropKey(t.Context(), "test", "k") },
		} {
			if err := call(); err == nil || errors.Is(err, authn.ErrNoSession) || errors.Is(err, authn.ErrReused) {
				t.Errorf("%s on a closed database: %v; want an error of its own", name, err)
			}
		}
	})
}
