package authn

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/sallyport/sallyport/access"
)

// Authenticate is the gate. It fills in Identity, Credential and SetCookies and takes
// our cookies and bearer out of the request. On Portal nothing is an error and nothing
// is taken out: those requests end here, and the login pages read cookies of their own.
//
// Direction of failure: closed. No or a bad credential is a 401, two of them a 400. A
// database that does not answer is a 503 where the answer is needed, that is to renew;
// a session token needs none while the list of ended sessions is fresh. A list that is
// older than 5 s is a 503 for everybody.
func (s *Sessions) Authenticate(ex *access.Exchange) error {
	h := ex.Request.Header
	b, c := readBearer(h), readCookies(h)
	found, err := s.identify(ex, b, c)
	portal := ex.Route.Class == access.Portal
	if !portal {
		StripCookies(h)
		if b.found {
			delete(h, "Authorization")
		}
	}
	s.count(b, c, err)
	if err != nil {
		if portal {
			return nil // nobody; the page says what to do
		}
		return err
	}
	ex.Identity, ex.Credential = found, access.CookieCredential
	switch {
	case found == nil:
		ex.Credential = access.NoCredential
	case b.found:
		ex.Credential = access.BearerCredential
	}
	return nil
}

func (s *Sessions) identify(ex *access.Exchange, b bearer, c cookies) (*access.Identity, error) {
	if ex.Site == nil || ex.Site.Name == "" {
		return nil, access.Unavailable("site_unknown", errors.New("authenticate: the request was not located"))
	}
	switch {
	case b.ambiguous || b.found && c.found:
		r := access.Refuse(http.StatusBadRequest, "ambiguous_credentials", "The request carries two credentials at once.", "Send either the session cookie or one bearer token.")
		r.Counted = true
		return nil, r
	case b.found:
		return s.byBearer(ex, b.token)
	case c.found:
		return s.byCookie(ex, c)
	case ex.Route.Class == access.Portal:
		return nil, nil
	}
	r := access.Refuse(http.StatusUnauthorized, "not_logged_in", "You are not logged in.", "Log in and try again.")
	r.Login, r.Counted, r.Header = true, true, challenge("")
	return nil, r
}

func (s *Sessions) byBearer(ex *access.Exchange, token string) (*access.Identity, error) {
	v, err := s.check(ex.Request.Context(), ex.Site.Name, token)
	if err != nil {
		if r := (*access.Refusal)(nil); errors.As(err, &r) {
			return nil, err
		}
		r := access.Refuse(http.StatusUnauthorized, "token_invalid", "The bearer token is not valid here.", "Get a new token.")
		if errors.Is(err, errTokenExpired) {
			r = access.Refuse(http.StatusUnauthorized, "token_expired", "The bearer token has expired.", "Get a new token.")
		}
		r.Counted, r.Header = true, challenge("invalid_token")
		return nil, r.Because(err)
	}
	if err := s.alive(ex, v.identity); err != nil {
		return nil, err
	}
	return v.identity, nil
}

func (s *Sessions) byCookie(ex *access.Exchange, c cookies) (*access.Identity, error) {
	if c.repeated {
		clearCookies(ex)
		return nil, invalidSession(errors.New("one of our cookies stands there twice"))
	}
	if c.session == "" {
		return s.renew(ex, c.refresh, nil)
	}
	v, err := s.check(ex.Request.Context(), ex.Site.Name, c.session)
	switch {
	case errors.Is(err, errTokenExpired) || errors.Is(err, errTokenKey):
		return s.renew(ex, c.refresh, nil)
	case errors.Is(err, errToken):
		clearCookies(ex)
		return nil, invalidSession(err)
	case err != nil:
		return nil, err
	}
	if err := s.alive(ex, v.identity); err != nil {
		return nil, err
	}
	if c.refresh != "" && !v.capped && v.expires.Sub(s.now()) < s.renewBefore() {
		return s.renew(ex, c.refresh, v.identity)
	}
	return v.identity, nil
}

