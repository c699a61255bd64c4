package audit

import (
	"context"
	"sync"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

const (
	maxTails  = 64
	maxBuffer = 4096
	maxRecent = 1024
)

// feed shows what was written to whoever looks, without ever waiting for them.
type feed struct {
	dropped observe.Counter

	mu     sync.Mutex
	closed bool
	tails  map[chan access.Event]struct{}
	recent [maxRecent]access.Event // a ring
	at     map[string]int          // event id → place in recent
	next   int
}

func newFeed(dropped observe.Counter) *feed {
	return &feed{dropped: dropped, tails: make(map[chan access.Event]struct{}), at: make(map[string]int)}
}

// publish shows a group that is durable.
func (f *feed) publish(group []*entry) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, e := range group {
		f.remember(e.event)
		for tail := range f.tails {
			select {
			case tail <- e.event:
			default:
				f.dropped.Add(1)
			}
		}
	}
}

// remember joins an outcome with its intent, whose changes stand for both.
func (f *feed) remember(ev access.Event) {
	if i, ok := f.at[ev.ID]; ok {
		if len(ev.Changes) == 0 {
			ev.Changes, ev.Old = f.recent[i].Changes, f.recent[i].Old
		}
		f.recent[i] = ev
		return
	}
	delete(f.at, f.recent[f.next].ID)
	f.recent[f.next] = ev
	f.at[ev.ID] = f.next
	f.next = (f.next + 1) % maxRecent
}

// Tail follows the journal from now on: events of all tenants, intents and outcomes, in
// the order in which they became durable, so it is for operators alone. The channel holds
// n events (1 to 4,096); when it is full, further ones are dropped and counted
// (sallyport_audit_tail_dropped_total). It is closed when ctx or the Log ends, or at once
// when 64 others follow already.
func (l *Log) Tail(ctx context.Context, n int) <-chan access.Event {
	f := l.feed
	tail := make(chan access.Event, min(max(n, 1), maxBuffer))
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || len(f.tails) >= maxTails {
		close(tail)
		return tail
	}
	f.tails[tail] = struct{}{}
	context.AfterFunc(ctx, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.remove(tail)
	})
	return tail
}

func (f *feed) remove(tail chan access.Event) {
	if _, ok := f.tails[tail]; ok {
		delete(f.tails, tail)
		close(tail)
	}
}

func (f *feed) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	for tail := range f.tails {
		f.remove(tail)
	}
}

// Recent gives at most n of the tenant's latest events, the newest first, each with its
// outcome so far. It remembers 1,024 events of this process, all tenants together. The
// zero TenantID has none.
func (l *Log) Recent(tenant access.TenantID, n int) []access.Event {
	if tenant.IsZero() {
		return nil
	}
	f := l.feed
	f.mu.Lock()
	defer f.mu.Unlock()
	var events []access.Event
	for i := 1; i <= maxRecent && len(events) < n; i++ {
		if ev := f.recent[(f.next-i+maxRecent)%maxRecent]; ev.Tenant == tenant {
			events = append(events, ev)
		}
	}
	return events
}
