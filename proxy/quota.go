package proxy

import (
	"net/http"

	"github.com/sallyport/sallyport/access"
)

// quota counts the request against its user and tenant. When the shared counter is
// out of reach the room counts locally: it degrades, it does not open.
func quota(die access.Die, q Quota) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		retryAfter, ok := q.Take(ex.Request.Context(), ex)
		if !ok {
			refusal := access.Refuse(http.StatusTooManyRequests, "quota_exceeded",
				"You, or your organisation, sent more requests than are allowed.", "Wait a moment, then try again.")
			refusal.RetryAfter, refusal.Counted = retryAfter, true
			return refusal
		}
		die.Press(ex)
		return nil
	}
}
