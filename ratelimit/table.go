package ratelimit

import (
	"math/bits"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"
)

// ways is how many callers of one set have buckets of their own.
const ways = 16

// table is a bounded collection of token buckets. It is laid out like the cache of a
// processor: a key's hash names one set, and a set has room for 16 buckets and one
// more that all others of the set share. So a call costs the same whether ten callers
// are known or a million, there is one lock per set and nothing to sweep, and what
// callers do in one set cannot be felt in another.
//
// A bucket that is full again remembers nothing, and its place goes to the next
// newcomer. While all 16 are in use, newcomers share: the direction of failure is
// that strangers are slowed down together, never that somebody is not counted.
//
// Keys are known by a hash of 64 bits under a seed of this process: nobody outside can
// choose keys that fall into one set, and two of a million keys are the same bucket
// with a likelihood of 1 in 30 million.
type table struct {
	sets []atomic.Pointer[set]
}

type set struct {
	mu     sync.Mutex
	hashes [ways]uint64
	own    [ways]*rate.Limiter // nil where nobody has come yet
	shared *rate.Limiter       // nil until the set was full once
}

// newTable makes room for at least n buckets.
func newTable(n int) table {
	sets := 1 << bits.Len(uint(max(n, ways)/ways-1))
	return table{sets: make([]atomic.Pointer[set], sets)}
}

// grant is a token taken, which can be given back at the same moment.
type grant struct {
	reservation rate.Reservation
	at          time.Time
}

// giveBack returns the token. Should others have taken some since, less than a token
// may come back: never more.
func (g *grant) giveBack() { g.reservation.CancelAt(g.at) }

// take takes one token of the key's bucket. When there is none, ok is false and wait
// says when there will be. newcomer says that the bucket was a shared one.
func (t *table) take(hash uint64, now time.Time, l limits) (g grant, wait time.Duration, ok, newcomer bool) {
	s := t.set(hash)
	s.mu.Lock()
	defer s.mu.Unlock()
	limiter := s.bucket(hash, now, l)
	if limiter == nil {
		newcomer = true
		if s.shared == nil {
			s.shared = rate.NewLimiter(l.rate, l.burst)
		}
		limiter = s.shared
	}
	l.apply(limiter, now)

	r := limiter.ReserveN(now, 1)
	if wait = r.DelayFrom(now); wait > 0 {
		r.CancelAt(now)
		return grant{}, wait, false, newcomer
	}
	return grant{reservation: *r, at: now}, 0, true, newcomer
}

// set finds the key's set, or makes it. Sets come into being with their first key, so
// that a quiet instance holds none of the memory that a flooded one may.
func (t *table) set(hash uint64) *set {
	slot := &t.sets[hash&uint64(len(t.sets)-1)]
	if s := slot.Load(); s != nil {
		return s
	}
	slot.CompareAndSwap(nil, new(set))
	return slot.Load()
}

// bucket finds the key's own bucket or gives it one: a new one, or one that is full
// again. It gives nil when all are in use. The caller holds the lock.
func (s *set) bucket(hash uint64, now time.Time, l limits) *rate.Limiter {
	for i, h := range s.hashes {
		if h == hash && s.own[i] != nil {
			return s.own[i]
		}
	}
	for i, limiter := range s.own {
		if limiter == nil {
			s.hashes[i], s.own[i] = hash, rate.NewLimiter(l.rate, l.burst)
			return s.own[i]
		}
		if limiter.TokensAt(now) >= float64(limiter.Burst()) {
			s.hashes[i] = hash
			return limiter
		}
	}
	return nil
}

// apply brings a bucket to limits that a reload may have changed. What has been used
// up stays used up.
func (l limits) apply(limiter *rate.Limiter, now time.Time) {
	if limiter.Limit() != l.rate {
		limiter.SetLimitAt(now, l.rate)
	}
	if limiter.Burst() != l.burst {
		limiter.SetBurstAt(now, l.burst)
	}
}
