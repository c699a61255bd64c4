package policy

import (
	"context"
	"errors"
	"fmt"

	"github.com/sallyport/sallyport/access"
)

// selfCheck asks two questions whose answers cannot be in doubt. A policy that fails
// one of them is broken, or its engine is, and must not be swapped in. It has the longest
// deadline, so that a busy machine at start-up is not mistaken for a broken policy.
func (e *Engine) selfCheck(ctx context.Context) error {
	tenant, err := access.ParseTenantID("selfcheck")
	if err != nil {
		return err
	}
	patient := *e
	patient.deadline = maxDeadline.Duration()
	ask := func(role, action string, readOnly bool) (access.Decision, error) {
		return patient.decide(ctx, &access.Exchange{
			Identity: &access.Identity{Subject: "selfcheck", Tenant: tenant, Roles: []string{role}},
			Route:    access.Route{Class: access.App, Resource: "contact", Action: action, ReadOnly: readOnly},
		})
	}
	if d, err := ask("owner", access.ActionRead, true); err != nil {
		return fmt.Errorf("may an owner read: %w", err)
	} else if !d.Allow {
		return errors.New("it forbids an owner to read a contact")
	}
	if d, err := ask("viewer", access.ActionUpdate, false); err != nil {
		return fmt.Errorf("may a viewer write: %w", err)
	} else if d.Allow {
		return errors.New("it allows a viewer to change a contact")
	}
	return nil
}