// check verifies a token for a site, by the cache if it has been seen. The errors are
// verify's, or an *access.Refusal.
func (s *Sessions) check(ctx context.Context, site, token string) (*verified, error) {
	keys := s.keys.Load()
	if keys == nil {
		return nil, access.Unavailable("sessions_unavailable", errors.New("the signing keys are not loaded"))
	}
	if len(token) > maxToken {
		return nil, fmt.Errorf("%w: %d bytes", errToken, len(token))
	}
	if v, ok := s.tokens.get(token); ok {
		s.lookups.Add(1, "hit")
		now := s.now()
		if v.site != site {
			return nil, fmt.Errorf("%w: of another site", errToken)
		}
		if !now.Before(v.expires) {
			return nil, errTokenExpired
		}
		if _, ok := keys.verifier(useSession, v.kid, now); !ok {
			return nil, errTokenKey
		}
		return v, nil
	}
	s.lookups.Add(1, "miss")
	c, kid, err := s.verify(token, site, keys)
	if err != nil {
		return nil, err
	}
	identity := c.identity()
	if c.Stored {
		if identity, err = s.stored(ctx, identity, site); err != nil {
			return nil, err
		}
	}
	return s.tokens.put(token, &verified{
		identity: identity, site: site, kid: kid, expires: identity.Expires,
		capped: c.ExpiresAt.Sub(c.IssuedAt.Time) < s.access,
	}), nil
}

// stored completes an identity that did not fit into its token.
func (s *Sessions) stored(ctx context.Context, id *access.Identity, site string) (*access.Identity, error) {
	record, err := ask(ctx, s, func(ctx context.Context) (Record, error) {
		return s.store.Find(ctx, id.Tenant, id.SessionID, s.now())
	})
	switch {
	case errors.Is(err, ErrNoSession):
		return nil, fmt.Errorf("%w: its session is gone", errToken)
	case err != nil:
		return nil, access.Unavailable("sessions_unavailable", err)
	case record.Site != site || record.LoginID != id.LoginID || record.Login.Subject != id.Subject:
		return nil, fmt.Errorf("%w: its session is another's", errToken)
	}
	return record.identity(id.Expires), nil
}

// alive refuses the sessions that have been ended, and everybody while that cannot be
// known. On Portal a blind instance still knows its own list: nothing is forwarded
// from there, and a logout must find its session.
func (s *Sessions) alive(ex *access.Exchange, id *access.Identity) error {
	if s.revoked.has(id) {
		clearCookies(ex)
		return endedSession(errors.New("the session was ended"))
	}
	if ex.Route.Class != access.Portal && s.revoked.blind(s.now()) {
		return access.Unavailable("sessions_unavailable", fmt.Errorf("the list of ended sessions has not been seen for %s", maxBlind))
	}
	return nil
}

func invalidSession(err error) *access.Refusal {
	r := access.Refuse(http.StatusUnauthorized, "session_invalid", "Your session cookie is not valid.", "Log in again.")
	r.Login, r.Counted, r.Header = true, true, challenge("")
	return r.Because(err)
}

func endedSession(err error) *access.Refusal {
	r := access.Refuse(http.StatusUnauthorized, "session_ended", "Your session has ended.", "Log in again.")
	r.Login, r.Counted, r.Header = true, true, challenge("invalid_token")
	return r.Because(err)
}

// challenge is the header that a 401 must have (RFC 9110, section 11.6.1; RFC 6750,
// section 3). Browsers show no dialog for this scheme.
func challenge(code string) http.Header {
	value := `Bearer realm="sallyport"`
	if code != "" {
		value += `, error="` + code + `"`
	}
	return http.Header{"Www-Authenticate": {value}}
}

func (s *Sessions) count(b bearer, c cookies, err error) {
	credential, result := "none", "ok"
	switch {
	case b.found:
		credential = "bearer"
	case c.found:
		credential = "cookie"
	}
	if r := (*access.Refusal)(nil); errors.As(err, &r) {
		result = r.Code
	} else if err != nil {
		result = "error"
	}
	s.requests.Add(1, credential, result)
}
