package authn

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
)

// Login is what a way of logging in has proved about a user.
type Login struct {
	Tenant   access.TenantID
	Subject  string // stable within the tenant; 1 to 255 bytes
	Email    string // at most 320 bytes (RFC 3696, erratum 1690 says 254; longer is seen)
	Name     string // for people; cut to 256 bytes
	Roles    []string
	Groups   []string
	Provider string // the identity provider's name in the configuration
	// ProviderSession is the session's id at the identity provider ("sid"), if it told:
	// logins that share it end together. May be "".
	ProviderSession string
	AuthTime        time.Time // zero means now
	AMR             []string  // how (RFC 8176)
	// IDToken is kept, sealed, as the hint for a logout at the provider. May be empty;
	// one of more than 16 KiB is not kept.
	IDToken secret.String
}

const (
	maxSubject  = 255
	maxEmail    = 320
	maxName     = 256
	maxRoles    = 64
	maxGroups   = 1024
	maxListItem = 256
	maxIDToken  = 16 << 10
)

// admissible returns the login as it may be stored, or why it may not. Subject, email
// and roles become headers of the backend's request, so nothing passes that a header
// could not hold or that a comma-joined list would read in two ways.
func (l Login) admissible(now time.Time) (Login, error) {
	if l.Tenant.IsZero() {
		return Login{}, fmt.Errorf("the login has no tenant")
	}
	if l.Subject == "" || l.Provider == "" {
		return Login{}, fmt.Errorf("the login has no subject or no provider")
	}
	for _, f := range []struct {
		name, value string
		max         int
	}{{"subject", l.Subject, maxSubject}, {"email", l.Email, maxEmail}, {"provider", l.Provider, maxListItem}, {"provider session", l.ProviderSession, maxListItem}} {
		if len(f.value) > f.max || !printable(f.value) || strings.TrimSpace(f.value) != f.value {
			return Login{}, fmt.Errorf("the login's %s is longer than %d bytes, or not plain text", f.name, f.max)
		}
	}
	for _, f := range []struct {
		name   string
		values []string
		max    int
	}{{"roles", l.Roles, maxRoles}, {"groups", l.Groups, maxGroups}, {"amr", l.AMR, maxRoles}} {
		if len(f.values) > f.max {
			return Login{}, fmt.Errorf("the login has %d %s, more than %d", len(f.values), f.name, f.max)
		}
		for _, v := range f.values {
			if v == "" || len(v) > maxListItem || !printable(v) {
				return Login{}, fmt.Errorf("one of the login's %s is empty, longer than %d bytes, or not plain text", f.name, maxListItem)
			}
		}
	}
	for _, role := range l.Roles {
		if strings.ContainsAny(role, ", \t;\"") {
			return Login{}, fmt.Errorf("a role's name has a comma, blank, semicolon or quote")
		}
	}
	l.Name = displayName(l.Name)
	if l.AuthTime.IsZero() || l.AuthTime.After(now) {
		l.AuthTime = now
	}
	if len(l.IDToken.Reveal()) > maxIDToken {
		l.IDToken = secret.String{}
	}
	return l, nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && strings.IndexFunc(s, unicode.IsControl) < 0
}

// displayName keeps what a page may show of a name: a person is not turned away for it.
func displayName(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r == utf8.RuneError || !unicode.IsGraphic(r) {
			return -1
		}
		return r
	}, s))
	for len(s) > maxName {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return s
}

// identity is the login as the corridor knows it.
func (r Record) identity(expires time.Time) *access.Identity {
	l := r.Login
	return &access.Identity{
		Subject: l.Subject, Email: l.Email, Name: l.Name, Roles: l.Roles, Groups: l.Groups,
		Tenant: l.Tenant, Provider: l.Provider, SessionID: r.ID, LoginID: r.LoginID,
		AuthTime: l.AuthTime, AMR: l.AMR, Expires: expires,
	}
}
