package audit

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// faults breaks the disk; nil fields work as usual.
type faults struct {
	write    func(f *os.File, b []byte) (int, error)
	sync     func(f *os.File) error
	truncate func(f *os.File, size int64) error
	open     func(name string, flag int) error
	syncDir  func(dir string) error
}

type faultyDisk struct{ now atomic.Pointer[faults] }

type faultyFile struct {
	*os.File
	disk *faultyDisk
}

func (f faultyFile) Write(b []byte) (int, error) {
	if broken := f.disk.now.Load(); broken.write != nil {
		return broken.write(f.File, b)
	}
	return f.File.Write(b)
}

func (f faultyFile) Sync() error {
	if broken := f.disk.now.Load(); broken.sync != nil {
		return broken.sync(f.File)
	}
	return f.File.Sync()
}

func (f faultyFile) Truncate(size int64) error {
	if broken := f.disk.now.Load(); broken.truncate != nil {
		return broken.truncate(f.File, size)
	}
	return f.File.Truncate(size)
}

func (d *faultyDisk) disk() disk {
	d.now.CompareAndSwap(nil, &faults{})
	return disk{
		open: func(name string, flag int, mode os.FileMode) (file, error) {
			if broken := d.now.Load(); broken.open != nil {
				if err := broken.open(name, flag); err != nil {
					return nil, err
				}
			}
			f, err := os.OpenFile(name, flag, mode)
			return faultyFile{f, d}, err
		},
		syncDir: func(dir string) error {
			if broken := d.now.Load(); broken.syncDir != nil {
				return broken.syncDir(dir)
			}
			return syncDir(dir)
		},
	}
}

// unsynced is a disk for tests in which no power fails.
func unsynced() disk {
	d := new(faultyDisk)
	d.now.Store(&faults{sync: func(*os.File) error { return nil }, syncDir: func(string) error { return nil }})
	return d.disk()
}

// health remembers the last report.
type health struct {
	mu  sync.Mutex
	err error
}

func (h *health) Report(_ string, _ bool, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.err = err
}

func (h *health) last() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.err
}

type logBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *logBuffer) text() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.String()
}

type rig struct {
	*Log
	dir    string
	stderr *logBuffer
	health *health
	stop   func() error // ends Run and waits for it
}

// start runs a Log in dir that tries and repairs fast.
func start(t testing.TB, dir string, d disk, cfg Config) *rig {
	t.Helper()
	r := &rig{dir: dir, stderr: new(logBuffer), health: new(health)}
	cfg.Dir = dir
	var err error
	r.Log, err = newLog(Options{Config: cfg, Node: "n1", Meter: observe.Discard{}, Health: r.health,
		Logger: slog.New(slog.NewTextHandler(r.stderr, nil))}, d)
	if err != nil {
		t.Fatal(err)
	}
	r.journal.retry, r.journal.share = 2*time.Millisecond, time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() { _ = r.stop() })
	return r
}

func open(t testing.TB, dir string, d disk, cfg Config) *rig {
	t.Helper()
	r := start(t, dir, d, cfg)
	select {
	case <-r.Opened():
	case <-time.After(20 * time.Second):
		t.Fatalf("the journal did not open: %s", r.stderr.text())
	}
	return r
}

var acme = must(access.ParseTenantID("acme"))

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// exchange is alice of acme, who changes contact 7.
func exchange() *access.Exchange {
	req := httptest.NewRequest(http.MethodPut, "https://crm.example.com/api/contacts/7?x=1", nil)
	req.Header.Set("User-Agent", "test")
	return &access.Exchange{
		Request: req, ID: "req-1", Received: time.Now(),
		Client: access.Client{Addr: netip.MustParseAddr("192.0.2.7")},
		Target: access.Target{Path: "/api/contacts/7"},
		Site:   &access.Site{Name: "crm"},
		Route:  access.Route{Class: access.App, Pattern: "/api/contacts/{id}", Resource: "contact", ID: "7", Action: access.ActionUpdate},
		Identity: &access.Identity{Subject: "u1", Email: "alice@acme.example", Tenant: acme, Provider: "idp", SessionID: "s1",
			AMR: []string{"pwd", "otp"}},
		Decision: access.Decision{Allow: true, Rule: "member.update", Revision: "r1"},
	}
}

// always is a logout, which nothing may stop.
func always() *access.Exchange {
	ex := exchange()
	ex.Route = access.Route{Class: access.Portal, Action: access.ActionLogout,
		Endpoint: &access.Endpoint{Path: "logout", Action: access.ActionLogout, Always: true}}
	return ex
}

type written struct {
	access.Event
	count int64
	raw   string
}

