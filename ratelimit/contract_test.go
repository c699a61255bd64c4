package ratelimit

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
)

func tenant(t testing.TB, id string) access.TenantID {
	t.Helper()
	tenant, err := access.ParseTenantID(id)
	if err != nil {
		t.Fatal(err)
	}
	return tenant
}

// testStore tries a Store against each sentence of its contract. make gives an empty
// Store and a way to let time pass: a fake clock's, or time.Sleep.
func testStore(t *testing.T, make func(t *testing.T) (s Store, advance func(time.Duration))) {
	acme := tenant(t, "acme")
	user := Bucket{Key: Key{Tenant: acme, User: "ann", Class: access.App}, Rate: 10, Burst: 3}
	whole := Bucket{Key: Key{Tenant: acme, Class: access.App}, Rate: 10, Burst: 5}
	take := func(t *testing.T, s Store, buckets ...Bucket) (time.Duration, bool) {
		t.Helper()
		wait, ok, err := s.Take(t.Context(), buckets)
		if err != nil {
			t.Fatal(err)
		}
		if ok == (wait > 0) {
			t.Fatalf("ok %v with a wait of %v", ok, wait)
		}
		return wait, ok
	}
	count := func(t *testing.T, s Store, buckets ...Bucket) (n int) {
		t.Helper()
		for n < 1000 {
			if _, ok := take(t, s, buckets...); !ok {
				return n
			}
			n++
		}
		return n
	}
	t.Run("a new bucket is full, and empty after its burst", func(t *testing.T) {
		s, _ := make(t)
		if got := count(t, s, user); got != 3 {
			t.Errorf("%d tokens, want 3", got)
		}
	})
	t.Run("after retryAfter there is a token", func(t *testing.T) {
		s, advance := make(t)
		count(t, s, user)
		wait, _ := take(t, s, user)
		if wait > 100*time.Millisecond {
			t.Fatalf("a wait of %v for one token at 10/s", wait)
		}
		advance(wait)
		if _, ok := take(t, s, user); !ok {
			t.Error("refused after the wait it was told")
		}
	})
	t.Run("an empty bucket leaves the others as they are", func(t *testing.T) {
		for name, order := range map[string][]Bucket{"empty last": {user, whole}, "empty first": {whole, user}} {
			s, _ := make(t)
			count(t, s, user)
			count(t, s, order...)
			if got := count(t, s, whole); got != 5 {
				t.Errorf("%s: %d tokens in the other bucket, want all 5", name, got)
			}
		}
		s, _ := make(t)
		count(t, s, whole)
		count(t, s, user, whole)
		if got := count(t, s, user); got != 3 {
			t.Errorf("%d tokens in the first bucket, want all 3", got)
		}
	})
	t.Run("different keys are different buckets", func(t *testing.T) {
		s, _ := make(t)
		count(t, s, user)
		for name, key := range map[string]Key{
			"another user":                  {Tenant: acme, User: "bob", Class: access.App},
			"another class":                 {Tenant: acme, User: "ann", Class: access.Console},
			"the same user of other tenant": {Tenant: tenant(t, "globex"), User: "ann", Class: access.App},
			"the tenant itself":             {Tenant: acme, Class: access.App},
			"letters moved from user":       {Tenant: tenant(t, "acmea"), User: "nn", Class: access.App},
			"a separator in the user":       {Tenant: acme, User: "ann\x00", Class: access.App},
			"a user like a class":           {Tenant: acme, User: "ann:app", Class: access.App},
		} {
			if got := count(t, s, Bucket{Key: key, Rate: 10, Burst: 3}); got != 3 {
				t.Errorf("%s: %d tokens, want 3", name, got)
			}
		}
	})
	t.Run("new limits count from the next call and give nothing back", func(t *testing.T) {
		s, advance := make(t)
		count(t, s, user)
		more := user
		more.Rate, more.Burst = 100, 30
		if wait, ok := take(t, s, more); ok || wait > 10*time.Millisecond {
			t.Errorf("%v, %v; want refused for at most 10ms, one token at 100/s", wait, ok)
		}
		advance(time.Second)
		if got := count(t, s, more); got < 30 || got > 40 {
			t.Errorf("%d tokens after a second, want the new burst of 30", got)
		}
	})
	t.Run("many at once never get more than the burst", func(t *testing.T) {
		s, _ := make(t)
		slow := user
		slow.Rate, slow.Burst = 0.001, 50
		var passed atomic.Int64
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range 20 {
					if _, ok, err := s.Take(t.Context(), []Bucket{slow}); ok && err == nil {
						passed.Add(1)
					}
				}
			})
		}
		wg.Wait()
		if passed.Load() != 50 {
			t.Errorf("%d passed, want 50", passed.Load())
		}
	})
}

func TestLocalKeepsTheContractOfStore(t *testing.T) {
	testStore(t, func(*testing.T) (Store, func(time.Duration)) {
		c := newClock()
		return NewLocal(c.now), c.advance
	})
}
