package secret

import (
	"crypto/sha256"
	"crypto/subtle"
	"log/slog"
)

const hidden = "[secret]"

// String is a secret text. However it is printed, logged or marshalled, it shows as
// "[secret]"; Reveal is the only way to its content, so that a reviewer can find
// every place that uses one.
type String struct{ text string }

// New wraps a secret text.
func New(text string) String { return String{text} }

// Reveal gives the content.
func (s String) Reveal() string { return s.text }

// IsZero says that there is no secret.
func (s String) IsZero() bool { return s.text == "" }

// Equal compares in constant time, whatever the lengths. An empty secret equals nothing,
// not even another empty one: an unset secret must not open a door.
func (s String) Equal(other string) bool {
	a, b := sha256.Sum256([]byte(s.text)), sha256.Sum256([]byte(other))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1 && s.text != ""
}

// String hides the content from fmt.
func (s String) String() string { return hidden }

// GoString hides the content from %#v.
func (s String) GoString() string { return hidden }

// LogValue hides the content from slog.
func (s String) LogValue() slog.Value { return slog.StringValue(hidden) }

// MarshalText hides the content from JSON, YAML and the like.
func (s String) MarshalText() ([]byte, error) { return []byte(hidden), nil }
