package ratelimit

import (
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/units"
)

// clock is a time that tests move by hand.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.ns.Store(time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}
func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()) }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// meter adds up what a single counter was given.
type meter struct {
	observe.Discard
	total atomic.Int64
}

func (m *meter) Counter(string, string, ...string) observe.Counter { return m }
func (m *meter) Add(delta float64, _ ...string)                    { m.total.Add(int64(delta)) }

func perSecond(n int64) units.Rate { return units.Rate{Count: n, Per: time.Second} }

// drain calls until it is refused, at most 100,000 times, and says how often it was let pass.
func drain(f *Flood, addr netip.Addr) (passed int) {
	for passed < 100_000 {
		if _, ok := f.Allow(addr); !ok {
			return passed
		}
		passed++
	}
	return passed
}

func TestFloodLetsTheBurstPassAndThenSaysWhenToComeBack(t *testing.T) {
	c := newClock()
	f := NewFlood(Config{PerAddress: perSecond(10), AddressBurst: 5}, Deps{Now: c.now})
	addr := netip.MustParseAddr("192.0.2.1")
	if got := drain(f, addr); got != 5 {
		t.Fatalf("%d requests passed at once, want the burst of 5", got)
	}
	wait, ok := f.Allow(addr)
	if ok || wait != 100*time.Millisecond {
		t.Fatalf("the sixth: %v, ok %v; want 100ms, the time of one token at 10/s", wait, ok)
	}
	c.advance(wait - time.Microsecond)
	if _, ok := f.Allow(addr); ok {
		t.Error("passed a microsecond before the time it was told")
	}
	c.advance(time.Microsecond)
	if _, ok := f.Allow(addr); !ok {
		t.Error("refused at the very time it was told")
	}
	c.advance(time.Hour)
	if got := drain(f, addr); got != 5 {
		t.Errorf("after an hour %d passed, want the burst of 5 and no savings", got)
	}
}

func TestFloodTellsCallersApart(t *testing.T) {
	for _, c := range []struct {
		name, one, other string
		same             bool
	}{
		{"two IPv4 addresses are two callers", "192.0.2.1", "192.0.2.2", false},
		{"an IPv4-mapped address is the IPv4 address", "192.0.2.1", "::ffff:192.0.2.1", true},
		{"addresses of one IPv6 /64 are one caller", "2001:db8:0:1::1", "2001:db8:0:1:ffff:ffff:ffff:ffff", true},
		{"addresses of two IPv6 /64 are two callers", "2001:db8:0:1::1", "2001:db8:0:2::1", false},
		{"a zone makes no other caller", "fe80::1%eth0", "fe80::1%eth1", true},
		{"an IPv4 address is not the IPv6 address with its bits", "192.0.2.1", "0:0:c000:201::", false},
		{"nor is it the NAT64 address that holds it", "192.0.2.1", "64:ff9b::c000:201", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := NewFlood(Config{PerAddress: perSecond(1), AddressBurst: 3}, Deps{Now: newClock().now})
			drain(f, netip.MustParseAddr(c.one))
			if got, want := drain(f, netip.MustParseAddr(c.other)) == 0, c.same; got != want {
				t.Errorf("%s and %s share a bucket: %v, want %v", c.one, c.other, got, want)
			}
		})
	}
}

func TestFloodRefusesWhatItCannotCount(t *testing.T) {
	if wait, ok := NewFlood(Config{}, Deps{}).Allow(netip.Addr{}); ok || wait != 0 {
		t.Errorf("the zero address: %v, %v; want refused without a time", wait, ok)
	}
	var zero Flood
	addr := netip.MustParseAddr("192.0.2.1")
	zero.Ban(addr, time.Now().Add(time.Hour))
	zero.Unban(addr)
	if _, banned := zero.Banned(addr); banned {
		t.Error("the zero Flood remembers a ban")
	}
	if _, ok := zero.Allow(addr); ok {
		t.Error("the zero Flood lets somebody pass")
	}
}

func TestFloodKeepsWhatWasUsedUpWhenItsLimitsChange(t *testing.T) {
	c := newClock()
	f := NewFlood(Config{PerAddress: perSecond(10), AddressBurst: 5}, Deps{Now: c.now})
	addr, banned := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.9")
	drain(f, addr)
	f.Ban(banned, c.now().Add(time.Hour))
	f.Configure(Config{PerAddress: perSecond(100), AddressBurst: 50})
	if wait, ok := f.Allow(addr); ok || wait != 10*time.Millisecond {
		t.Errorf("after the change: %v, %v; want refused for 10ms, one token at 100/s", wait, ok)
	}
	if _, ok := f.Allow(banned); ok {
		t.Error("the change has lifted a ban")
	}
	c.advance(time.Second)
	if got := drain(f, addr); got != 50 {
		t.Errorf("%d passed, want the new burst of 50", got)
	}
	c.advance(time.Hour)
	f.Configure(Config{PerAddress: perSecond(1), AddressBurst: 2})
	if got := drain(f, addr); got != 2 {
		t.Errorf("%d passed, want the new, smaller burst of 2", got)
	}
}

// address makes the i-th of many addresses, IPv4 and IPv6 in turn.
func address(i int) netip.Addr {
	if i%2 == 0 {
		return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)})
	}
	return netip.AddrFrom16([16]byte{0x20, 1, 0x0d, 0xb8, 0, byte(i >> 16), byte(i >> 8), byte(i), 15: 1})
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestFloodAllocatesNothingForAKnownAddress(t *testing.T) {
	f := NewFlood(Config{PerAddress: perSecond(1), AddressBurst: 10}, Deps{})
	addr := netip.MustParseAddr("2001:db8::1")
	f.Allow(addr)
	f.Ban(netip.MustParseAddr("192.0.2.200"), time.Now().Add(time.Hour))
	if got := testing.AllocsPerRun(1000, func() { f.Allow(addr) }); got != 0 {
		t.Errorf("%v allocations per request, passed and refused, want 0", got)
	}
}

func TestFloodNeverGivesMoreThanTheBurstToManyAtOnce(t *testing.T) {
	c := newClock()
	f := NewFlood(Config{PerAddress: perSecond(1), AddressBurst: 100}, Deps{Now: c.now})
	addr := netip.MustParseAddr("192.0.2.1")
	var passed atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				if _, ok := f.Allow(addr); ok {
					passed.Add(1)
				}
				f.Allow(address(i))
				f.Ban(address(i+1000), c.now().Add(time.Second))
				f.Unban(address(i + 1000))
			}
		})
	}
	wg.Wait()
	if passed.Load() != 100 {
		t.Errorf("%d passed, want exactly the burst of 100", passed.Load())
	}
}

func BenchmarkFloodKnownAddress(b *testing.B) {
	f := NewFlood(Config{PerAddress: perSecond(1e9), AddressBurst: maxBurst}, Deps{})
	addr := netip.MustParseAddr("192.0.2.1")
	b.ReportAllocs()
	for b.Loop() {
		f.Allow(addr)
	}
}

func BenchmarkFloodNewcomerToAFullTable(b *testing.B) {
	f := NewFlood(Config{PerAddress: perSecond(1), AddressBurst: 3}, Deps{Now: newClock().now})
	for i := range 1_000_000 {
		f.Allow(address(i))
	}
	b.ReportAllocs()
	i := 1_000_000
	for b.Loop() {
		f.Allow(address(i))
		i++
	}
}
