package authn_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/authn/session"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/store"
	"github.com/sallyport/sallyport/units"
)

// clock is the time of the tests.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a database and what its instances share.
type world struct {
	t      testing.TB
	path   string
	master *secret.MasterKey
	clock  *clock
}

func newWorld(t testing.TB) *world {
	return &world{t: t, path: filepath.Join(t.TempDir(), "s.db"), master: secret.NewMasterKey(), clock: &clock{now: time.Unix(1_800_000_000, 0)}}
}

// instance is one gateway of a world, with its store in our hands.
type instance struct {
	*authn.Sessions
	w      *world
	faults *faults
	db     *store.DB
	log    *bytes.Buffer
	// refuse is what Admit answers.
	refuse error
	reused []*access.Identity
	ended  []string // what OnRevoke told
}

// faults stands before the real store: before is called ahead of every question.
type faults struct {
	*session.SQL
	mu     sync.Mutex
	before func(ctx context.Context, question string) error
	asked  map[string]int
}

func (f *faults) ask(ctx context.Context, question string) error {
	f.mu.Lock()
	f.asked[question]++
	before := f.before
	f.mu.Unlock()
	if before != nil {
		return before(ctx, question)
	}
	return nil
}

func (f *faults) set(before func(ctx context.Context, question string) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before = before
}

func (f *faults) count(question string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked[question]
}

func (f *faults) Create(ctx context.Context, tenant access.TenantID, r authn.Record) error {
	if err := f.ask(ctx, "Create"); err != nil {
		return err
	}
	return f.SQL.Create(ctx, tenant, r)
}

func (f *faults) Rotate(ctx context.Context, tenant access.TenantID, r authn.Rotation) (authn.Record, error) {
	if err := f.ask(ctx, "Rotate"); err != nil {
		return authn.Record{}, err
	}
	return f.SQL.Rotate(ctx, tenant, r)
}

func (f *faults) Find(ctx context.Context, tenant access.TenantID, id string, now time.Time) (authn.Record, error) {
	if err := f.ask(ctx, "Find"); err != nil {
		return authn.Record{}, err
	}
	return f.SQL.Find(ctx, tenant, id, now)
}

func (f *faults) Revoke(ctx context.Context, tenant access.TenantID, scope authn.Scope, at time.Time) ([]authn.Ended, error) {
	if err := f.ask(ctx, "Revoke"); err != nil {
		return nil, err
	}
	return f.SQL.Revoke(ctx, tenant, scope, at)
}

func (f *faults) Ended(ctx context.Context, since time.Time) ([]authn.Ended, error) {
	if err := f.ask(ctx, "Ended"); err != nil {
		return nil, err
	}
	return f.SQL.Ended(ctx, since)
}

func (f *faults) Keys(ctx context.Context, environment string) ([]authn.Key, error) {
	if err := f.ask(ctx, "Keys"); err != nil {
		return nil, err
	}
	return f.SQL.Keys(ctx, environment)
}

// start opens an instance of the world that has not looked at the database yet.
func (w *world) start(change ...func(*authn.Deps)) *instance {
	w.t.Helper()
	db, err := store.Open(context.Background(), store.Config{Database: "sqlite:" + w.path})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { db.Close() })
	if err := db.Migrate(context.Background(), session.Owner, session.Migrations()); err != nil {
		w.t.Fatal(err)
	}
	i := &instance{w: w, db: db, log: new(bytes.Buffer), faults: &faults{SQL: session.New(db.SQL(), w.master), asked: map[string]int{}}}
	var mu sync.Mutex
	d := authn.Deps{
		Environment: "test", MasterKey: w.master, Store: i.faults, Ends: i.faults, Keys: i.faults,
		Admit: func(context.Context, authn.Login) error { return i.refuse },
		Reused: func(_ *access.Exchange, id *access.Identity) {
			mu.Lock()
			defer mu.Unlock()
			i.reused = append(i.reused, id)
		},
		Log: slog.New(slog.NewTextHandler(i.log, nil)), Meter: observe.Discard{}, Health: observe.Discard{}, Now: w.clock.Now,
	}
	for _, f := range change {
		f(&d)
	}
	if i.Sessions, err = authn.New(d); err != nil {
		w.t.Fatal(err)
	}
	i.OnRevoke(func(login string) {
		mu.Lock()
		defer mu.Unlock()
		i.ended = append(i.ended, login)
	})
	return i
}

