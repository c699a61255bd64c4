package ratelimit

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"golang.org/x/time/rate"

	"github.com/sallyport/sallyport/observe"
)

const (
	// sharedPause is how long a store that failed is left alone. Then one request tries
	// it again, and only that one waits for it.
	sharedPause = time.Second
	// sharedCalls bounds the calls under way, among them those to a store that hangs
	// and does not heed its context.
	sharedCalls = 256
	// sharedLogPause is the least time between two warnings about the store.
	sharedLogPause = 10 * time.Second
)

var errSharedBusy = errors.New("too many calls to the shared store are under way")

// shared stands between Quota and a Store on the network that may err, panic, or
// never answer.
type shared struct {
	store    Store
	calls    chan struct{}
	retryAt  atomic.Int64 // Unix nanoseconds; 0 while the store answers
	now      func() time.Time
	degraded observe.Counter
	health   observe.Health
	log      *slog.Logger
	warn     rate.Sometimes
}

func newShared(deps Deps) *shared {
	return &shared{
		store: deps.Shared,
		calls: make(chan struct{}, sharedCalls),
		now:   deps.Now,
		degraded: deps.Meter.Counter("sallyport_ratelimit_degraded_total",
			"Requests counted by this instance alone, because the shared store did not answer."),
		health: deps.Health,
		log:    deps.Log,
		warn:   rate.Sometimes{First: 1, Interval: sharedLogPause},
	}
}

// take asks the store within the timeout. answered is false when this instance has to
// count by itself.
func (s *shared) take(ctx context.Context, buckets [2]Bucket, timeout time.Duration) (wait time.Duration, ok, answered bool) {
	retryAt := s.retryAt.Load()
	if retryAt != 0 {
		now := s.now()
		if now.UnixNano() < retryAt || !s.retryAt.CompareAndSwap(retryAt, now.Add(sharedPause).UnixNano()) {
			s.degraded.Add(1)
			return 0, false, false
		}
	}
	wait, ok, err := s.ask(ctx, buckets, timeout)
	if err == nil {
		if retryAt != 0 && s.retryAt.Swap(0) != 0 {
			s.health.Report("ratelimit", false, nil)
			s.log.InfoContext(ctx, "rate limits are shared between instances again")
		}
		return max(wait, 0), ok, true
	}
	s.degraded.Add(1)
	if ctx.Err() != nil {
		return 0, false, false // the client has gone: that says nothing about the store
	}
	s.retryAt.Store(s.now().Add(sharedPause).UnixNano())
	s.health.Report("ratelimit", false, err)
	s.warn.Do(func() {
		s.log.WarnContext(ctx, "rate limits are counted by this instance alone: the shared store does not answer",
			slog.Any("error", err), slog.Duration("retry_in", sharedPause))
	})
	return 0, false, false
}

// ask calls the store in a goroutine of its own, because a request must not hang on
// a store that does not heed its context.
func (s *shared) ask(ctx context.Context, buckets [2]Bucket, timeout time.Duration) (time.Duration, bool, error) {
	select {
	case s.calls <- struct{}{}:
	default:
		return 0, false, errSharedBusy
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()

	type answer struct {
		wait time.Duration
		ok   bool
		err  error
	}
	answers := make(chan answer, 1)
	go func() {
		defer func() { <-s.calls }()
		a := answer{err: errors.New("the shared store ended without an answer")}
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: fmt.Errorf("the shared store panicked: %v", p)}
			}
			answers <- a
		}()
		a.wait, a.ok, a.err = s.store.Take(ctx, buckets[:])
	}()
	select {
	case a := <-answers:
		return a.wait, a.ok, a.err
	case <-ctx.Done():
		return 0, false, fmt.Errorf("ask the shared store: %w", ctx.Err())
	}
}
