package audit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// component is the log's name in /readyz.
const component = "audit"

// Kinds of records, as the metric names them.
const (
	kindIntent  = "intent"
	kindOutcome = "outcome"
	kindRefused = "refused"
	kindCounted = "counted"
	kindJournal = "journal"
)

// Options are what a Log needs.
type Options struct {
	Config Config
	// Node names this instance in every event; "" is the host's name.
	Node string
	// Clock is time.Now when nil.
	Clock  func() time.Time
	Meter  observe.Meter
	Health observe.Health
	// Logger gets what the journal cannot take; it should write to stderr.
	Logger *slog.Logger
}

type metrics struct {
	records, failures observe.Counter
	fsync             observe.Histogram
	depth             observe.Gauge
}

// Log writes down what was changed, by whom. Its methods may be called from any number of
// goroutines. It is Runtime: one per process, whatever is reloaded.
type Log struct {
	node     string
	carryOn  bool // on_failure: continue
	now      func() time.Time
	logger   *slog.Logger
	journal  *journal
	feed     *feed
	tallies  tallies
	attempts attempts
	deadline time.Duration
	running  atomic.Bool
}

// New makes a Log that starts with Run. It does no I/O.
func New(o Options) (*Log, error) {
	return newLog(o, realDisk())
}

func newLog(o Options, d disk) (*Log, error) {
	cfg := o.Config.WithDefaults()
	var problems []error
	cfg.Check(func(path, what, hint string) {
		problems = append(problems, fmt.Errorf("audit.%s: %s: %s", path, what, hint))
	}, func(string, string, string) {})
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	if o.Meter == nil || o.Health == nil || o.Logger == nil {
		return nil, errors.New("the audit log needs a Meter, a Health and a Logger")
	}
	if o.Clock == nil {
		o.Clock = time.Now
	}
	if o.Node == "" {
		o.Node, _ = os.Hostname() // an empty name is no reason not to start
	}
	m := metrics{
		records:  o.Meter.Counter("sallyport_audit_records_total", "Records that are durable in the audit journal, by kind.", "kind"),
		failures: o.Meter.Counter("sallyport_audit_failures_total", "Times that the audit journal could not take a record or a group, by cause.", "cause"),
		fsync:    o.Meter.Histogram("sallyport_audit_fsync_seconds", "Time to write and fsync one group of audit records.", []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .25, .5, 1, 2.5}),
		depth:    o.Meter.Gauge("sallyport_audit_queue_records", "Audit records that wait to be written."),
	}
	l := &Log{
		node: label(o.Node, 64), carryOn: cfg.OnFailure == OnFailureContinue, now: o.Clock, logger: o.Logger, deadline: cfg.Deadline.Duration(),
		feed: newFeed(o.Meter.Counter("sallyport_audit_tail_dropped_total", "Events that a live follower of the audit log was too slow for.")),
	}
	l.journal = &journal{
		chain:    &chain{dir: cfg.Dir, segmentSize: int64(cfg.SegmentSize), disk: d, now: o.Clock},
		deadline: l.deadline, share: 20 * time.Millisecond, retry: time.Second, now: o.Clock, log: o.Logger,
		written: l.feed.publish, undo: l.undo, notice: l.notice, opened: make(chan struct{}), metrics: m, health: o.Health,
		wake: make(chan struct{}, 1), nudge: make(chan struct{}, 1), broken: errNotOpen,
	}
	return l, nil
}

// Run opens the journal and writes until ctx ends; then what waits is written, for at most
// the configured deadline. End it after the last request. A journal that cannot be opened
// or written does not end Run: it is tried again every second, and shows in health, log
// and metrics.
func (l *Log) Run(ctx context.Context) error {
	if l.running.Swap(true) {
		return errors.New("the audit log runs already")
	}
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		l.journal.run(stop)
	}()
	defer l.feed.close()
	minute, second := time.NewTicker(time.Minute), time.NewTicker(time.Second)
	defer minute.Stop()
	defer second.Stop()
	for {
		select {
		case <-second.C:
			l.journal.watch()
		case <-minute.C:
			if l.journal.well() { // otherwise they go on being counted, in the same bound
				l.writeCounted()
			}
		case <-ctx.Done():
			l.writeCounted()
			close(stop)
			select {
			case <-done:
				return nil
			case <-time.After(l.deadline):
				return fmt.Errorf("close the audit journal: the disk has not answered for %s", l.deadline)
			}
		}
	}
}

// Opened is closed when the journal was first open: from then on changes can proceed.
func (l *Log) Opened() <-chan struct{} { return l.journal.opened }

// Intend writes down that the request is about to change something, and sets ex.EventID.
// When it returns nil the deed may happen: the record is durable, or the request is one
// that always proceeds (Endpoint.Always) or the file says on_failure: continue, and the
// record waits in memory and stands in the log. Otherwise it returns an *access.Refusal
// (503) that wraps ErrUnwritten, at the latest after the configured deadline, and the deed
// must not happen; should the record reach the disk all the same, another one takes it back.
// A client that leaves meanwhile changes nothing: that is no failure of the journal.
func (l *Log) Intend(_ context.Context, ex *access.Exchange) error {
	now := l.now()
	if ex.Identity == nil && !l.attempts.admit(network(ex.Client.Addr), now) {
		return tooManyAttempts()
	}
	ex.EventID = access.NewID(now)
	ev := l.event(ex)
	ev.Outcome = access.Intended
	ev.Changes = changes(ex)
	claim := claimDurable
	switch {
	case ex.Route.Endpoint != nil && ex.Route.Endpoint.Always:
		claim = claimAlways
	case l.carryOn:
		claim = claimKept
	}
	e, err := newEntry(kindIntent, claim, content{Event: ev})
	kept := false
	if err == nil {
		kept, err = l.journal.durable(e)
	}
	switch {
	case claim == claimDurable && err != nil:
		ex.EventID = ""
		return access.Unavailable("audit_unavailable", err)
	case err != nil:
		l.spill("an audit record is lost; its deed proceeds", ev, err)
	case kept:
		l.spill("an audit record is in memory alone; its deed proceeds", ev, nil)
	}
	return nil
}

