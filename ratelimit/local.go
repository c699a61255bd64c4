package ratelimit

import (
	"context"
	"hash/maphash"
	"time"
)

// How many users and tenants have a bucket of their own at the same time: about
// 14 MiB and 2 MiB when all of them are in use.
const (
	localUsers   = 128 << 10
	localTenants = 16 << 10
)

// Local is the Store of a single instance: bounded memory, no errors. Users and tenants
// have tables of their own, so that those who share a bucket when a table is full also
// share a limit.
type Local struct {
	users, tenants table
	seed           maphash.Seed
	now            func() time.Time
}

// NewLocal makes a Local whose buckets are all full. now is time.Now if nil.
func NewLocal(now func() time.Time) *Local {
	if now == nil {
		now = time.Now
	}
	return &Local{
		users:   newTable(localUsers),
		tenants: newTable(localTenants),
		seed:    maphash.MakeSeed(),
		now:     now,
	}
}

// Take implements Store. It neither waits nor errs, so ctx has no meaning here.
func (l *Local) Take(_ context.Context, buckets []Bucket) (time.Duration, bool, error) {
	wait, ok := l.take(buckets)
	return wait, ok, nil
}

// take draws from one bucket after the other and gives back what it has drawn when
// one is empty.
func (l *Local) take(buckets []Bucket) (time.Duration, bool) {
	now := l.now()
	var drawn [4]grant
	grants := drawn[:0]
	for _, b := range buckets {
		in := &l.users
		if b.Key.User == "" {
			in = &l.tenants
		}
		g, wait, ok, _ := in.take(maphash.Comparable(l.seed, b.Key), now, limits{b.Rate, b.Burst})
		if !ok {
			for i := range grants {
				grants[i].giveBack()
			}
			return wait, false
		}
		grants = append(grants, g)
	}
	return 0, true
}
