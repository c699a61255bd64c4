package main

import (
	"context"
	"errors"
	"slices"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/authn/oidc"
)

// admit is asked at each login and each renewal: the tenant, and the provider that vouched,
// must still be in the file.
func (rt *Runtime) admit(_ context.Context, login authn.Login) error {
	p := rt.active()
	if p == nil {
		return access.Unavailable("starting", errors.New("no plan yet"))
	}
	_, known := p.directory.Tenant(login.Tenant)
	provided := slices.ContainsFunc(p.loaded.Tree.Authn.OIDC, func(s oidc.Settings) bool {
		return s.Name == login.Provider && s.Tenant == login.Tenant.String()
	})
	if !known || !provided {
		refusal := access.Refuse(403, "login_withdrawn", "Your organisation no longer signs in here this way.", "Ask your administrator.")
		refusal.Login = true
		return refusal
	}
	return nil
}

// reused writes down that an old refresh token was presented: somebody may have copied a
// browser's cookies.
func (rt *Runtime) reused(ex *access.Exchange, id *access.Identity) {
	rt.log.Warn("a refresh token was used twice; the session is ended", "request", ex.ID, "tenant", id.Tenant.String(), "user", id.Subject)
	told := *ex
	told.Identity, told.EventID = id, ""
	told.Route.Action, told.Route.ReadOnly = "session_revoked", false
	refusal := access.Refuse(401, "session_reused", "The session was ended, because an old copy of it was used.", "Sign in again.")
	refusal.Gate = "authenticate"
	rt.journal.Refused(ex.Request.Context(), &told, refusal)
}
