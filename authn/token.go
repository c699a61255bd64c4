package authn

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/sallyport/sallyport/access"
)

const (
	// maxToken bounds a token in bytes, before anything parses it: what a browser
	// keeps of one cookie (RFC 6265bis, section 5.7), name included.
	maxToken = 4096
	// maxSessionToken is the longest session token that is made, so that the cookie
	// with its name and attributes stays below that.
	maxSessionToken = 3600
	// leeway is how far another instance's clock may be ahead of ours. It is never
	// added to an expiry.
	leeway = 30 * time.Second
)

// The kinds of token. Each has its own signing keys, its own "typ" (RFC 8725, section
// 3.11) and its own "token_use", so that none can stand in for another.
const (
	useSession   = "session"
	useAssertion = "assertion"
)

func typeOf(use string) string { return use + "+jwt" }

// The ways in which a token fails. Only the first two leave a way on, by the refresh
// token: the others are nobody's honest mistake.
var (
	errTokenExpired = errors.New("the token has expired")
	errTokenKey     = errors.New("the token's key is unknown or retired")
	errToken        = errors.New("the token is not valid here")
)

// claims are what a session token and an assertion say.
type claims struct {
	jwt.RegisteredClaims
	Use      string           `json:"token_use"`
	Tenant   string           `json:"tenant"`
	Email    string           `json:"email,omitempty"`
	Name     string           `json:"name,omitempty"`
	Roles    []string         `json:"roles,omitempty"`
	Groups   []string         `json:"groups,omitempty"`
	Session  string           `json:"sid,omitempty"`
	Login    string           `json:"lid,omitempty"`
	AMR      []string         `json:"amr,omitempty"`
	AuthTime *jwt.NumericDate `json:"auth_time,omitempty"`
	Provider string           `json:"provider,omitempty"`
	// Stored says that roles, groups and name did not fit, and are to be read from
	// the session's record.
	Stored bool `json:"stored,omitempty"`
}

// issuer names the environment's own issuer. Another environment's tokens have another.
func issuer(environment string) string { return "urn:sallyport:" + environment }

// newParser is the one constructor of all checks of a token. golang-jwt checks nothing
// that it is not told to, and takes an empty issuer or audience for "do not check", so
// those are refused here.
func newParser(issuer, audience string, now func() time.Time) (*jwt.Parser, error) {
	if issuer == "" || audience == "" || now == nil {
		return nil, errors.New("a token cannot be checked without issuer, audience and clock")
	}
	return jwt.NewParser(
		jwt.WithValidMethods([]string{jwt.SigningMethodEdDSA.Alg()}),
		jwt.WithIssuer(issuer),
		jwt.WithAudience(audience),
		jwt.WithExpirationRequired(),
		jwt.WithIssuedAt(),
		jwt.WithLeeway(leeway),
		jwt.WithStrictDecoding(),
		jwt.WithTimeFunc(now),
	), nil
}

// verify checks a session token for a site and gives its claims and kid. The errors wrap
// errTokenExpired, errTokenKey or errToken, and hold nothing of the token.
func (s *Sessions) verify(token, site string, keys *keyring) (*claims, string, error) {
	if err := wellFormed(token); err != nil {
		return nil, "", err
	}
	parser, err := newParser(s.issuer, site, s.now)
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", errToken, err)
	}
	now := s.now()
	var c claims
	var kid string
	_, err = parser.ParseWithClaims(token, &c, func(t *jwt.Token) (any, error) {
		// Exactly our header: a "crit" (RFC 7515, section 4.1.11) or "jku" that the
		// library passes over in silence never gets here.
		if len(t.Header) != 3 || t.Header["typ"] != typeOf(useSession) {
			return nil, errToken
		}
		kid, _ = t.Header["kid"].(string)
		key, ok := keys.verifier(useSession, kid, now) // a map's key, never a path or a query
		if !ok {
			return nil, errTokenKey
		}
		return key, nil
	})
	switch {
	case errors.Is(err, errTokenKey):
		return nil, "", errTokenKey
	case err != nil && !onlyExpired(err):
		return nil, "", fmt.Errorf("%w: %w", errToken, err)
	}
	if err := s.plausible(&c); err != nil {
		return nil, "", err
	}
	if !now.Before(c.ExpiresAt.Time) {
		return nil, "", errTokenExpired
	}
	return &c, kid, nil
}

