package proxy

import (
	"errors"
	"net/http"

	"github.com/sallyport/sallyport/access"
)

var errNoAddress = errors.New("the caller has no address")

// flood stops an address that is banned or too fast. It cannot fail: a full table makes
// newcomers share buckets, it does not let them pass.
func flood(die access.Die, f Flood) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		if !ex.Client.Addr.IsValid() { // closed: client_addr has not been passed
			return access.Unavailable("client_address_unavailable", errNoAddress)
		}
		retryAfter, ok := f.Allow(ex.Client.Addr)
		if !ok {
			refusal := access.Refuse(http.StatusTooManyRequests, "too_many_requests",
				"Too many requests came from your network address.", "Wait a moment, then try again.")
			refusal.RetryAfter, refusal.Counted = retryAfter, true
			return refusal
		}
		die.Press(ex)
		return nil
	}
}
