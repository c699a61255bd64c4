package ratelimit

import (
	"sync"
	"sync/atomic"
	"time"
)

// The ban table holds banSets × banWays = 65,536 bans in 1 MiB.
const (
	banSets = 8 << 10
	banWays = 8
)

// bans is a bounded collection of bans, laid out as table is. In a set that is full the
// ban that ends soonest gives way to the new one: whoever misbehaves now matters more
// than whoever was about to be let in again.
type bans struct {
	held atomic.Int64 // how many places are taken; 0 makes the common case free
	sets []banSet
}

type banSet struct {
	mu     sync.Mutex
	hashes [banWays]uint64
	ends   [banWays]int64 // Unix nanoseconds; 0 is a free place
}

func newBans() bans { return bans{sets: make([]banSet, banSets)} }

// until says when a ban ends, if there is one.
func (b *bans) until(hash uint64, now time.Time) (time.Time, bool) {
	if b.held.Load() == 0 {
		return time.Time{}, false
	}
	s := b.set(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.hashes {
		if h == hash && s.ends[i] > now.UnixNano() {
			return time.Unix(0, s.ends[i]), true
		}
	}
	return time.Time{}, false
}

// add bans a key. The longer of two bans of one key counts.
func (b *bans) add(hash uint64, until time.Time) {
	s, end := b.set(hash), until.UnixNano()
	s.mu.Lock()
	defer s.mu.Unlock()
	place := 0
	for i, h := range s.hashes {
		if s.ends[i] != 0 && h == hash {
			s.ends[i] = max(s.ends[i], end)
			return
		}
		if s.ends[i] < s.ends[place] { // free places and past bans end soonest of all
			place = i
		}
	}
	if s.ends[place] == 0 {
		b.held.Add(1)
	}
	s.hashes[place], s.ends[place] = hash, end
}

// remove ends a ban.
func (b *bans) remove(hash uint64) {
	s := b.set(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, h := range s.hashes {
		if h == hash && s.ends[i] != 0 {
			s.hashes[i], s.ends[i] = 0, 0
			b.held.Add(-1)
		}
	}
}

func (b *bans) set(hash uint64) *banSet { return &b.sets[hash%uint64(len(b.sets))] }