// Finish writes down how a request ended for which Intend has returned nil; for others it
// does nothing. It does not wait for the disk and does not heed the request's cancellation:
// the deed is done. When the outcome cannot be written the event stays unknown, and the
// log says so.
func (l *Log) Finish(_ context.Context, ex *access.Exchange, outcome access.Outcome, status int) {
	if ex.EventID == "" {
		return
	}
	ev := l.event(ex)
	ev.Outcome, ev.Status, ev.Took = outcome, status, took(ex, l.now())
	l.outcome(ev)
}

// outcome writes an event's later record. The changes stand with the intent alone.
func (l *Log) outcome(ev access.Event) {
	e, err := newEntry(kindOutcome, claimKept, content{Event: ev})
	kept := false
	if err == nil {
		kept, err = l.journal.put(e)
	}
	switch {
	case err != nil:
		l.spill("an audit event stays unknown: its outcome is lost", ev, err)
	case kept:
		l.spill("an audit event's outcome is in memory alone", ev, nil)
	}
}

// Refused writes down a refusal. It never waits for the disk. Each of these gets a record
// of its own: refusals of changes, and of anything that somebody who is logged in asked
// for, such as another tenant's data. Refusal.Counted ones, what strangers only wanted to
// read, and what goes beyond a bound per minute, are counted per address (IPv6: /64) and
// minute instead. A refusal after Intend is the outcome of its event.
func (l *Log) Refused(_ context.Context, ex *access.Exchange, r *access.Refusal) {
	now := l.now()
	if ex.EventID != "" {
		ev := l.event(ex)
		refused(&ev, ex, r)
		ev.Took = took(ex, now)
		l.outcome(ev)
		return
	}
	key := tallyKey{from: network(ex.Client.Addr), tenant: ex.Tenant(), gate: r.Gate, code: r.Code}
	if ex.Site != nil {
		key.site = ex.Site.Name
	}
	if ex.Identity != nil {
		key.actor = label(ex.Identity.Subject, maxName)
	}
	single := !r.Counted && (ex.Identity != nil || ex.Mutating()) && !errors.Is(r, ErrUnwritten)
	if !l.tallies.admit(key, r.Status, single, now) {
		return
	}
	ev := l.event(ex)
	ev.ID, ev.Old = access.NewID(l.now()), "none"
	refused(&ev, ex, r)
	ev.Took = took(ex, now)
	e, err := newEntry(kindRefused, claimKept, content{Event: ev})
	if err == nil {
		_, err = l.journal.put(e)
	}
	if err != nil {
		l.tallies.admit(key, r.Status, false, now) // counted at least
	}
}

// writeCounted turns what was counted into one record each.
func (l *Log) writeCounted() {
	for _, t := range l.tallies.drain() {
		ev := access.Event{
			ID: access.NewID(l.now()), Time: t.first.UTC(), Node: l.node, Tenant: t.key.tenant, Old: "none",
			Actor: access.Actor{ID: t.key.actor}, Client: access.Origin{Addr: t.key.from.Addr()},
			Action: ActionCounted, Resource: access.Resource{Type: access.OtherResource},
			Request:  access.RequestInfo{Site: label(t.key.site, maxName)},
			Decision: access.DecisionInfo{Gate: label(t.key.gate, maxName), Reasons: []string{label(t.key.code, maxName)}},
			Outcome:  access.Refused, Status: t.status,
		}
		e, err := newEntry(kindCounted, claimKept, content{Event: ev, Count: t.count})
		if err == nil {
			_, err = l.journal.put(e)
		}
		if err != nil {
			l.logger.Error("counted refusals are lost", "code", t.key.code, "requests", t.count, "err", err)
		}
	}
}

// undo takes back an intent that became durable after its request had been refused.
func (l *Log) undo(ev access.Event) (*entry, error) {
	ev.Outcome, ev.Status, ev.Changes = access.Refused, 503, nil
	ev.Decision.Gate, ev.Decision.Reasons = "record", []string{"audit_unavailable"}
	return newEntry(kindOutcome, claimKept, content{Event: ev})
}

// notice tells in the journal what happened to it.
func (l *Log) notice(note string, lost int64) (*entry, error) {
	ev := access.Event{
		ID: access.NewID(l.now()), Time: l.now().UTC(), Node: l.node, Action: ActionJournal, Old: "none",
		Resource: access.Resource{Type: "audit_journal"}, Outcome: access.Done,
	}
	return newEntry(kindJournal, claimAlways, content{Event: ev, Count: lost, Note: note})
}

// spill is the record's place while the journal has none: stderr.
func (l *Log) spill(what string, ev access.Event, err error) {
	l.logger.Error(what, "event", ev.ID, "request", ev.Request.ID, "tenant", ev.Tenant.String(), "actor", ev.Actor.ID,
		"client", ev.Client.Addr.String(), "action", ev.Action, "resource", ev.Resource.Type, "resource_id", ev.Resource.ID,
		"outcome", string(ev.Outcome), "status", ev.Status, "err", err)
}