// wellFormed refuses cheaply what cannot be a compact JWS (RFC 7515, section 7.1).
// Go's base64 decoder skips CR and LF even when strict, which would give one token
// many spellings.
func wellFormed(token string) error {
	if token == "" || len(token) > maxToken {
		return fmt.Errorf("%w: %d bytes", errToken, len(token))
	}
	if strings.Count(token, ".") != 2 {
		return fmt.Errorf("%w: not three parts", errToken)
	}
	for i := range len(token) {
		c := token[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return fmt.Errorf("%w: byte %d is not of base64url", errToken, i)
		}
	}
	return nil
}

// onlyExpired says that the signature was good and nothing but the expiry was wrong.
func onlyExpired(err error) bool {
	if !errors.Is(err, jwt.ErrTokenExpired) {
		return false
	}
	for _, other := range []error{
		jwt.ErrTokenMalformed, jwt.ErrTokenUnverifiable, jwt.ErrTokenSignatureInvalid, jwt.ErrTokenRequiredClaimMissing,
		jwt.ErrTokenInvalidAudience, jwt.ErrTokenInvalidIssuer, jwt.ErrTokenUsedBeforeIssued, jwt.ErrTokenNotValidYet,
	} {
		if errors.Is(err, other) {
			return false
		}
	}
	return true
}

// plausible checks what the library does not.
func (s *Sessions) plausible(c *claims) error {
	switch {
	case c.Use != useSession:
		return fmt.Errorf("%w: token_use", errToken)
	case c.IssuedAt == nil || c.AuthTime == nil || c.ExpiresAt == nil:
		return fmt.Errorf("%w: a time is missing", errToken)
	case len(c.Audience) != 1:
		return fmt.Errorf("%w: several audiences", errToken)
	case c.Subject == "" || c.Provider == "" || len(c.Session) != idSize || len(c.Login) != idSize:
		return fmt.Errorf("%w: subject, provider, sid or lid", errToken)
	case c.ExpiresAt.Sub(c.IssuedAt.Time) > s.access:
		// Made when tokens lived longer, or made up: shortening "access" counts at once.
		return fmt.Errorf("%w: it would live too long", errTokenExpired)
	}
	if _, err := access.ParseTenantID(c.Tenant); err != nil {
		return fmt.Errorf("%w: tenant", errToken)
	}
	return nil
}

// sessionToken makes the token of a session, good until expires.
func (s *Sessions) sessionToken(r Record, now, expires time.Time, keys *keyring) (string, error) {
	l := r.Login
	c := claims{
		RegisteredClaims: jwt.RegisteredClaims{
			Issuer: s.issuer, Subject: l.Subject, Audience: jwt.ClaimStrings{r.Site},
			IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(expires),
		},
		Use: useSession, Tenant: l.Tenant.String(), Email: l.Email, Name: l.Name, Roles: l.Roles, Groups: l.Groups,
		Session: r.ID, Login: r.LoginID, AMR: l.AMR, AuthTime: jwt.NewNumericDate(l.AuthTime), Provider: l.Provider,
	}
	token, err := keys.sign(useSession, c, now)
	if err != nil || len(token) <= maxSessionToken {
		return token, err
	}
	// Leaving groups out without a word could open a door that a group shuts.
	c.Name, c.Roles, c.Groups, c.AMR, c.Stored = "", nil, nil, nil, true
	token, err = keys.sign(useSession, c, now)
	if err == nil && len(token) > maxSessionToken {
		return "", fmt.Errorf("the session token has %d bytes, more than %d", len(token), maxSessionToken)
	}
	return token, err
}

// identity is what a token without a record says.
func (c *claims) identity() *access.Identity {
	tenant, err := access.ParseTenantID(c.Tenant)
	if err != nil {
		tenant = access.TenantID{} // verify has refused it already
	}
	return &access.Identity{
		Subject: c.Subject, Email: c.Email, Name: c.Name, Roles: c.Roles, Groups: c.Groups,
		Tenant: tenant, Provider: c.Provider, SessionID: c.Session, LoginID: c.Login,
		AuthTime: c.AuthTime.Time, AMR: c.AMR, Expires: c.ExpiresAt.Time,
	}
}
