package audit

import (
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport/sallyport/access"
)

// Bounds of what refusals may write in one minute, or an attacker owns the audit disk.
// What goes beyond them is counted.
const (
	maxTallies      = 1024 // kinds of counted refusals; the rest share one per reason code
	singlesStranger = 10   // written one by one, per address and kind
	singlesKnown    = 60   // the same, for somebody who is logged in
	singlesAll      = 600  // by strangers, from all addresses together
	maxOthers       = 256  // reason codes that share; more than the gateway has
)

// tallyKey is what counted refusals have in common.
type tallyKey struct {
	from       netip.Prefix // an IPv4 address or an IPv6 /64; zero for the shared ones
	tenant     access.TenantID
	actor      string
	site       string
	gate, code string
}

type tally struct {
	key     tallyKey
	singles int
	count   int64
	first   time.Time
	status  int
}

// tallies decides which refusals are written one by one and counts the others.
type tallies struct {
	mu      sync.Mutex
	by      map[tallyKey]*tally
	others  map[tallyKey]*tally
	singles int
}

// admit says whether a refusal is written by itself; otherwise it was counted.
func (t *tallies) admit(key tallyKey, status int, single bool, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	one, ok := t.by[key]
	if !ok && len(t.by) < maxTallies {
		one, ok = &tally{key: key}, true
		put(&t.by, key, one)
	}
	stranger := key.actor == ""
	limit := singlesKnown
	if stranger {
		limit = singlesStranger
	}
	if ok && single && one.singles < limit && (!stranger || t.singles < singlesAll) {
		one.singles++
		if stranger {
			t.singles++
		}
		return true
	}
	if !ok {
		shared := tallyKey{code: key.code}
		if len(t.others) >= maxOthers {
			shared.code = "other"
		}
		if one = t.others[shared]; one == nil {
			one = &tally{key: shared}
			put(&t.others, shared, one)
		}
	}
	if one.count == 0 {
		one.first, one.status = now, status
	}
	one.count++
	return false
}

func put(m *map[tallyKey]*tally, key tallyKey, t *tally) {
	if *m == nil {
		*m = make(map[tallyKey]*tally)
	}
	(*m)[key] = t
}

// drain gives what was counted and begins a new minute.
func (t *tallies) drain() []*tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	var counted []*tally
	for _, m := range []map[tallyKey]*tally{t.by, t.others} {
		for _, one := range m {
			if one.count > 0 {
				counted = append(counted, one)
			}
		}
	}
	t.by, t.others, t.singles = nil, nil, 0
	return counted
}

// network is the address as the gateway counts it: an IPv6 caller owns its /64.
func network(addr netip.Addr) netip.Prefix {
	bits := addr.BitLen()
	if addr.Is6() {
		bits = 64
	}
	prefix, err := addr.Prefix(bits)
	if err != nil {
		return netip.Prefix{} // no valid address: they are counted together
	}
	return prefix
}