// events reads the journal back, without its own notes.
func events(t testing.TB, dir string) []written {
	t.Helper()
	var all []written
	err := Read(dir, func(_ Header, line []byte) error {
		ev, count, err := DecodeEvent(line)
		if ev.Action != ActionJournal {
			all = append(all, written{ev, count, string(line)})
		}
		return err
	}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func eventually(t testing.TB, what string, cond func() bool) {
	t.Helper()
	for range 10_000 {
		if cond() {
			return
		}
		time.Sleep(time.Millisecond)
	}
	t.Fatalf("never: %s", what)
}

func TestIntentAndOutcomeShareAnEvent(t *testing.T) {
	r := open(t, folder(t), unsynced(), Config{})
	ex := exchange()
	ex.Body.Values = []access.Value{{Path: "name", Text: "Ann"}, {Path: "password", Text: "hunter2"}}
	if err := r.Intend(t.Context(), ex); err != nil {
		t.Fatal(err)
	}
	if got := events(t, r.dir); len(got) != 1 || got[0].Outcome != access.Intended {
		t.Fatalf("after Intend the journal holds %+v", got)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	r.Finish(gone, ex, access.Done, 200) // the client's going away changes nothing
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	got := events(t, r.dir)
	if len(got) != 2 {
		t.Fatalf("%d events, want an intent and an outcome", len(got))
	}
	intent, outcome := got[0].Event, got[1].Event
	if intent.ID != ex.EventID || outcome.ID != ex.EventID || intent.ID[14] != '7' {
		t.Errorf("ids %q and %q, want the UUIDv7 %q", intent.ID, outcome.ID, ex.EventID)
	}
	if outcome.Outcome != access.Done || outcome.Status != 200 || outcome.Changes != nil || outcome.Old != "request_only" || outcome.Took <= 0 {
		t.Errorf("outcome = %+v", outcome)
	}
	want := access.Event{
		ID: ex.EventID, Time: ex.Received.UTC().Round(0), Node: "n1", Tenant: acme,
		Actor:    access.Actor{ID: "u1", Email: "alice@acme.example", Provider: "idp", Session: "s1", AMR: []string{"pwd", "otp"}},
		Client:   access.Origin{Addr: netip.MustParseAddr("192.0.2.7"), UserAgent: "test"},
		Action:   "update",
		Resource: access.Resource{Type: "contact", ID: "7"},
		Request:  access.RequestInfo{ID: "req-1", Site: "crm", Method: "PUT", Route: "/api/contacts/{id}", Path: "/api/contacts/7"},
		Decision: access.DecisionInfo{Gate: "authorize", Rule: "member.update", Revision: "r1"},
		Changes:  []access.Change{{Field: "name", New: "Ann"}, {Field: "password", New: "[redacted]"}},
		Old:      "request_only", Outcome: access.Intended,
	}
	if fmt.Sprintf("%+v", intent) != fmt.Sprintf("%+v", want) {
		t.Errorf("intent\n got %+v\nwant %+v", intent, want)
	}
}

func TestLoginCarriesItsActorInTheOutcome(t *testing.T) {
	r := open(t, folder(t), unsynced(), Config{})
	ex := exchange()
	who := ex.Identity
	ex.Identity, ex.Decision = nil, access.Decision{}
	ex.Route = access.Route{Class: access.Portal, Endpoint: &access.Endpoint{Path: "oidc/callback", Action: access.ActionLogin}}
	ex.Body.Values = []access.Value{{Path: "state", Text: "st4te"}, {Path: "code", Text: "c0de"}}
	if err := r.Intend(t.Context(), ex); err != nil {
		t.Fatal(err)
	}
	ex.Identity = who
	r.Finish(t.Context(), ex, access.Done, 303)
	_ = r.stop()
	got := events(t, r.dir)
	if len(got) != 2 || got[0].Actor.ID != "" || got[1].Actor.ID != "u1" || got[1].Tenant != acme || got[1].Action != "login" {
		t.Errorf("events = %+v", got)
	}
	for _, ev := range got {
		if strings.Contains(ev.raw, "st4te") || strings.Contains(ev.raw, "c0de") {
			t.Errorf("a login's secrets are in the journal: %s", ev.raw)
		}
	}
}

func TestIntendRefusesUntilTheJournalIsOpen(t *testing.T) {
	var d faultyDisk
	closed := errors.New("no disk yet")
	d.now.Store(&faults{open: func(string, int) error { return closed }})
	dir := folder(t)
	// A new journal needs no file before its first record; this one has to open its last.
	if err := os.WriteFile(dir+"/"+segmentName(1), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	r := start(t, dir, d.disk(), Config{})
	eventually(t, "the failure shows in health", func() bool { return errors.Is(r.health.last(), closed) })
	ex := exchange()
	err := r.Intend(t.Context(), ex)
	var refusal *access.Refusal
	if !errors.As(err, &refusal) || refusal.Status != 503 || !errors.Is(err, ErrUnwritten) || ex.EventID != "" {
		t.Fatalf("Intend = %v, event %q; want a 503 that wraps ErrUnwritten", err, ex.EventID)
	}
	d.now.Store(&faults{})
	<-r.Opened()
	if err := r.Intend(t.Context(), ex); err != nil {
		t.Errorf("after the journal was opened: %v", err)
	}
}

func TestAfterRunNothingIsClaimedToBeWritten(t *testing.T) {
	r := open(t, folder(t), unsynced(), Config{})
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if err := r.Intend(t.Context(), exchange()); !errors.Is(err, ErrUnwritten) {
		t.Errorf("Intend after the end = %v", err)
	}
	if err := r.Intend(t.Context(), always()); err != nil {
		t.Errorf("a logout after the end = %v", err)
	}
	if !strings.Contains(r.stderr.text(), "an audit record is lost") {
		t.Error("the logout's record is lost without a word")
	}
	if err := r.Run(t.Context()); err == nil {
		t.Error("Run ran twice")
	}
}

func TestTwoProcessesNeverWriteOneJournal(t *testing.T) {
	dir := folder(t)
	first := open(t, dir, unsynced(), Config{})
	second := start(t, dir, unsynced(), Config{})
	eventually(t, "the second one says why it cannot open", func() bool {
		err := second.health.last()
		return err != nil && strings.Contains(err.Error(), "another process")
	})
	if err := second.Intend(t.Context(), exchange()); !errors.Is(err, ErrUnwritten) {
		t.Errorf("the second one writes: %v", err)
	}
	_ = first.stop()
	<-second.Opened() // and takes over when the first has gone
	if err := second.Intend(t.Context(), exchange()); err != nil {
		t.Error(err)
	}
	if _, err := Verify(dir); err != nil {
		t.Error(err)
	}
}

func TestFilesAreForTheirOwnerAlone(t *testing.T) {
	dir := folder(t) + "/a/b"
	r := open(t, dir, realDisk(), Config{})
	if err := r.Intend(t.Context(), exchange()); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]os.FileMode{dir: 0o700, dir + "/" + segmentName(1): 0o600, dir + "/lock": 0o600} {
		if info, err := os.Stat(name); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s: %v, %v; want %o", name, info.Mode(), err, want)
		}
	}
}

func TestManyWritersLoseNothing(t *testing.T) {
	r := open(t, folder(t), unsynced(), Config{SegmentSize: MinSegmentSize})
	const writers, each = 32, 40
	var mu sync.Mutex
	acknowledged := map[string]bool{}
	tail := r.Tail(t.Context(), 1)
	var wg sync.WaitGroup
	for range writers {
		wg.Go(func() {
			for range each {
				ex := exchange()
				if err := r.Intend(context.Background(), ex); err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				acknowledged[ex.EventID] = true
				mu.Unlock()
				r.Finish(context.Background(), ex, access.Done, 200)
				r.Recent(acme, 3)
			}
		})
	}
	wg.Wait()
	<-tail
	_ = r.stop()
	outcomes := 0
	for _, ev := range events(t, r.dir) {
		if ev.Outcome == access.Intended {
			delete(acknowledged, ev.ID)
		} else {
			outcomes++
		}
	}
	if len(acknowledged) != 0 || outcomes != writers*each {
		t.Errorf("%d intents are missing, %d outcomes of %d", len(acknowledged), outcomes, writers*each)
	}
	if report, err := Verify(r.dir); err != nil || report.Segments < 2 {
		t.Errorf("Verify = %+v, %v; want several segments", report, err)
	}
}

func BenchmarkIntend(b *testing.B) {
	for _, writers := range []int{1, 16, 64, 256} {
		b.Run(fmt.Sprintf("writers=%d", writers), func(b *testing.B) {
			l := must(New(Options{Config: Config{Dir: b.TempDir()}, Node: "n1", Meter: observe.Discard{}, Health: observe.Discard{},
				Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}))
			ctx, cancel := context.WithCancel(context.Background())
			ended := make(chan error, 1)
			go func() { ended <- l.Run(ctx) }()
			<-l.Opened()
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ReportAllocs()
			b.ResetTimer()
			var wg sync.WaitGroup
			for range writers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						ex := exchange()
						if err := l.Intend(ctx, ex); err != nil {
							b.Error(err)
							return
						}
						l.Finish(ctx, ex, access.Done, 200)
					}
				})
			}
			wg.Wait()
			b.StopTimer()
			cancel()
			if err := <-ended; err != nil {
				b.Error(err)
			}
		})
	}
}
