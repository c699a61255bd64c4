package audit

import (
	"net/netip"
	"testing"
	"time"
)

func TestAttemptsOfStrangersAreBoundedPerMinute(t *testing.T) {
	var a attempts
	now := time.Unix(60_000, 0)
	admitted := func(network netip.Prefix, at time.Time) (n int) {
		for range attemptsOfAll + 10 {
			if a.admit(network, at) {
				n++
			}
		}
		return n
	}
	one := netip.MustParsePrefix("192.0.2.1/32")
	if got := admitted(one, now); got != attemptsOfNetwork {
		t.Errorf("one network: %d, want %d", got, attemptsOfNetwork)
	}
	all := attemptsOfNetwork
	for i := range 50 {
		all += admitted(netip.PrefixFrom(netip.AddrFrom4([4]byte{198, 51, 100, byte(i)}), 32), now)
	}
	if all != attemptsOfAll {
		t.Errorf("all networks: %d, want %d", all, attemptsOfAll)
	}
	if len(a.of) > attemptsOfAll {
		t.Errorf("%d networks are remembered", len(a.of))
	}
	if got := admitted(one, now.Add(time.Minute)); got != attemptsOfNetwork {
		t.Errorf("the next minute: %d, want %d", got, attemptsOfNetwork)
	}
}
