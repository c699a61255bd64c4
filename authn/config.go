package authn

import (
	"fmt"
	"time"

	"github.com/sallyport/sallyport/units"
)

// The spans that the file may leave out, and their bounds.
const (
	DefaultAccess  = time.Hour
	DefaultRefresh = 7 * 24 * time.Hour

	minAccess  = time.Minute
	maxAccess  = 24 * time.Hour
	maxRefresh = 90 * 24 * time.Hour
)

// Config is this package's part of the "authn" key; the ways of logging in add theirs.
type Config struct {
	Session SessionConfig `yaml:"session" doc:"How long a login lasts."`
}

// SessionConfig says how long a login lasts.
type SessionConfig struct {
	Access  units.Span `yaml:"access" doc:"How long a session token is good before it is renewed in passing; then it is asked whether the tenant and the provider are still in the file. 1m to 24h, default 1h."`
	Refresh units.Span `yaml:"refresh" doc:"How long after the login a session ends for good, however busy it is; a change of somebody's roles at the identity provider is seen at the next login, so after this time at the latest. At least access, at most 90d, default 168h."`
}

// WithDefaults fills in what the file left out.
func (c Config) WithDefaults() Config {
	if c.Session.Access == 0 {
		c.Session.Access = units.Span(DefaultAccess)
	}
	if c.Session.Refresh == 0 {
		c.Session.Refresh = units.Span(DefaultRefresh)
	}
	return c
}

// Check reports every problem and warning. Paths are relative to the "authn" key.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	c = c.WithDefaults()
	access, refresh := c.Session.Access.Duration(), c.Session.Refresh.Duration()
	switch {
	case access < minAccess || access > maxAccess:
		problem("session.access", fmt.Sprintf("%s is not between 1m and 24h", c.Session.Access), "1h is the default")
	case access > DefaultAccess:
		warn("session.access", fmt.Sprintf("a tenant or provider that is taken out of the file works on for up to %s", c.Session.Access), "1h or less")
	}
	switch {
	case refresh > maxRefresh:
		problem("session.refresh", fmt.Sprintf("%s is more than 90d", c.Session.Refresh), "168h is the default")
	case refresh < access:
		problem("session.refresh", "the session would end before its first token does", "make refresh at least as long as access")
	case refresh > DefaultRefresh:
		warn("session.refresh", fmt.Sprintf("a stolen browser stays logged in for up to %s", c.Session.Refresh), "168h or less")
	}
}
