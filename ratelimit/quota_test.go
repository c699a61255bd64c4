package ratelimit

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/sallyport/sallyport/access"
)

type storeFunc func(ctx context.Context, buckets []Bucket) (time.Duration, bool, error)

func (f storeFunc) Take(ctx context.Context, buckets []Bucket) (time.Duration, bool, error) {
	return f(ctx, buckets)
}

func exchange(t testing.TB, tenantID, subject string, class access.Class) *access.Exchange {
	return &access.Exchange{
		Identity: &access.Identity{Tenant: tenant(t, tenantID), Subject: subject},
		Route:    access.Route{Class: class},
	}
}

func countQuota(ctx context.Context, q *Quota, ex *access.Exchange) (n int) {
	for n < 100_000 {
		if _, ok := q.Take(ctx, ex); !ok {
			return n
		}
		n++
	}
	return n
}

func TestQuotaCountsUsersAndTenants(t *testing.T) {
	cfg := Config{PerUser: perSecond(10), UserBurst: 4, PerTenant: perSecond(10), TenantBurst: 10}
	newQuota := func() *Quota { return NewQuota(cfg, Deps{Now: newClock().now}) }
	ann, bob := exchange(t, "acme", "ann", access.App), exchange(t, "acme", "bob", access.App)

	t.Run("a user has a burst and is told when to come back", func(t *testing.T) {
		q := newQuota()
		if got := countQuota(t.Context(), q, ann); got != 4 {
			t.Errorf("%d passed, want 4", got)
		}
		if wait, ok := q.Take(t.Context(), ann); ok || wait != 100*time.Millisecond {
			t.Errorf("%v, %v; want refused for 100ms", wait, ok)
		}
	})
	t.Run("a user who calls too often takes nothing from the tenant", func(t *testing.T) {
		q := newQuota()
		for range 100 {
			q.Take(t.Context(), ann)
		}
		if got := countQuota(t.Context(), q, bob); got != 4 {
			t.Errorf("%d of bob's requests passed, want 4", got)
		}
	})
	t.Run("all users of a tenant share its budget", func(t *testing.T) {
		q, passed := newQuota(), 0
		for i := range 20 {
			passed += countQuota(t.Context(), q, exchange(t, "acme", "user"+strconv.Itoa(i), access.App))
		}
		if passed != 10 {
			t.Errorf("%d passed, want the tenant's 10", passed)
		}
		if got := countQuota(t.Context(), q, exchange(t, "globex", "user1", access.App)); got != 4 {
			t.Errorf("%d of another tenant's requests passed, want 4", got)
		}
	})
	t.Run("the console has a budget of its own", func(t *testing.T) {
		q := newQuota()
		countQuota(t.Context(), q, ann)
		if got := countQuota(t.Context(), q, exchange(t, "acme", "ann", access.Console)); got != 4 {
			t.Errorf("%d passed, want 4", got)
		}
	})
	t.Run("a change of limits keeps what was used up", func(t *testing.T) {
		q := newQuota()
		countQuota(t.Context(), q, ann)
		q.Configure(Config{PerUser: perSecond(100), UserBurst: 50})
		if wait, ok := q.Take(t.Context(), ann); ok || wait != 10*time.Millisecond {
			t.Errorf("%v, %v; want refused for 10ms", wait, ok)
		}
	})
}

func TestQuotaRefusesWhomItCannotCount(t *testing.T) {
	for _, c := range []struct {
		name  string
		quota *Quota
		ex    *access.Exchange
	}{
		{"nobody on App", NewQuota(Config{}, Deps{}), &access.Exchange{Route: access.Route{Class: access.App}}},
		{"nobody on Console", NewQuota(Config{}, Deps{}), &access.Exchange{Route: access.Route{Class: access.Console}}},
		{"an identity without a tenant", NewQuota(Config{}, Deps{}), &access.Exchange{Identity: &access.Identity{Subject: "ann"}}},
		{"an identity without a subject", NewQuota(Config{}, Deps{}), exchange(t, "acme", "", access.App)},
		{"the zero Quota", new(Quota), exchange(t, "acme", "ann", access.App)},
		{"nobody, while a shared store would let all pass", NewQuota(Config{}, Deps{Shared: storeFunc(
			func(context.Context, []Bucket) (time.Duration, bool, error) { return 0, true, nil })}), new(access.Exchange)},
	} {
		t.Run(c.name, func(t *testing.T) {
			if wait, ok := c.quota.Take(t.Context(), c.ex); ok || wait != 0 {
				t.Errorf("%v, %v; want refused without a time", wait, ok)
			}
		})
	}
}

