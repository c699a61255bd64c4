package proxy

import (
	"errors"

	"github.com/sallyport/sallyport/access"
)

var errNobody = errors.New("authentication succeeded without an identity")

// authenticate finds out who asks. On Portal nobody is an answer too; elsewhere an
// identity without subject or credential is a fault of ours and closes the house.
func authenticate(die access.Die, authn Authenticator) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		if err := authn.Authenticate(ex); err != nil {
			return err
		}
		if ex.Route.Class != access.Portal || ex.Identity != nil {
			if ex.Identity == nil || ex.Identity.Subject == "" || ex.Credential == access.NoCredential {
				return access.Unavailable("authentication_unavailable", errNobody)
			}
		}
		die.Press(ex)
		return nil
	}
}
