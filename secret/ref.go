package secret

import (
	"fmt"
	"io"
	"os"
	"strings"
)

// MaxSize bounds a secret read from a file, in bytes.
const MaxSize = 64 << 10

// Ref says where a secret is kept: "env:NAME" or "file:/absolute/path". A secret
// never stands in the configuration itself, so anything else is refused.
type Ref struct{ kind, name string }

// ParseRef parses "env:NAME" or "file:/absolute/path"; the empty text is no secret.
func ParseRef(text string) (Ref, error) {
	if text == "" {
		return Ref{}, nil
	}
	kind, name, _ := strings.Cut(text, ":")
	switch {
	case kind == "env" && name != "" && !strings.ContainsAny(name, "= \x00"):
	case kind == "file" && strings.HasPrefix(name, "/"):
	default:
		// The text is not repeated: it may be the secret itself.
		return Ref{}, fmt.Errorf(`not a reference to a secret: want "env:NAME" or "file:/absolute/path", not the secret itself`)
	}
	return Ref{kind, name}, nil
}

// IsZero says that no secret is referred to.
func (r Ref) IsZero() bool { return r.kind == "" }

// File is the path of a "file:" reference, or "".
func (r Ref) File() string {
	if r.kind == "file" {
		return r.name
	}
	return ""
}

// String is the reference, which is not secret.
func (r Ref) String() string {
	if r.IsZero() {
		return ""
	}
	return r.kind + ":" + r.name
}

// MarshalText implements encoding.TextMarshaler.
func (r Ref) MarshalText() ([]byte, error) { return []byte(r.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler by ParseRef.
func (r *Ref) UnmarshalText(b []byte) error {
	ref, err := ParseRef(string(b))
	if err != nil {
		return err
	}
	*r = ref
	return nil
}

// Resolve fetches the secret. One trailing newline of a file is dropped. An empty
// secret is an error, for an empty secret protects nothing.
func (r Ref) Resolve() (String, error) {
	var text string
	switch r.kind {
	case "env":
		text = os.Getenv(r.name)
	case "file":
		f, err := os.Open(r.name)
		if err != nil {
			return String{}, fmt.Errorf("read secret: %w", err)
		}
		defer f.Close()
		b, err := io.ReadAll(io.LimitReader(f, MaxSize+1))
		if err != nil {
			return String{}, fmt.Errorf("read secret %s: %w", r, err)
		}
		if len(b) > MaxSize {
			return String{}, fmt.Errorf("secret %s is larger than %d bytes", r, MaxSize)
		}
		text = strings.TrimSuffix(strings.TrimSuffix(string(b), "\n"), "\r")
	default:
		return String{}, fmt.Errorf("no secret is referred to")
	}
	if text == "" {
		return String{}, fmt.Errorf("secret %s is empty", r)
	}
	return New(text), nil
}
