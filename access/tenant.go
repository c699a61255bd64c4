package access

import (
	"errors"
	"fmt"
)

// TenantID names a tenant. The zero value is no tenant at all. There is one parser,
// because the id becomes a header, a path element and a key in every store.
type TenantID struct{ id string }

// ErrTenantID is wrapped by every error of ParseTenantID.
var ErrTenantID = errors.New("not a tenant id")

// MaxTenantID is the longest tenant id, in bytes.
const MaxTenantID = 63

// ParseTenantID accepts 1 to 63 characters of a-z, 0-9, '-' and '_', the first of
// them a letter or digit: nothing that a header, path, SQL statement, file name or
// cookie could read in two ways, and one case only.
func ParseTenantID(s string) (TenantID, error) {
	if s == "" || len(s) > MaxTenantID {
		return TenantID{}, fmt.Errorf("%w: %d characters, want 1 to %d", ErrTenantID, len(s), MaxTenantID)
	}
	for i := range len(s) {
		c := s[i]
		letter := 'a' <= c && c <= 'z' || '0' <= c && c <= '9'
		if !letter && (i == 0 || c != '-' && c != '_') {
			return TenantID{}, fmt.Errorf("%w: character %d is %q, want a-z, 0-9, '-' or '_', a letter or digit first", ErrTenantID, i+1, c)
		}
	}
	return TenantID{id: s}, nil
}

// String is the id as parsed, or "" for no tenant.
func (t TenantID) String() string { return t.id }

// IsZero says that there is no tenant.
func (t TenantID) IsZero() bool { return t.id == "" }

// MarshalText implements encoding.TextMarshaler; no tenant is the empty text.
func (t TenantID) MarshalText() ([]byte, error) { return []byte(t.id), nil }

// UnmarshalText implements encoding.TextUnmarshaler by ParseTenantID.
func (t *TenantID) UnmarshalText(b []byte) error {
	id, err := ParseTenantID(string(b))
	if err != nil {
		return err
	}
	*t = id
	return nil
}