func TestQuotaMemoryIsBounded(t *testing.T) {
	c := newClock()
	before := heap()
	q := NewQuota(Config{PerUser: perSecond(1), UserBurst: 2, PerTenant: perSecond(1e9), TenantBurst: maxBurst}, Deps{Now: c.now})
	ex := exchange(t, "acme", "", access.App)
	for i := range 500_000 {
		ex.Identity.Subject = strconv.Itoa(i)
		q.Take(t.Context(), ex) // nobody's bucket is full again: the clock stands still
	}
	used := heap() - before
	t.Logf("500,000 users hold %.1f MiB", float64(used)/(1<<20))
	if used > 16<<20 || used < 8<<20 {
		t.Errorf("the quotas hold %d bytes, want at most 16 MiB (and 8 MiB, or this test means nothing)", used)
	}
	c.advance(time.Minute)
	if _, ok := q.Take(t.Context(), exchange(t, "globex", "ann", access.App)); !ok {
		t.Error("a newcomer is refused although everybody else has been quiet for a minute")
	}
}

func TestQuotaAllocatesNothingForAKnownUser(t *testing.T) {
	q := NewQuota(Config{PerUser: perSecond(1), UserBurst: 10}, Deps{})
	ex := exchange(t, "acme", "ann", access.App)
	q.Take(t.Context(), ex)
	if got := testing.AllocsPerRun(1000, func() { q.Take(t.Context(), ex) }); got != 0 {
		t.Errorf("%v allocations per request, want 0", got)
	}
}

func TestQuotaAsksTheSharedStoreWithUserAndTenant(t *testing.T) {
	var asked []Bucket
	q := NewQuota(Config{PerUser: perSecond(7), UserBurst: 8, PerTenant: perSecond(70), TenantBurst: 80}, Deps{Shared: storeFunc(
		func(_ context.Context, buckets []Bucket) (time.Duration, bool, error) {
			asked = buckets
			return 42 * time.Second, false, nil
		})})
	if wait, ok := q.Take(t.Context(), exchange(t, "acme", "ann", access.App)); ok || wait != 42*time.Second {
		t.Errorf("%v, %v; want the store's own answer", wait, ok)
	}
	want := []Bucket{
		{Key: Key{Tenant: tenant(t, "acme"), User: "ann", Class: access.App}, Rate: 7, Burst: 8},
		{Key: Key{Tenant: tenant(t, "acme"), Class: access.App}, Rate: 70, Burst: 80},
	}
	if len(asked) != 2 || asked[0] != want[0] || asked[1] != want[1] {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}

// health remembers the last report.
type health struct {
	reports atomic.Int64
	err     error
	fatal   bool
}

func (h *health) Report(_ string, fatal bool, err error) {
	h.reports.Add(1)
	h.fatal, h.err = fatal, err
}

func TestQuotaCountsAloneWhileTheSharedStoreFails(t *testing.T) {
	for _, c := range []struct {
		name string
		fail func(ctx context.Context) (time.Duration, bool, error)
	}{
		{"errs", func(context.Context) (time.Duration, bool, error) { return 0, false, errors.New("connection refused") }},
		{"errs and would let pass", func(context.Context) (time.Duration, bool, error) { return 0, true, errors.New("half an answer") }},
		{"panics", func(context.Context) (time.Duration, bool, error) { panic("nil map") }},
		{"hangs until its context ends", func(ctx context.Context) (time.Duration, bool, error) { <-ctx.Done(); return 0, false, ctx.Err() }},
		{"hangs and heeds no context", func(context.Context) (time.Duration, bool, error) { time.Sleep(time.Hour); return 0, true, nil }},
	} {
		t.Run("it "+c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var asked atomic.Int64
				var broken atomic.Bool
				broken.Store(true)
				var log bytes.Buffer
				m, h := new(meter), new(health)
				q := NewQuota(Config{PerUser: perSecond(1), UserBurst: 5, SharedTimeout: 50_000_000}, Deps{
					Meter: m, Health: h, Log: slog.New(slog.NewTextHandler(&log, nil)),
					Shared: storeFunc(func(ctx context.Context, _ []Bucket) (time.Duration, bool, error) {
						asked.Add(1)
						if broken.Load() {
							return c.fail(ctx)
						}
						return 0, true, nil
					})})
				ann := exchange(t, "acme", "ann", access.App)

				start := time.Now()
				if got := countQuota(t.Context(), q, ann); got != 5 {
					t.Errorf("%d passed, want the 5 that this instance counts alone", got)
				}
				if waited := time.Since(start); waited > 50*time.Millisecond {
					t.Errorf("six requests waited %v, want at most the one timeout of 50ms", waited)
				}
				if asked.Load() != 1 {
					t.Errorf("the failing store was asked %d times at once, want 1 and then a pause", asked.Load())
				}
				if m.total.Load() != 6 {
					t.Errorf("%d requests are counted as degraded, want 6", m.total.Load())
				}
				if h.err == nil || h.fatal {
					t.Errorf("health: %v, fatal %v; want degraded, not fatal", h.err, h.fatal)
				}
				// A store that stays away is asked once a second and logged every ten.
				for range 40 {
					time.Sleep(100 * time.Millisecond)
					q.Take(t.Context(), ann)
				}
				if got := asked.Load(); got < 3 || got > 5 {
					t.Errorf("asked %d times in four seconds, want about one a second", got)
				}
				if got := strings.Count(log.String(), "level=WARN"); got != 1 {
					t.Errorf("%d warnings in four seconds, want 1:\n%s", got, &log)
				}

				broken.Store(false)
				time.Sleep(sharedPause)
				before := m.total.Load()
				for range 100 {
					if _, ok := q.Take(t.Context(), ann); !ok {
						t.Fatal("the store's yes does not count, now that it answers again")
					}
				}
				if m.total.Load() != before || h.err != nil || !strings.Contains(log.String(), "shared between instances again") {
					t.Errorf("the store is back: %d more degraded, health %v, log:\n%s", m.total.Load()-before, h.err, &log)
				}
				time.Sleep(2 * time.Hour) // let the hung calls end
			})
		})
	}
}

func TestQuotaBoundsTheCallsToAStoreThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var under, most atomic.Int64
		q := NewQuota(Config{}, Deps{Shared: storeFunc(func(context.Context, []Bucket) (time.Duration, bool, error) {
			most.Store(max(most.Load(), under.Add(1)))
			defer under.Add(-1)
			time.Sleep(time.Hour)
			return 0, true, nil
		})})
		for range 4 * sharedCalls {
			go q.Take(t.Context(), exchange(t, "acme", "ann", access.App))
		}
		time.Sleep(2 * time.Hour)
		if most.Load() != sharedCalls {
			t.Errorf("%d calls were under way at once, want %d", most.Load(), sharedCalls)
		}
	})
}

func TestQuotaSendsOneRequestAheadToAStoreThatFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var asked atomic.Int64
		q := NewQuota(Config{}, Deps{Shared: storeFunc(func(ctx context.Context, _ []Bucket) (time.Duration, bool, error) {
			asked.Add(1)
			<-ctx.Done()
			return 0, false, ctx.Err()
		})})
		ann := exchange(t, "acme", "ann", access.App)
		q.Take(t.Context(), ann)
		time.Sleep(sharedPause)
		before := asked.Load()
		for range 50 {
			go q.Take(t.Context(), ann)
		}
		synctest.Wait()
		if got := asked.Load() - before; got != 1 {
			t.Errorf("after the pause %d of 50 requests wait for the store, want 1", got)
		}
		time.Sleep(time.Minute)
	})
}

func TestQuotaDoesNotBlameTheStoreForAClientThatHasGone(t *testing.T) {
	var asked atomic.Int64
	q := NewQuota(Config{}, Deps{Shared: storeFunc(func(ctx context.Context, _ []Bucket) (time.Duration, bool, error) {
		if ctx.Err() == nil {
			asked.Add(1)
		}
		return 0, true, ctx.Err()
	})})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	q.Take(gone, exchange(t, "acme", "ann", access.App))
	q.Take(t.Context(), exchange(t, "acme", "bob", access.App))
	if asked.Load() != 1 {
		t.Error("the next client's request did not ask the store")
	}
}

func BenchmarkQuotaLocal(b *testing.B) {
	q := NewQuota(Config{PerUser: perSecond(1e9), UserBurst: maxBurst, PerTenant: perSecond(1e9), TenantBurst: maxBurst}, Deps{})
	ex := exchange(b, "acme", "ann", access.App)
	b.ReportAllocs()
	for b.Loop() {
		q.Take(b.Context(), ex)
	}
}
