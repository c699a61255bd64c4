package proxy

import (
	"context"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/access"
)

const (
	streamShards = 64
	// rememberedCuts is how many cut logins a shard remembers.
	rememberedCuts = 1024
	// longLived is the age from which a request counts as a stream: it is authorized again
	// after a reload, while younger ones finish under the plan that they began with.
	longLived = 10 * time.Second
)

// Streams knows every exchange in flight that acts for somebody, by login, so that it can be
// ended when the login ends: event streams, long polls, WebSockets, downloads. It lives
// as long as the process.
type Streams struct {
	seed   maphash.Seed
	now    func() time.Time
	shards [streamShards]streamShard
}

type streamShard struct {
	mu   sync.Mutex
	open map[string]*stream // by login id: the head of a list
	// cut remembers logins that have ended, since a request may have been authenticated
	// just before and get here just after.
	cut    map[string]time.Time
	cuts   []pastCut // in order of time
	oldest time.Time // cuts up to then are forgotten; requests as old count as cut: closed
}

type pastCut struct {
	login string
	at    time.Time
}

// stream is one exchange in flight.
type stream struct {
	ex         *access.Exchange
	ctx        context.Context
	cancel     context.CancelFunc
	shard      *streamShard
	login      string
	prev, next *stream
	ended      atomic.Bool // cut by us, not by the client
	long       atomic.Bool // known to be a stream, whatever its age
}

// NewStreams makes an empty registry.
func NewStreams() *Streams {
	s := &Streams{seed: maphash.MakeSeed(), now: time.Now}
	for i := range s.shards {
		s.shards[i].open = map[string]*stream{}
		s.shards[i].cut = map[string]time.Time{}
	}
	return s
}

func (s *Streams) shardOf(login string) *streamShard {
	return &s.shards[maphash.String(s.seed, login)%streamShards]
}

// follow registers an exchange until its stream is closed. The stream's context ends with
// the request, or when its login is cut; if that has happened already, it has ended.
func (s *Streams) follow(ex *access.Exchange) *stream {
	st := &stream{ex: ex}
	if ex.Identity != nil {
		st.login = ex.Identity.LoginID
	}
	st.ctx, st.cancel = context.WithCancel(ex.Request.Context())
	sh := s.shardOf(st.login)
	st.shard = sh
	sh.mu.Lock()
	if head := sh.open[st.login]; head != nil {
		st.next, head.prev = head, st
	}
	sh.open[st.login] = st
	at, known := sh.cut[st.login]
	late := known && !at.Before(ex.Received) || !sh.oldest.IsZero() && !sh.oldest.Before(ex.Received)
	sh.mu.Unlock()
	if late {
		st.end()
	}
	return st
}

// close takes the stream off the registry.
func (st *stream) close() {
	sh := st.shard
	sh.mu.Lock()
	switch {
	case st.prev != nil:
		st.prev.next = st.next
	case st.next != nil:
		sh.open[st.login] = st.next
	default:
		delete(sh.open, st.login)
	}
	if st.next != nil {
		st.next.prev = st.prev
	}
	st.prev, st.next = nil, nil
	sh.mu.Unlock()
	st.cancel()
}

func (st *stream) end() {
	st.ended.Store(true)
	st.cancel()
}

// Cut ends every exchange of a login, now: those in flight, and those that were
// authenticated before and have not reached the backend yet.
func (s *Streams) Cut(loginID string) {
	if loginID == "" { // not a login: it must not stand for all that have none
		return
	}
	sh := s.shardOf(loginID)
	sh.mu.Lock()
	at := s.now()
	sh.cut[loginID] = at
	sh.cuts = append(sh.cuts, pastCut{loginID, at})
	if len(sh.cuts) > rememberedCuts {
		first := sh.cuts[0]
		sh.oldest, sh.cuts = first.at, sh.cuts[1:]
		if sh.cut[first.login].Equal(first.at) {
			delete(sh.cut, first.login)
		}
	}
	found := sh.list(sh.open[loginID], nil)
	sh.mu.Unlock()
	for _, st := range found {
		st.end()
	}
}

// CutAll ends every exchange in flight, for the end of a drain.
func (s *Streams) CutAll() {
	for _, st := range s.all(func(*stream) bool { return true }) {
		st.end()
	}
}

// reauthorize asks again about every open stream and cuts those that are refused.
func (s *Streams) reauthorize(allowed func(*access.Exchange) bool) {
	now := s.now()
	old := func(st *stream) bool { return st.long.Load() || now.Sub(st.ex.Received) >= longLived }
	for _, st := range s.all(old) {
		if !allowed(st.ex) {
			st.end()
		}
	}
}

func (s *Streams) all(wanted func(*stream) bool) (found []*stream) {
	for i := range s.shards {
		sh := &s.shards[i]
		sh.mu.Lock()
		for _, head := range sh.open {
			for _, st := range sh.list(head, nil) {
				if wanted(st) {
					found = append(found, st)
				}
			}
		}
		sh.mu.Unlock()
	}
	return found
}

// list walks from a head; the caller holds the lock.
func (sh *streamShard) list(head *stream, into []*stream) []*stream {
	for st := head; st != nil; st = st.next {
		into = append(into, st)
	}
	return into
}
