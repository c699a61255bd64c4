package access

import (
	"sync/atomic"
	"time"
)

// Identity is who asks, as proved by a login. Only authn makes one (archtest).
// It is shared by all requests of a session and must not be changed once made.
type Identity struct {
	// Subject is the user's stable id within the tenant; it becomes X-User-ID.
	Subject string
	Email   string
	Name    string
	// Roles are the names that policy knows: owner, admin, member, viewer, custom.
	Roles []string
	// Groups are the identity provider's groups, before any mapping.
	Groups []string
	// Tenant is the tenant the login proved. Never zero on App and Console.
	Tenant TenantID
	// Provider is the name of the identity provider that vouched.
	Provider string
	// SessionID names this site's session; LoginID is shared by all sessions of one
	// login, and a logout ends them all.
	SessionID string
	LoginID   string
	// AuthTime is when the user last proved who they are; AMR how (RFC 8176).
	AuthTime time.Time
	AMR      []string
	// Expires is when this proof ends, to be renewed or refused.
	Expires time.Time

	// Memo is a slot in which policy keeps what it has derived for this session.
	// Its content is opaque to everyone else.
	Memo atomic.Value
}

// HasRole says whether the identity carries the role by that exact name.
func (id *Identity) HasRole(role string) bool {
	if id == nil {
		return false
	}
	for _, r := range id.Roles {
		if r == role {
			return true
		}
	}
	return false
}
