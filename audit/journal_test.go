package audit

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
)

func TestIntendReturnsAfterWriteAndFsync(t *testing.T) {
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	var d faultyDisk
	d.now.Store(&faults{
		write: func(f *os.File, b []byte) (int, error) {
			if strings.Contains(string(b), `"outcome":"intended"`) {
				note("write " + filepath.Base(f.Name()))
			}
			return f.Write(b)
		},
		sync:    func(f *os.File) error { note("sync " + filepath.Base(f.Name())); return f.Sync() },
		syncDir: func(string) error { note("sync folder"); return nil },
	})
	r := open(t, folder(t), d.disk(), Config{})
	if err := r.Intend(t.Context(), exchange()); err != nil {
		t.Fatal(err)
	}
	note("Intend returned")
	seg := segmentName(1)
	wrote := slices.Index(order, "write "+seg)
	folder, returned := slices.Index(order, "sync folder"), slices.Index(order, "Intend returned")
	if folder < 0 || wrote < folder || !slices.Contains(order[wrote:returned], "sync "+seg) {
		t.Errorf("order = %q, want the folder synced, the intent written, the segment synced, and then Intend to return", order)
	}
}

func TestConcurrentIntentsShareOneFsync(t *testing.T) {
	var d faultyDisk
	r := open(t, folder(t), d.disk(), Config{})
	if err := r.Intend(t.Context(), exchange()); err != nil { // the folder and the journal's note are done
		t.Fatal(err)
	}
	const writers = 50
	first, release := make(chan struct{}), make(chan struct{})
	var once sync.Once
	var mu sync.Mutex
	syncs := 0
	d.now.Store(&faults{sync: func(f *os.File) error {
		mu.Lock()
		syncs++
		mu.Unlock()
		once.Do(func() { close(first); <-release })
		return f.Sync()
	}})
	var wg sync.WaitGroup
	intend := func() {
		if err := r.Intend(context.Background(), exchange()); err != nil {
			t.Error(err)
		}
	}
	wg.Go(intend)
	<-first // one fsync is under way
	for range writers {
		wg.Go(intend)
	}
	eventually(t, "all others wait", func() bool {
		r.journal.mu.Lock()
		defer r.journal.mu.Unlock()
		return len(r.journal.queue) == writers
	})
	close(release)
	wg.Wait()
	mu.Lock()
	defer mu.Unlock()
	if syncs != 2 {
		t.Errorf("%d fsyncs for 1 + %d intents, want 2", syncs, writers)
	}
}

func TestTheJournalComesBackByItself(t *testing.T) {
	eio := func(*os.File) error { return syscall.EIO }
	short := func(f *os.File, b []byte) (int, error) {
		n, _ := f.Write(b[:len(b)/2])
		return n, syscall.ENOSPC
	}
	for name, broken := range map[string]*faults{
		"fsync fails":                       {sync: eio},
		"the disk is full in mid-write":     {write: short},
		"a short write without an error":    {write: func(f *os.File, b []byte) (int, error) { return f.Write(b[:len(b)-1]) }},
		"nothing can be written":            {write: func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }},
		"a short write that cannot be cut":  {write: short, truncate: func(*os.File, int64) error { return syscall.EIO }},
		"the segment cannot be opened":      {write: short, open: func(string, int) error { return syscall.EACCES }},
		"read-only (write and open refuse)": {write: func(*os.File, []byte) (int, error) { return 0, syscall.EROFS }, open: func(string, int) error { return syscall.EROFS }},
	} {
		t.Run(name, func(t *testing.T) {
			var d faultyDisk
			r := open(t, folder(t), d.disk(), Config{})
			before := exchange()
			if err := r.Intend(t.Context(), before); err != nil {
				t.Fatal(err)
			}
			d.now.Store(broken)
			for range 3 {
				if err := r.Intend(t.Context(), exchange()); !errors.Is(err, ErrUnwritten) {
					t.Fatalf("Intend on a broken disk = %v", err)
				}
			}
			eventually(t, "health shows it", func() bool { return r.health.last() != nil })
			r.Finish(t.Context(), before, access.Done, 200) // waits in memory
			d.now.Store(&faults{})
			after := exchange()
			eventually(t, "Intend works again", func() bool { return r.Intend(t.Context(), after) == nil })
			_ = r.stop()
			if _, err := Verify(r.dir); err != nil {
				t.Errorf("the chain is broken: %v", err)
			}
			var got []string
			for _, ev := range events(t, r.dir) {
				got = append(got, ev.ID+" "+string(ev.Outcome))
			}
			if want := []string{before.EventID + " intended", before.EventID + " done", after.EventID + " intended"}; !slices.Equal(got, want) {
				t.Errorf("journal = %q\nwant %q: nothing that was refused, all that was done", got, want)
			}
			if strings.Count(r.stderr.text(), "cannot be written") != 1 {
				t.Errorf("the failure is logged more or less than once:\n%s", r.stderr.text())
			}
		})
	}
}

