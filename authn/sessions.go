package authn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/secret"
)

// Deps are what Sessions needs. All are required but the ones that say otherwise.
type Deps struct {
	Config Config
	// Environment is bound into issuer, keys and refresh tokens: another
	// environment's are refused.
	Environment string
	MasterKey   *secret.MasterKey
	Store       Store
	Ends        Revocations
	Keys        KeyStore
	// Admit is asked at each login and each renewal whether the login may still be:
	// its tenant and its provider exist, the user is not disabled. An *access.Refusal
	// ends the session; any other error is a 503.
	Admit func(ctx context.Context, l Login) error
	// Reused is told that an old refresh token was presented, and that its session
	// was ended for it; for the audit log. It gets the session's identity, since the
	// request has none. May be nil.
	Reused func(ex *access.Exchange, id *access.Identity)
	Log    *slog.Logger
	Meter  observe.Meter
	Health observe.Health
	Now    func() time.Time // nil is time.Now
}

// Sessions is the authenticate gate with all that it remembers. It belongs to the
// Runtime: one for the life of the process. It is safe for concurrent use.
type Sessions struct {
	issuer, environment string
	access, refresh     time.Duration
	mac                 refreshMAC
	store               Store
	ends                Revocations
	keyStore            KeyStore
	admit               func(context.Context, Login) error
	reused              func(*access.Exchange, *access.Identity)
	log                 *slog.Logger
	health              observe.Health
	now                 func() time.Time

	keys       atomic.Pointer[keyring]
	revoked    revocations
	tokens     *tokenCache
	assertions *assertionCache
	renewing   flights
	calls      chan struct{}

	// What Sync alone touches, under its lock.
	syncing                     sync.Mutex
	keysRead, wholeRead, pruned time.Time

	requests, renewals, lookups observe.Counter
}

// New makes Sessions and starts nothing. Until Sync or Run has had its first look at
// the database, everybody is refused with 503.
func New(d Deps) (*Sessions, error) {
	switch {
	case d.Environment == "":
		return nil, errors.New("authn: an environment is needed: it is bound into every token")
	case d.MasterKey == nil || d.Store == nil || d.Ends == nil || d.Keys == nil || d.Admit == nil:
		return nil, errors.New("authn: master key, stores and Admit are needed: without one of them a door would stay open")
	case d.Log == nil || d.Meter == nil || d.Health == nil:
		return nil, errors.New("authn: log, meter and health are needed")
	}
	var problems []error
	d.Config.Check(func(path, what, _ string) { problems = append(problems, fmt.Errorf("%s: %s", path, what)) }, func(string, string, string) {})
	if len(problems) > 0 {
		return nil, fmt.Errorf("authn: %w", errors.Join(problems...))
	}
	if d.Now == nil {
		d.Now = time.Now
	}
	if d.Reused == nil {
		d.Reused = func(*access.Exchange, *access.Identity) {}
	}
	cfg := d.Config.WithDefaults()
	s := &Sessions{
		issuer: issuer(d.Environment), environment: d.Environment,
		access: cfg.Session.Access.Duration(), refresh: cfg.Session.Refresh.Duration(),
		mac:   refreshMAC{key: d.MasterKey.Derive("authn/refresh"), environment: d.Environment},
		store: d.Store, ends: d.Ends, keyStore: d.Keys, admit: d.Admit, reused: d.Reused,
		log: d.Log, health: d.Health, now: d.Now,
		revoked:    revocations{ended: map[string]mark{}},
		tokens:     newTokenCache(),
		assertions: newAssertionCache(),
		calls:      make(chan struct{}, storeCalls),
		requests:   d.Meter.Counter("sallyport_authn_requests_total", "Requests at the authenticate gate, by credential and result.", "credential", "result"),
		renewals:   d.Meter.Counter("sallyport_authn_renewals_total", "Refresh tokens presented, by result.", "result"),
		lookups:    d.Meter.Counter("sallyport_authn_token_cache_total", "Session tokens looked up in the cache of verified ones, by result.", "result"),
	}
	return s, nil
}
