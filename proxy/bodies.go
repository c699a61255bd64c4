package proxy

import (
	"errors"
	"net/http"

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
func (p *Plan) operation(die access.Die, bodies BodyReader) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		if ex.Body.Open == nil && ex.Body.Stream == nil { // closed: read_body has not been passed
			return access.Unavailable("body_unavailable", errUnread)
		}
		if err := bodies.Complete(ex); err != nil {
			return err
		}
		if err := p.overrideMethod(ex); err != nil {
			return err
		}
		die.Press(ex)
		return nil
	}
}

// overrideMethod handles the form field _method, by which some frameworks let a form ask for
// PUT, PATCH or DELETE. Where the site says so, it decides the action; elsewhere it is
// refused, because policy would decide on another action than the backend performs.
func (p *Plan) overrideMethod(ex *access.Exchange) error {
	found := ""
	for _, v := range ex.Body.Values {
		if access.FoldName(v.Path) != "-method" {
			continue
		}
		if found != "" || v.Text == "" {
			return errOverride()
		}
		found = v.Text
	}
	if found == "" {
		return nil
	}
	s := p.sites.of(ex.Site)
	if s == nil || !s.cfg.MethodOverride || ex.Request.Method != http.MethodPost || ex.Route.Operation != nil {
		return errOverride()
	}
	action, ok := map[string]string{"put": access.ActionUpdate, "patch": access.ActionUpdate, "delete": access.ActionDelete}[access.FoldName(found)]
	if !ok {
		return errOverride()
	}
	ex.Route.Action, ex.Route.ReadOnly = action, false
	return nil
}

func errOverride() *access.Refusal {
	return access.Refuse(http.StatusBadRequest, "method_override", "The request asks for another method than its own.",
		"Send it with the method that it means.")
}
