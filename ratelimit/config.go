package ratelimit

import (
	"fmt"
	"math"
	"time"

	"golang.org/x/time/rate"

	"github.com/sallyport/sallyport/units"
)

// Config is the key "ratelimit" of the configuration.
type Config struct {
	PerAddress    units.Rate `yaml:"per_address" doc:"How many requests one client address may make (IPv6: one /64), such as 50/s. Default 50/s."`
	AddressBurst  int64      `yaml:"address_burst" doc:"How many requests one client address may make at once, 1 to 1000000. Default four seconds' worth of per_address, at least 10."`
	PerUser       units.Rate `yaml:"per_user" doc:"How many requests one user may make, such as 20/s; pages of the application and of the console are counted apart. Default 20/s."`
	UserBurst     int64      `yaml:"user_burst" doc:"How many requests one user may make at once, 1 to 1000000. Default four seconds' worth of per_user, at least 10."`
	PerTenant     units.Rate `yaml:"per_tenant" doc:"How many requests all users of one tenant may make together, such as 500/s. Default 500/s."`
	TenantBurst   int64      `yaml:"tenant_burst" doc:"How many requests all users of one tenant may make at once, 1 to 1000000. Default four seconds' worth of per_tenant, at least 10."`
	SharedTimeout units.Span `yaml:"shared_timeout" doc:"How long a request waits for the counters shared between instances before this instance counts alone, 1ms to 5s. Default 50ms."`
}

// Bounds of the configuration.
const (
	maxBurst         = 1_000_000
	minSharedTimeout = units.Span(time.Millisecond)
	maxSharedTimeout = units.Span(5 * time.Second)
)

// WithDefaults fills in what the file leaves out.
func (c Config) WithDefaults() Config {
	fill := func(r *units.Rate, burst *int64, perSecond int64) {
		if r.IsZero() {
			*r = units.Rate{Count: perSecond, Per: time.Second}
		}
		if *burst == 0 {
			*burst = int64(math.Min(maxBurst, math.Max(10, math.Ceil(4*r.PerSecond()))))
		}
	}
	fill(&c.PerAddress, &c.AddressBurst, 50)
	fill(&c.PerUser, &c.UserBurst, 20)
	fill(&c.PerTenant, &c.TenantBurst, 500)
	if c.SharedTimeout == 0 {
		c.SharedTimeout = units.Span(50 * time.Millisecond)
	}
	return c
}

// Check reports everything that is wrong or odd. It is pure.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	for _, b := range []struct {
		path string
		n    int64
	}{{"address_burst", c.AddressBurst}, {"user_burst", c.UserBurst}, {"tenant_burst", c.TenantBurst}} {
		if b.n < 0 || b.n > maxBurst {
			problem(b.path, fmt.Sprintf("a burst of %d requests is out of range", b.n), fmt.Sprintf("write 1 to %d, or leave it out", maxBurst))
		}
	}
	for _, r := range []struct {
		path string
		r    units.Rate
	}{{"per_address", c.PerAddress}, {"per_user", c.PerUser}, {"per_tenant", c.PerTenant}} {
		if !r.r.IsZero() && (r.r.Count < 1 || r.r.Per <= 0) {
			problem(r.path, "not a rate of at least one request per unit of time", "write something like 50/s or 600/m")
		}
	}
	if c.SharedTimeout != 0 && (c.SharedTimeout < minSharedTimeout || c.SharedTimeout > maxSharedTimeout) {
		problem("shared_timeout", fmt.Sprintf("%v is out of range", c.SharedTimeout), "write 1ms to 5s; every request may have to wait that long")
	}
	if d := c.WithDefaults(); d.PerUser.PerSecond() > d.PerTenant.PerSecond() {
		warn("per_user", fmt.Sprintf("one user may make more requests (%v) than the whole tenant (%v)", d.PerUser, d.PerTenant),
			"one user could then use up the tenant's share; make per_tenant a multiple of per_user")
	}
}

// limits are what one kind of bucket is refilled with, as x/time/rate wants it.
type limits struct {
	rate  rate.Limit
	burst int
}

// limitsOf bounds what the configuration says, so that a bucket always holds at
// least one token and can always be refilled.
func limitsOf(r units.Rate, burst int64) limits {
	return limits{
		rate:  rate.Limit(math.Max(r.PerSecond(), 1.0/3600)),
		burst: int(min(max(burst, 1), maxBurst)),
	}
}