func TestASegmentThatCannotBeginStopsTheDeed(t *testing.T) {
	var d faultyDisk
	d.now.Store(&faults{syncDir: func(string) error { return syscall.EIO }})
	r := start(t, folder(t), d.disk(), Config{})
	eventually(t, "the failure shows", func() bool { return errors.Is(r.health.last(), syscall.EIO) })
	if err := r.Intend(t.Context(), exchange()); !errors.Is(err, ErrUnwritten) {
		t.Fatalf("Intend without a durable folder = %v", err)
	}
	d.now.Store(&faults{})
	eventually(t, "it comes back", func() bool { return r.Intend(t.Context(), exchange()) == nil })
	if _, err := Verify(r.dir); err != nil {
		t.Error(err)
	}
}

func TestARemovedOrShortenedSegmentIsNoticedAtOnce(t *testing.T) {
	for name, harm := range map[string]func(path string) error{
		"removed":   os.Remove,
		"shortened": func(path string) error { return os.Truncate(path, 10) },
		"appended to": func(path string) error {
			f, err := os.OpenFile(path, os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = f.WriteString("mine\n")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := open(t, folder(t), unsynced(), Config{})
			if err := r.Intend(t.Context(), exchange()); err != nil {
				t.Fatal(err)
			}
			if err := harm(filepath.Join(r.dir, segmentName(1))); err != nil {
				t.Fatal(err)
			}
			if err := r.Intend(t.Context(), exchange()); !errors.Is(err, ErrUnwritten) {
				t.Errorf("a record went into a file that is not there: %v", err)
			}
			eventually(t, "it goes on", func() bool { return r.Intend(t.Context(), exchange()) == nil })
			_ = r.stop()
			// What was appended is cut off; what was removed stays missing, and Verify says so.
			if _, err := Verify(r.dir); (err == nil) != (name == "appended to") {
				t.Errorf("Verify = %v", err)
			}
		})
	}
}

// hang makes the next fsync wait for release.
func hang(d *faultyDisk) (hanging <-chan struct{}, release func()) {
	in, out := make(chan struct{}), make(chan struct{})
	var once sync.Once
	d.now.Store(&faults{sync: func(f *os.File) error {
		once.Do(func() { close(in) })
		<-out
		return f.Sync()
	}})
	return in, sync.OnceFunc(func() { close(out) })
}

func TestAHungDiskRefusesInTimeAndTheLateRecordIsTakenBack(t *testing.T) {
	var d faultyDisk
	r := open(t, folder(t), d.disk(), Config{Deadline: MinDeadline})
	if err := r.Intend(t.Context(), exchange()); err != nil {
		t.Fatal(err)
	}
	hanging, release := hang(&d)
	defer release()
	writing, queued, logout := exchange(), exchange(), always()
	writing.ID, queued.ID = "writing", "queued"
	answers := make(chan error, 3)
	go func() { answers <- r.Intend(context.Background(), writing) }()
	<-hanging
	go func() { answers <- r.Intend(context.Background(), queued) }()
	for range 2 {
		if err := <-answers; !errors.Is(err, ErrUnwritten) {
			t.Errorf("Intend on a hung disk = %v", err)
		}
	}
	go func() { answers <- r.Intend(context.Background(), logout) }()
	if err := <-answers; err != nil {
		t.Errorf("a logout on a hung disk = %v", err)
	}
	eventually(t, "health shows the hanging write", func() bool { return r.health.last() != nil })
	// From here on nobody waits for the deadline: with a disk known to hang, a request is
	// refused before it queues.
	if err := r.Intend(t.Context(), exchange()); !errors.Is(err, ErrUnwritten) {
		t.Errorf("Intend on a disk known to hang = %v", err)
	}
	release()
	eventually(t, "health is well again", func() bool { return r.health.last() == nil })
	_ = r.stop()
	byRequest := map[string][]access.Outcome{}
	for _, ev := range events(t, r.dir) {
		byRequest[ev.Request.ID+"/"+ev.Action] = append(byRequest[ev.Request.ID+"/"+ev.Action], ev.Outcome)
	}
	want := map[string][]access.Outcome{
		"req-1/update":   {access.Intended},
		"writing/update": {access.Intended, access.Refused}, // it became durable after its request was refused
		"req-1/logout":   {access.Intended},
	}
	if fmt.Sprint(byRequest) != fmt.Sprint(want) {
		t.Errorf("journal = %v\nwant %v", byRequest, want)
	}
}

