package authn

import (
	"context"
	"errors"
	"time"

	"github.com/sallyport/sallyport/access"
)

// The errors by which a Store says that a session is over. Any other error means that
// the store could not answer, and is a 503.
var (
	// ErrNoSession: there is no such session, or it has run out or was ended.
	ErrNoSession = errors.New("no such session")
	// ErrReused: a refresh token older than the predecessor was presented. The session
	// has been ended by the time this is returned, with its Record beside the error.
	ErrReused = errors.New("an old refresh token was presented again")
)

// Record is one session as it is kept. Its Login is sealed at rest.
type Record struct {
	ID      string // names the session
	LoginID string // names the login; several sessions may share it
	Site    string // the audience
	// Generation counts the refresh tokens that were issued: the live one's number.
	Generation int64
	Created    time.Time
	Expires    time.Time // the end for good
	Login      Login
}

// Rotation asks for the successor of a refresh token.
type Rotation struct {
	ID         string
	Site       string
	Generation int64 // of the token presented
	Now        time.Time
}

// Store keeps sessions. Every method may be called concurrently.
type Store interface {
	// Create stores a new session of generation 0.
	Create(ctx context.Context, tenant access.TenantID, r Record) error
	// Rotate presents a refresh token. If it is the live one, the next generation
	// becomes live, by one atomic update; if it is the one before, nothing changes.
	// Either way the Record has the live generation. Anything older ends the session.
	// Errors: ErrNoSession, ErrReused.
	Rotate(ctx context.Context, tenant access.TenantID, r Rotation) (Record, error)
	// Find gives a session that has neither run out nor been ended, or ErrNoSession.
	Find(ctx context.Context, tenant access.TenantID, id string, now time.Time) (Record, error)
}

// Ended is a session that was ended before its time.
type Ended struct {
	SessionID string
	LoginID   string
	At        time.Time
}

// Scope says which sessions of a tenant to end. Exactly one field is set.
type Scope struct {
	Session string // this session alone
	// Login is the id of a session: its whole login ends, on every site, and with it
	// the sessions that came from the same session at the identity provider.
	Login   string
	Subject string // every session of this user
}

// Revocations ends sessions and tells which have been ended.
type Revocations interface {
	// Revoke ends the sessions of a scope, and tells which were alive until then.
	Revoke(ctx context.Context, tenant access.TenantID, scope Scope, at time.Time) ([]Ended, error)
	// Ended lists the sessions of all tenants that were ended at since or later: every
	// instance must know them all.
	Ended(ctx context.Context, since time.Time) ([]Ended, error)
	// Prune forgets the sessions of all tenants that expired before a time.
	Prune(ctx context.Context, before time.Time) error
}

// Key is one signing key.
type Key struct {
	ID          string // the "kid"
	Environment string
	Purpose     string
	Generation  int64 // 1, 2, …: one of each per environment and purpose
	Created     time.Time
	ActiveFrom  time.Time // signs from then on, until its successor does
	Seed        []byte    // of an Ed25519 private key (RFC 8032); sealed at rest
}

// KeyStore keeps the signing keys, which belong to no tenant.
type KeyStore interface {
	// Keys lists an environment's keys.
	Keys(ctx context.Context, environment string) ([]Key, error)
	// AddKey stores a key unless its generation is there already, which is no error:
	// another instance was faster.
	AddKey(ctx context.Context, k Key) error
	// DropKey forgets a key that nothing is verified with any more.
	DropKey(ctx context.Context, environment, id string) error
}
