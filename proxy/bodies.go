package proxy

import (
	"errors"

	"github.com/sallyport/sallyport/access"
)

var errUnread = errors.New("the body was passed without being read")

// readBody is the one reading of the body: bounded by the route, spooled, inflated.
// A reader that gives nothing to forward has not read: closed.
func readBody(die access.Die, bodies BodyReader) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		if err := bodies.Read(ex); err != nil {
			return err
		}
		if ex.Body.Open == nil && ex.Body.Stream == nil {
			return access.Unavailable("body_unavailable", errUnread)
		}
		die.Press(ex)
		return nil
	}
}

// operation completes the route from the body, and guards the tenant in it.
func operation(die access.Die, bodies BodyReader) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		if ex.Body.Open == nil && ex.Body.Stream == nil { // closed: read_body has not been passed
			return access.Unavailable("body_unavailable", errUnread)
		}
		if err := bodies.Complete(ex); err != nil {
			return err
		}
		die.Press(ex)
		return nil
	}
}
