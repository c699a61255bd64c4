package oidc

import (
	"container/heap"
	"context"
	"sync"
	"time"
)

// Once remembers what has been used.
type Once interface {
	// Use says whether this is the first use of the key, of something made at the time
	// given and worthless after ttl. An error means that it could not tell: closed.
	Use(ctx context.Context, key string, made time.Time, ttl time.Duration) (first bool, err error)
}

// MemoryOnce is a Once in memory, for one instance. It is bounded: when it is full it
// forgets the oldest and from then on takes everything made before that as used, so that
// overflowing it closes old attempts instead of opening them a second time.
type MemoryOnce struct {
	now func() time.Time
	max int

	mu    sync.Mutex
	used  map[string]struct{}
	order madeHeap
	floor time.Time // everything made at or before it counts as used
}

// NewMemoryOnce makes one that remembers at most max keys.
func NewMemoryOnce(max int, now func() time.Time) *MemoryOnce {
	return &MemoryOnce{now: now, max: max, used: map[string]struct{}{}}
}

// Use implements Once. It never fails.
func (o *MemoryOnce) Use(_ context.Context, key string, made time.Time, ttl time.Duration) (bool, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	now := o.now()
	for len(o.order) > 0 && now.After(o.order[0].until) {
		delete(o.used, heap.Pop(&o.order).(usedKey).key)
	}
	if _, again := o.used[key]; again || !made.After(o.floor) || now.After(made.Add(ttl)) {
		return false, nil
	}
	for len(o.order) >= o.max {
		oldest := heap.Pop(&o.order).(usedKey)
		delete(o.used, oldest.key)
		o.floor = oldest.made
	}
	o.used[key] = struct{}{}
	heap.Push(&o.order, usedKey{key: key, made: made, until: made.Add(ttl)})
	return made.After(o.floor), nil
}

type usedKey struct {
	key         string
	made, until time.Time
}

// madeHeap has the oldest first.
type madeHeap []usedKey

func (h madeHeap) Len() int           { return len(h) }
func (h madeHeap) Less(i, j int) bool { return h[i].made.Before(h[j].made) }
func (h madeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *madeHeap) Push(x any)        { *h = append(*h, x.(usedKey)) }
func (h *madeHeap) Pop() any {
	old := *h
	last := old[len(old)-1]
	old[len(old)-1] = usedKey{}
	*h = old[:len(old)-1]
	return last
}
