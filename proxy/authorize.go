package proxy

import (
	"net/http"

	"github.com/sallyport/sallyport/access"
)

// authorize asks policy. An error is a no (503), and so is a decision that does not
// say yes (403).
func authorize(die access.Die, policy Authorizer) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		decision, err := policy.Authorize(ex.Request.Context(), ex)
		if err != nil {
			decision.Allow = false
			ex.Decision = decision
			return access.Unavailable("policy_unavailable", err)
		}
		ex.Decision = decision
		if !decision.Allow {
			return access.Refuse(http.StatusForbidden, "not_permitted", "Your role does not allow this.",
				"Ask an administrator of your organisation for the permission, and tell them the request id.")
		}
		die.Press(ex)
		return nil
	}
}
