package audit

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// ErrUnwritten is wrapped by every error that says that a record is not durable.
var ErrUnwritten = errors.New("the audit record is not written")

// errNotOpen is the journal's state until Run has opened it, errClosed after Run's end.
var (
	errNotOpen = errors.New("the audit journal is not open yet")
	errClosed  = errors.New("the audit journal is closed")
)

// Bounds of what waits in memory, in entries and bytes of content. Requests wait up to the
// first bound; outcomes, refusals and kept intents fill up to the second; what must never
// be stopped may use all.
const (
	maxWaiting, maxWaitingBytes = 1024, 16 << 20
	maxKept, maxKeptBytes       = 6144, 24 << 20
	maxQueue, maxQueueBytes     = 8192, 32 << 20
	maxGroupEntries             = 512
)

// claim is how much an entry may ask of the journal.
type claim uint8

const (
	claimDurable claim = iota // a request waits, and is refused when it cannot be written
	claimKept                 // kept in memory while the journal cannot be written
	claimAlways               // the same, with room kept free for it
)

// entry is one record on its way to the disk.
type entry struct {
	event   access.Event
	kind    string // label of the metric
	content []byte
	hash    Hash
	claim   claim

	// Guarded by journal.mu.
	queued    bool          // still in the queue
	abandoned bool          // its request was refused while the write was under way
	err       error         // why it is not written; nil while done is open or when it is
	kept      bool          // it goes on waiting in memory
	done      chan struct{} // closed when the wait is over; nil when nobody waits
}

// journal is the queue before the chain. Run's goroutine alone touches the chain.
type journal struct {
	chain    *chain
	deadline time.Duration // for a durable record, and before a write counts as stalled
	share    time.Duration // how long a record that nobody waits for may wait for company
	retry    time.Duration // between attempts to repair
	now      func() time.Time
	log      *slog.Logger
	written  func([]*entry)                     // called with each durable group, in order
	undo     func(access.Event) (*entry, error) // makes the record that takes an intent back
	notice   func(note string, lost int64) (*entry, error)
	opened   chan struct{} // closed when the journal was first open
	metrics  metrics
	health   observe.Health

	wake  chan struct{} // somebody waits
	nudge chan struct{} // something is there that nobody waits for

	mu      sync.Mutex
	queue   []*entry
	bytes   int       // of content in the queue
	lost    int64     // entries for which there was no room since the journal was last well
	broken  error     // why nothing can be written; nil is well
	busy    time.Time // when the write under way began; zero when none is
	stalled bool      // reported as such

	// Run's goroutine alone.
	isOpen bool  // the chain was opened once
	found  found // what mend met and no note has told yet
}

// put queues an entry. kept says that it waits in memory for a journal that cannot be
// written now. It never blocks.
func (j *journal) put(e *entry) (kept bool, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.putLocked(e)
}

func (j *journal) putLocked(e *entry) (kept bool, err error) {
	failing := j.failingLocked()
	n, bytes := len(j.queue), j.bytes+len(e.content)
	full := n >= maxQueue || bytes > maxQueueBytes
	switch e.claim {
	case claimDurable:
		if failing != nil {
			j.metrics.failures.Add(1, "unavailable")
			return false, fmt.Errorf("%w: %w", ErrUnwritten, failing)
		}
		full = n >= maxWaiting || bytes > maxWaitingBytes
	case claimKept:
		full = n >= maxKept || bytes > maxKeptBytes
	}
	if full || errors.Is(failing, errClosed) {
		j.metrics.failures.Add(1, "no_room")
		if e.claim != claimDurable {
			j.lost++
		}
		if failing != nil {
			return false, fmt.Errorf("%w: %w", ErrUnwritten, failing)
		}
		return false, fmt.Errorf("%w: too many records wait", ErrUnwritten)
	}
	e.queued = true
	j.queue = append(j.queue, e)
	j.bytes = bytes
	if e.done != nil {
		signal(j.wake)
	} else {
		signal(j.nudge)
	}
	return failing != nil, nil
}

// failingLocked says why a record could not be written in time if it came now.
func (j *journal) failingLocked() error {
	if j.broken == nil && !j.busy.IsZero() && j.now().Sub(j.busy) > j.deadline {
		return fmt.Errorf("the disk has not answered for %s", j.deadline)
	}
	return j.broken
}

