package audit

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

type counter struct {
	mu sync.Mutex
	n  float64
}

func (c *counter) Add(delta float64, _ ...string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.n += delta
}

func (c *counter) value() float64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

func TestTailFollowsAndASlowOneLosesCountedEvents(t *testing.T) {
	r := open(t, folder(t), unsynced(), Config{})
	dropped := new(counter)
	r.feed.mu.Lock()
	r.feed.dropped = dropped
	r.feed.mu.Unlock()
	ctx, cancel := context.WithCancel(t.Context())
	fast, slow := r.Tail(ctx, 100), r.Tail(t.Context(), 2)
	var ids []string
	for range 10 {
		ex := exchange()
		if err := r.Intend(t.Context(), ex); err != nil {
			t.Fatal(err)
		}
		ids = append(ids, ex.EventID)
	}
	for _, id := range ids {
		if ev := <-fast; ev.ID != id {
			t.Errorf("got event %s, want %s", ev.ID, id)
		}
	}
	eventually(t, "eight events are counted as dropped", func() bool { return dropped.value() == 8 })
	if ev := <-slow; ev.ID != ids[0] {
		t.Errorf("the slow one got %s first", ev.ID)
	}
	cancel()
	if _, open := <-fast; open {
		t.Error("the channel is open after its context has ended")
	}
	<-slow
	_ = r.stop()
	if _, open := <-slow; open {
		t.Error("the channel is open after the log has ended")
	}
	if _, open := <-r.Tail(t.Context(), 1); open {
		t.Error("one can follow a log that has ended")
	}
}

func TestFollowersAreBounded(t *testing.T) {
	r := open(t, folder(t), unsynced(), Config{})
	for range maxTails {
		r.Tail(t.Context(), 1)
	}
	if _, open := <-r.Tail(t.Context(), 1); open {
		t.Error("one more can follow")
	}
}

func TestRecentShowsATenantItsOwnEvents(t *testing.T) {
	f := newFeed(observe.Discard{})
	l := &Log{feed: f}
	globex := must(access.ParseTenantID("globex"))
	add := func(id string, tenant access.TenantID, outcome access.Outcome, changes ...access.Change) {
		f.publish([]*entry{{event: access.Event{ID: id, Tenant: tenant, Outcome: outcome, Changes: changes}}})
	}
	add("1", acme, access.Intended, access.Change{Field: "name", New: "Ann"})
	add("2", globex, access.Intended)
	add("3", access.TenantID{}, access.Refused)
	add("4", acme, access.Intended)
	add("1", acme, access.Done)
	got := l.Recent(acme, 10)
	if len(got) != 2 || got[0].ID != "4" || got[1].ID != "1" || got[1].Outcome != access.Done || len(got[1].Changes) != 1 {
		t.Errorf("Recent = %+v", got)
	}
	if got := l.Recent(acme, 1); len(got) != 1 || got[0].ID != "4" {
		t.Errorf("Recent of one = %+v", got)
	}
	if got := l.Recent(access.TenantID{}, 10); got != nil {
		t.Errorf("nobody sees %+v", got)
	}
	for range 2*maxRecent + 3 {
		add(access.NewID(time.Now()), globex, access.Done)
	}
	if got := l.Recent(acme, 10); len(got) != 0 || len(f.at) != maxRecent {
		t.Errorf("%d events of acme are left, %d ids are remembered", len(got), len(f.at))
	}
}
