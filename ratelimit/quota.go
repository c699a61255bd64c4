package ratelimit

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/access"
)

// Quota bounds how often a user, and all users of a tenant together, may call. Users
// are counted per tenant and route class: what the console does is no burden on the
// application. The zero Quota refuses everybody.
type Quota struct {
	limits atomic.Pointer[quotaLimits]
	local  *Local
	shared *shared // nil: there is one instance
}

type quotaLimits struct {
	user, tenant limits
	timeout      time.Duration
}

// NewQuota makes a Quota that has seen nobody. With deps.Shared nil it counts on this
// instance alone.
func NewQuota(cfg Config, deps Deps) *Quota {
	deps = deps.withDefaults()
	q := &Quota{local: NewLocal(deps.Now)}
	if deps.Shared != nil {
		q.shared = newShared(deps)
	}
	q.Configure(cfg)
	return q
}

// Configure changes the limits. What users and tenants have used up stays used up.
func (q *Quota) Configure(cfg Config) {
	cfg = cfg.WithDefaults()
	q.limits.Store(&quotaLimits{
		user:    limitsOf(cfg.PerUser, cfg.UserBurst),
		tenant:  limitsOf(cfg.PerTenant, cfg.TenantBurst),
		timeout: min(max(cfg.SharedTimeout, minSharedTimeout), maxSharedTimeout).Duration(),
	})
}

// Take counts one request for its user and its tenant, or for neither when one of them
// calls too often: then ok is false and retryAfter says when to try again. A request
// without an identity, tenant or subject is refused with a retryAfter of 0.
//
// While the shared store does not answer, this instance counts alone, from full
// buckets: losing it is not an outage, and n instances allow at most n times the limit.
func (q *Quota) Take(ctx context.Context, ex *access.Exchange) (retryAfter time.Duration, ok bool) {
	l := q.limits.Load()
	if l == nil || ex.Identity == nil || ex.Identity.Tenant.IsZero() || ex.Identity.Subject == "" {
		return 0, false // closed: nobody knows whom to count
	}
	user := Key{Tenant: ex.Identity.Tenant, User: ex.Identity.Subject, Class: ex.Route.Class}
	tenant := Key{Tenant: ex.Identity.Tenant, Class: ex.Route.Class}
	// The user first: a user who calls too often takes nothing from the tenant.
	buckets := [...]Bucket{
		{Key: user, Rate: l.user.rate, Burst: l.user.burst},
		{Key: tenant, Rate: l.tenant.rate, Burst: l.tenant.burst},
	}
	if q.shared != nil {
		if wait, ok, answered := q.shared.take(ctx, buckets, l.timeout); answered {
			return wait, ok
		}
	}
	return q.local.take(buckets[:])
}
