package proxy

import (
	"errors"

	"github.com/sallyport/sallyport/access"
)

var errUnrecorded = errors.New("the recorder gave no event id")

// record makes the intent durable before the deed. When the journal cannot write, the
// deed does not happen (503); logout and revocation alone always proceed, for keeping
// somebody signed in is the worse harm.
func record(die access.Die, audit Recorder) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		err := audit.Intend(ex.Request.Context(), ex)
		if err == nil && ex.EventID == "" {
			err = errUnrecorded
		}
		if err != nil && (ex.Route.Endpoint == nil || !ex.Route.Endpoint.Always) {
			if refusal := (*access.Refusal)(nil); errors.As(err, &refusal) {
				return refusal
			}
			return access.Unavailable("audit_unavailable", err)
		}
		die.Press(ex)
		return nil
	}
}
