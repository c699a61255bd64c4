//go:build !race

// The race detector multiplies memory and takes half a minute for a million callers;
// what it could find here it finds in flood_test.go.

package ratelimit

import (
	"runtime"
	"testing"
	"time"
)

func TestFloodStaysBelow64MiBWhileAMillionAddressesCall(t *testing.T) {
	const callers, bound = 1_000_000, 64 << 20
	c, m := newClock(), new(meter)
	before := heap()
	f := NewFlood(Config{PerAddress: perSecond(1), AddressBurst: 3}, Deps{Now: c.now, Meter: m})
	for i := range callers {
		f.Allow(address(i)) // nobody's bucket is full again: the clock stands still
	}
	used := heap() - before
	t.Logf("%d addresses hold %.1f MiB, %d of them in shared buckets", callers, float64(used)/(1<<20), m.total.Load())
	if used > bound {
		t.Errorf("the table holds %d bytes, want at most %d", used, bound)
	}
	if used < 16<<20 {
		t.Errorf("the table holds %d bytes: too few for this test to mean anything", used)
	}
	if got := m.total.Load(); got < callers-floodBuckets || got > callers/2+callers/10 {
		t.Errorf("%d addresses share a bucket, want at least the %d that are too many", got, callers-floodBuckets)
	}

	t.Run("those who were first keep their own buckets", func(t *testing.T) {
		if got := drain(f, address(0)); got != 2 {
			t.Errorf("%d more requests passed, want the rest of a burst of 3", got)
		}
	})
	t.Run("newcomers are counted, in buckets that they share", func(t *testing.T) {
		shared := m.total.Load()
		refused := 0
		for i := range 10_000 {
			if drain(f, address(callers+i)) == 0 {
				refused++
			}
		}
		if m.total.Load() == shared {
			t.Error("no newcomer was counted in a shared bucket")
		}
		if refused == 0 {
			t.Error("no newcomer felt the others of its bucket")
		}
	})
	t.Run("buckets that are full again go to newcomers, without new memory", func(t *testing.T) {
		c.advance(time.Minute)
		shared, held := m.total.Load(), heap()
		for i := range 100_000 {
			if _, ok := f.Allow(address(3*callers + i)); !ok {
				t.Fatal("a newcomer is refused although everybody else has been quiet for a minute")
			}
		}
		if got := m.total.Load() - shared; got != 0 {
			t.Errorf("%d newcomers share a bucket, want none", got)
		}
		if grown := int64(heap()) - int64(held); grown > 1<<20 {
			t.Errorf("the table has grown by %d bytes", grown)
		}
	})
	runtime.KeepAlive(f)
}
