package ratelimit

import (
	"net/netip"
	"testing"
	"time"
)

func TestBanRefusesUntilItEnds(t *testing.T) {
	c := newClock()
	f := NewFlood(Config{}, Deps{Now: c.now})
	addr := netip.MustParseAddr("2001:db8:0:1::1")
	neighbour := netip.MustParseAddr("2001:db8:0:1::2")
	end := c.now().Add(time.Minute)
	f.Ban(addr, end)

	if wait, ok := f.Allow(neighbour); ok || wait != time.Minute {
		t.Errorf("another address of the banned /64: %v, %v; want refused for a minute", wait, ok)
	}
	if until, ok := f.Banned(addr); !ok || !until.Equal(end) {
		t.Errorf("Banned = %v, %v; want until %v", until, ok, end)
	}
	if _, ok := f.Allow(netip.MustParseAddr("2001:db8:0:2::1")); !ok {
		t.Error("the ban reaches beyond the /64")
	}
	c.advance(time.Minute)
	if _, ok := f.Allow(addr); !ok {
		t.Error("still refused when the ban has ended")
	}
	if _, ok := f.Banned(addr); ok {
		t.Error("still listed when the ban has ended")
	}
}

func TestBanRules(t *testing.T) {
	addr := netip.MustParseAddr("192.0.2.1")
	for _, c := range []struct {
		name string
		do   func(f *Flood, now time.Time)
		want time.Duration // 0: not banned
	}{
		{"a longer ban prolongs", func(f *Flood, now time.Time) { f.Ban(addr, now.Add(1)); f.Ban(addr, now.Add(9)) }, 9},
		{"a shorter ban shortens nothing", func(f *Flood, now time.Time) { f.Ban(addr, now.Add(9)); f.Ban(addr, now.Add(1)) }, 9},
		{"unban lifts", func(f *Flood, now time.Time) { f.Ban(addr, now.Add(9)); f.Unban(addr) }, 0},
		{"after unban a shorter ban is possible", func(f *Flood, now time.Time) { f.Ban(addr, now.Add(9)); f.Unban(addr); f.Ban(addr, now.Add(1)) }, 1},
		{"unban of another address lifts nothing", func(f *Flood, now time.Time) { f.Ban(addr, now.Add(9)); f.Unban(netip.MustParseAddr("192.0.2.2")) }, 9},
		{"a ban into the past is none", func(f *Flood, now time.Time) { f.Ban(addr, now.Add(-1)) }, 0},
		{"a ban that ends now is none", func(f *Flood, now time.Time) { f.Ban(addr, now) }, 0},
		{"an invalid address is ignored", func(f *Flood, now time.Time) { f.Ban(netip.Addr{}, now.Add(9)); f.Unban(netip.Addr{}) }, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			clk := newClock()
			f := NewFlood(Config{}, Deps{Now: clk.now})
			c.do(f, clk.now())
			until, ok := f.Banned(addr)
			if ok != (c.want != 0) || ok && until.Sub(clk.now()) != c.want {
				t.Errorf("banned %v until %v after now, want %v", ok, until.Sub(clk.now()), c.want)
			}
		})
	}
}

func TestBanForEverIsABan(t *testing.T) {
	f := NewFlood(Config{}, Deps{})
	addr := netip.MustParseAddr("192.0.2.1")
	f.Ban(addr, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC))
	if _, ok := f.Allow(addr); ok {
		t.Error("a ban until the year 9999 does not hold")
	}
}

func TestBanTableIsBoundedAndTheBanThatEndsSoonestGivesWay(t *testing.T) {
	c := newClock()
	b := newBans()
	end := c.now().Add(time.Hour)
	const sameSet = banSets // hashes that differ by it fall into one set
	for i := range 2 * banWays {
		b.add(uint64(i)*sameSet, end.Add(time.Duration(i)*time.Second))
	}
	for i := range 2 * banWays {
		_, banned := b.until(uint64(i)*sameSet, c.now())
		if want := i >= banWays; banned != want {
			t.Errorf("ban %d of %d: held %v, want %v", i, 2*banWays, banned, want)
		}
	}
	if got := b.held.Load(); got != banWays {
		t.Errorf("%d places are taken, want %d", got, banWays)
	}

	t.Run("bans that have ended give way first", func(t *testing.T) {
		b := newBans()
		b.add(0, c.now().Add(time.Hour))
		for i := 1; i < banWays; i++ {
			b.add(uint64(i)*sameSet, c.now().Add(time.Second))
		}
		c.advance(time.Minute)
		b.add(99*sameSet, c.now().Add(time.Second))
		for _, hash := range []uint64{0, 99 * sameSet} {
			if _, banned := b.until(hash, c.now()); !banned {
				t.Errorf("ban %d is lost", hash/sameSet)
			}
		}
	})
}