// running opens an instance that sees the database.
func (w *world) running(change ...func(*authn.Deps)) *instance {
	w.t.Helper()
	i := w.start(change...)
	i.sync()
	return i
}

func (i *instance) sync() {
	i.w.t.Helper()
	if err := i.Sync(context.Background()); err != nil {
		i.w.t.Fatal(err)
	}
}

// later lets time pass, with the list of ended sessions kept fresh.
func (i *instance) later(d time.Duration) {
	i.w.t.Helper()
	i.w.clock.advance(d)
	i.sync()
}

func spans(access, refresh time.Duration) func(*authn.Deps) {
	return func(d *authn.Deps) {
		d.Config.Session = authn.SessionConfig{Access: units.Span(access), Refresh: units.Span(refresh)}
	}
}

func alice(t testing.TB) authn.Login {
	t.Helper()
	acme, err := access.ParseTenantID("acme")
	if err != nil {
		t.Fatal(err)
	}
	return authn.Login{
		Tenant: acme, Subject: "u-alice", Email: "alice@acme.example", Name: "Alice", Roles: []string{"member"}, Groups: []string{"sales"},
		Provider: "idp", AMR: []string{"pwd"}, IDToken: secret.New("alices id token"),
	}
}

// browser is a cookie jar.
type browser struct {
	mu  sync.Mutex
	jar map[string]string
}

const (
	sessionName = "__Host-sallyport-session"
	refreshName = "__Host-sallyport-refresh"
)

func newBrowser() *browser { return &browser{jar: map[string]string{}} }

// header is what the browser sends now.
func (b *browser) header() http.Header {
	b.mu.Lock()
	defer b.mu.Unlock()
	line := "app=1"
	for _, name := range []string{sessionName, refreshName} {
		if v, ok := b.jar[name]; ok {
			line += "; " + name + "=" + v
		}
	}
	return http.Header{"Cookie": {line}}
}

func (b *browser) take(ex *access.Exchange) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range ex.SetCookies {
		if c.MaxAge < 0 {
			delete(b.jar, c.Name)
		} else {
			b.jar[c.Name] = c.Value
		}
	}
}

// request makes an exchange on a site as it stands before the gate.
func request(site string, class access.Class, h http.Header) *access.Exchange {
	r, err := http.NewRequest(http.MethodGet, "https://"+site+".example/x", nil)
	if err != nil {
		panic(err)
	}
	if h != nil {
		r.Header = h
	}
	return &access.Exchange{Request: r, Site: &access.Site{Name: site}, Route: access.Route{Class: class}}
}

// login logs a browser in on a site.
func (i *instance) login(b *browser, site string, l authn.Login) *access.Identity {
	i.w.t.Helper()
	ex := request(site, access.Portal, b.header())
	if err := i.Authenticate(ex); err != nil {
		i.w.t.Fatal(err)
	}
	if err := i.Begin(context.Background(), ex, l); err != nil {
		i.w.t.Fatal(err)
	}
	b.take(ex)
	return ex.Identity
}

// visit sends the browser to the application.
func (i *instance) visit(b *browser, site string) (*access.Exchange, error) {
	ex := request(site, access.App, b.header())
	err := i.Authenticate(ex)
	b.take(ex)
	return ex, err
}

// logout posts to the logout address.
func (i *instance) logout(b *browser, site string) error {
	i.w.t.Helper()
	ex := request(site, access.Portal, b.header())
	if err := i.Authenticate(ex); err != nil {
		i.w.t.Fatal(err)
	}
	err := i.End(context.Background(), ex)
	b.take(ex)
	return err
}

// status is the status and code of a refusal, "0" of none, "error" of any other error.
func refusal(err error) (status int, code string) {
	if err == nil {
		return 0, ""
	}
	r, ok := err.(*access.Refusal)
	if !ok {
		return -1, err.Error()
	}
	return r.Status, r.Code
}

func wantRefusal(t testing.TB, err error, status int, code string) *access.Refusal {
	t.Helper()
	if s, c := refusal(err); s != status || c != code {
		t.Fatalf("got %d %s, want %d %s", s, c, status, code)
	}
	if err == nil {
		return nil
	}
	return err.(*access.Refusal)
}

func cleared(ex *access.Exchange) bool {
	gone := ""
	for _, c := range ex.SetCookies {
		if c.MaxAge < 0 && c.Value == "" {
			gone += c.Name
		}
	}
	return strings.Contains(gone, sessionName) && strings.Contains(gone, refreshName)
}