// The corridor ends the request of a client that has left, and its event with it: here it would
// only look like a failure of the disk.
func TestAClientThatGoesAwayIsNoFailureOfTheJournal(t *testing.T) {
	var d faultyDisk
	r := open(t, folder(t), d.disk(), Config{})
	if err := r.Intend(t.Context(), exchange()); err != nil {
		t.Fatal(err)
	}
	hanging, release := hang(&d)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	gone := exchange()
	go func() { answer <- r.Intend(ctx, gone) }()
	<-hanging
	cancel()
	release()
	if err := <-answer; err != nil {
		t.Fatalf("Intend = %v", err)
	}
	r.Finish(ctx, gone, access.Failed, 499)
	_ = r.stop()
	all := events(t, r.dir)
	if last := all[len(all)-1]; last.ID != gone.EventID || last.Outcome != access.Failed {
		t.Errorf("the last event is %+v, want the outcome of the request whose client left", last.Event)
	}
}

func TestWhatMustProceedIsKeptUntilTheJournalIsBack(t *testing.T) {
	for _, c := range []struct {
		name    string
		cfg     Config
		make    func() *access.Exchange
		allowed bool
	}{
		{"a change is refused", Config{}, exchange, false},
		{"a login is refused", Config{}, func() *access.Exchange {
			ex := exchange()
			ex.Route = access.Route{Class: access.Portal, Endpoint: &access.Endpoint{Path: "login", Action: access.ActionLogin}}
			return ex
		}, false},
		{"a logout proceeds", Config{}, always, true},
		{"a change proceeds where the file says continue", Config{OnFailure: OnFailureContinue}, exchange, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var d faultyDisk
			r := open(t, folder(t), d.disk(), c.cfg)
			d.now.Store(&faults{write: func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }})
			var ids []string
			for range 3 { // the first finds the journal breaking, the others broken
				ex := c.make()
				err := r.Intend(t.Context(), ex)
				if (err == nil) != c.allowed {
					t.Fatalf("Intend = %v, want success %v", err, c.allowed)
				}
				r.Finish(t.Context(), ex, access.Done, 200)
				if c.allowed {
					ids = append(ids, ex.EventID+" intended", ex.EventID+" done")
					if !strings.Contains(r.stderr.text(), ex.EventID) {
						t.Error("the event is not on stderr")
					}
				}
			}
			d.now.Store(&faults{})
			eventually(t, "it is back", func() bool { return r.health.last() == nil })
			_ = r.stop()
			var got []string
			for _, ev := range events(t, r.dir) {
				got = append(got, ev.ID+" "+string(ev.Outcome))
			}
			if !slices.Equal(got, ids) {
				t.Errorf("journal = %q\nwant %q", got, ids)
			}
		})
	}
}

func TestWhatWaitsInMemoryIsBoundedAndTheLossIsWrittenDown(t *testing.T) {
	var d faultyDisk
	r := open(t, folder(t), d.disk(), Config{OnFailure: OnFailureContinue})
	d.now.Store(&faults{write: func(*os.File, []byte) (int, error) { return 0, syscall.ENOSPC }})
	const extra = 7
	for range maxKept + extra {
		if err := r.Intend(t.Context(), exchange()); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Intend(t.Context(), always()); err != nil { // has room of its own
		t.Fatal(err)
	}
	d.now.Store(&faults{})
	eventually(t, "it is back", func() bool { return r.health.last() == nil })
	_ = r.stop()
	var lost int64
	var last access.Event
	n := 0
	if err := Read(r.dir, func(_ Header, line []byte) error {
		ev, count, err := DecodeEvent(line)
		if n++; ev.Action == ActionJournal {
			lost += count
			n--
		} else {
			last = ev
		}
		return err
	}, nil); err != nil {
		t.Fatal(err)
	}
	if n != maxKept+1 || lost != extra || last.Action != access.ActionLogout {
		t.Errorf("%d events, %d noted as lost, the last is a %s; want %d, %d and the logout", n, lost, last.Action, maxKept+1, extra)
	}
}

func TestTheEndWaitsForAHungDiskNoLongerThanTheDeadline(t *testing.T) {
	var d faultyDisk
	r := open(t, folder(t), d.disk(), Config{Deadline: MinDeadline})
	hanging, release := hang(&d)
	defer release()
	go func() { _ = r.Intend(context.Background(), always()) }()
	<-hanging
	ended := make(chan error, 1)
	go func() { ended <- r.stop() }()
	select {
	case err := <-ended:
		if err == nil {
			t.Error("Run ended well although nothing was written")
		}
	case <-time.After(20 * time.Second):
		t.Error("Run hangs with the disk")
	}
}
