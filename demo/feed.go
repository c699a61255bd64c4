package demo

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"
	"time"
)

// The bounds of the event stream.
const (
	maxListeners = 100 // of one tenant
	backlog      = 16  // notices that wait for a slow listener; further ones are dropped
	heartbeat    = 15 * time.Second
)

// notice tells that somebody has changed something.
type notice struct {
	Action string    `json:"action"`
	Type   string    `json:"type"`
	ID     string    `json:"id"`
	Name   string    `json:"name"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// feed hands notices to whoever listens.
type feed struct {
	mu        sync.Mutex
	listeners map[string]map[chan notice]struct{} // by tenant
}

func newFeed() *feed { return &feed{listeners: map[string]map[chan notice]struct{}{}} }

func (f *feed) listen(tenant string) (chan notice, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.listeners[tenant]) >= maxListeners {
		return nil, false
	}
	if f.listeners[tenant] == nil {
		f.listeners[tenant] = map[chan notice]struct{}{}
	}
	ch := make(chan notice, backlog)
	f.listeners[tenant][ch] = struct{}{}
	return ch, true
}

func (f *feed) leave(tenant string, ch chan notice) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, ok := f.listeners[tenant][ch]; ok {
		delete(f.listeners[tenant], ch)
		close(ch)
	}
}

func (f *feed) publish(tenant string, n notice) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for ch := range f.listeners[tenant] {
		select {
		case ch <- n:
		default:
		}
	}
}

func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for tenant, all := range f.listeners {
		for ch := range all {
			close(ch)
		}
		delete(f.listeners, tenant)
	}
}

// events streams the tenant's changes (HTML, section 9.2, server-sent events).
func (c *CRM) events(w http.ResponseWriter, r *http.Request) {
	who := callerOf(r, "")
	if !c.with(who, func(*books) {}) {
		noTenant(w)
		return
	}
	ch, ok := c.feed.listen(who.tenant)
	if !ok {
		apiError(w, http.StatusServiceUnavailable, "too many listeners")
		return
	}
	defer c.feed.leave(who.tenant, ch)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	out := http.NewResponseController(w)
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	_, err := fmt.Fprint(w, "retry: 5000\nevent: hello\ndata: {}\n\n")
	for err == nil {
		if err = out.Flush(); err != nil {
			return
		}
		select {
		case <-r.Context().Done():
			return
		case <-beat.C:
			_, err = fmt.Fprint(w, ": still here\n\n")
		case n, open := <-ch:
			if !open {
				return
			}
			var b []byte
			if b, err = json.Marshal(n); err == nil {
				_, err = fmt.Fprintf(w, "event: change\ndata: %s\n\n", b)
			}
		}
	}
}
