package authn

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/maypok86/otter/v2"
	"github.com/sallyport/sallyport/access"
)

const (
	// assertionLife is how long a backend may believe an assertion.
	assertionLife = 60 * time.Second
	// assertionReuse is how long one is sent again: a signature costs as much as the
	// rest of the corridor.
	assertionReuse = 30 * time.Second
	// assertionCount bounds how many are kept.
	assertionCount = 16_384
)

type assertionKey struct{ session, site string }

type assertion struct {
	token    string
	made     time.Time
	identity *access.Identity // whom it speaks of: a renewed session may have other roles
}

type assertionCache struct {
	entries *otter.Cache[assertionKey, assertion]
}

func newAssertionCache() *assertionCache {
	return &assertionCache{otter.Must(&otter.Options[assertionKey, assertion]{MaximumSize: assertionCount})}
}

// Assertion signs for the backend that this request came through us, and whose it is: a
// JWT (EdDSA) with sub, email, tenant and roles, for this site alone, good for 60 s. It
// is verified with jwks.json. Without an identity there is none to be had.
func (s *Sessions) Assertion(_ context.Context, ex *access.Exchange) (string, error) {
	id := ex.Identity
	if id == nil || id.Tenant.IsZero() || ex.Site == nil || ex.Site.Name == "" {
		return "", errors.New("sign an assertion: the request has no identity or no site")
	}
	now := s.now()
	key := assertionKey{id.SessionID, ex.Site.Name}
	if a, ok := s.assertions.entries.GetIfPresent(key); ok && a.identity == id {
		if age := now.Sub(a.made); age >= 0 && age < assertionReuse {
			return a.token, nil
		}
	}
	token, err := s.keys.Load().sign(useAssertion, claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: s.issuer, Subject: id.Subject, Audience: jwt.ClaimStrings{ex.Site.Name},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(assertionLife)),
		},
		Use: useAssertion, Tenant: id.Tenant.String(), Email: id.Email, Roles: id.Roles,
	}, now)
	if err != nil {
		return "", err
	}
	s.assertions.entries.Set(key, assertion{token: token, made: now, identity: id})
	return token, nil
}

// JWKS is the JWK set (RFC 7517) by which backends verify assertions, or nil while the
// keys are not loaded.
func (s *Sessions) JWKS() []byte {
	if keys := s.keys.Load(); keys != nil {
		return keys.jwks
	}
	return nil
}

// Endpoints are this package's own addresses: jwks.json.
func (s *Sessions) Endpoints() []access.Endpoint {
	return []access.Endpoint{{
		Path: "jwks.json", Method: http.MethodGet, Class: access.Portal, Action: access.ActionRead, ReadOnly: true,
		Serve: s.serveJWKS,
	}}
}

func (s *Sessions) serveJWKS(w http.ResponseWriter, ex *access.Exchange) error {
	set := s.JWKS()
	if set == nil {
		return access.Unavailable("keys_unavailable", errors.New("the signing keys are not loaded"))
	}
	h := w.Header()
	h.Set("Content-Type", "application/jwk-set+json")
	h.Set("Cache-Control", "public, max-age=300") // jwksMaxAge
	if len(ex.SetCookies) > 0 {
		h.Set("Cache-Control", "private, no-store")
	}
	_, err := w.Write(set)
	return err
}
