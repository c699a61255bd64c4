package audit

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	"github.com/sallyport/sallyport/access"
)

// Bounds of what people who are not logged in may have written by trying to log in, in one
// minute: each attempt is two durable records. A network is an IPv4 address or an IPv6 /64.
const (
	attemptsOfNetwork = 120
	attemptsOfAll     = 2000
)

// attempts counts them. Its memory is bounded, because nothing is counted beyond
// attemptsOfAll.
type attempts struct {
	mu     sync.Mutex
	minute int64
	of     map[netip.Prefix]int
	all    int
}

// admit says whether one more may be written in this minute.
func (a *attempts) admit(network netip.Prefix, now time.Time) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if minute := now.Unix() / 60; minute != a.minute || a.of == nil {
		a.minute, a.of, a.all = minute, map[netip.Prefix]int{}, 0
	}
	if a.all >= attemptsOfAll || a.of[network] >= attemptsOfNetwork {
		return false
	}
	a.of[network]++
	a.all++
	return true
}

// tooManyAttempts closes: a login that cannot be written down does not happen.
func tooManyAttempts() *access.Refusal {
	refusal := access.Refuse(http.StatusTooManyRequests, "too_many_attempts",
		"Too many people tried to sign in from your network in this minute.", "Wait a minute, then sign in again.")
	refusal.RetryAfter, refusal.Counted = time.Minute, true
	return refusal
}