// durable queues the entry and waits until it lies on the disk. An error means that the
// deed must not happen; kept, that it may, although the record is in memory alone.
func (j *journal) durable(e *entry) (kept bool, err error) {
	done := make(chan struct{})
	e.done = done
	if kept, err := j.put(e); kept || err != nil {
		return kept, err
	}
	timer := time.NewTimer(j.deadline)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	select {
	case <-done: // also when it was done while we took the lock
		if e.err != nil {
			return e.kept, fmt.Errorf("%w: %w", ErrUnwritten, e.err)
		}
		return e.kept, nil
	default:
	}
	if e.claim != claimDurable {
		return true, nil // it stays in the queue, and its deed proceeds
	}
	j.metrics.failures.Add(1, "deadline")
	if !e.queued {
		// It is being written and may become durable yet. Then settle adds a record that
		// takes it back, so that the log does not claim a deed.
		e.abandoned = true
	} else if i := slices.Index(j.queue, e); i >= 0 {
		j.queue = slices.Delete(j.queue, i, i+1)
		j.bytes -= len(e.content)
		e.queued = false
	}
	return false, fmt.Errorf("%w: the disk has not answered for %s", ErrUnwritten, j.deadline)
}

// run writes until stop is closed, and then what is left.
func (j *journal) run(stop <-chan struct{}) {
	j.repair()
	j.flush()
	tick := time.NewTicker(j.retry)
	defer tick.Stop()
	for {
		select {
		case <-j.wake:
		case <-j.nudge:
			// Nobody waits for this one. A request that comes soon may share its fsync: the
			// outcome of one change and the intent of the next cost one, not two.
			select {
			case <-j.wake:
			case <-time.After(j.share):
			case <-stop:
			}
		case <-tick.C:
			j.repair()
		case <-stop:
			j.shut()
			return
		}
		j.flush()
	}
}

// flush writes groups until the queue is empty or a write fails.
func (j *journal) flush() {
	for {
		group := j.take()
		if len(group) == 0 {
			return
		}
		began := time.Now()
		if err := j.chain.append(group); err != nil {
			j.metrics.failures.Add(1, "write")
			j.fail(err, group)
			return
		}
		j.metrics.fsync.Observe(time.Since(began).Seconds())
		j.settle(group)
	}
}

// take gives the oldest entries that fit one group; none when the journal is broken.
func (j *journal) take() []*entry {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.broken != nil {
		return nil
	}
	n, size := 0, 0
	for n < len(j.queue) && n < maxGroupEntries {
		if size += maxHeader + 2 + len(j.queue[n].content); n > 0 && size > maxGroup {
			break
		}
		j.queue[n].queued = false
		j.bytes -= len(j.queue[n].content)
		n++
	}
	group := slices.Clone(j.queue[:n])
	j.queue = slices.Delete(j.queue, 0, n)
	if n > 0 {
		j.busy = j.now()
	}
	j.metrics.depth.Set(float64(len(j.queue)))
	return group
}

// settle ends the wait for a group that is durable.
func (j *journal) settle(group []*entry) {
	j.mu.Lock()
	wasStalled := j.stalled
	j.busy, j.stalled = time.Time{}, false
	for _, e := range group {
		if e.abandoned {
			undo, err := j.undo(e.event)
			if err == nil {
				_, err = j.putLocked(undo)
			}
			if err != nil {
				j.log.Error("an audit record claims a deed that was refused", "event", e.event.ID, "err", err)
			}
		}
		if e.done != nil && !e.kept {
			close(e.done)
		}
	}
	j.mu.Unlock()
	if wasStalled {
		j.health.Report(component, false, nil)
	}
	for _, e := range group {
		j.metrics.records.Add(1, e.kind)
	}
	j.written(group)
}

// shut writes what is left and closes the chain. Nothing can be written after it.
func (j *journal) shut() {
	j.repair()
	for open := true; open; {
		j.flush()
		j.mu.Lock()
		if open = j.broken == nil && len(j.queue) > 0; !open { // nothing came in meanwhile
			j.releaseLocked(errClosed, nil)
		}
		left := len(j.queue)
		j.mu.Unlock()
		if !open && left > 0 {
			j.log.Error("audit records are lost: the journal could not be written until the end", "records", left)
		}
	}
	if err := j.chain.close(); err != nil {
		j.log.Error("close the audit journal", "err", err)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
