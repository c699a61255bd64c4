package web

import (
	"fmt"
	"time"
)

// SecurityTxt is the content of /.well-known/security.txt (RFC 9116), to be served as
// text/plain; charset=utf-8. The contact is a mailto: or https: URI. The RFC (section 2.5.5)
// wants an expiry less than a year away.
func SecurityTxt(contact string, expires time.Time) ([]byte, error) {
	if !validContact(contact) {
		return nil, fmt.Errorf("security.txt: the contact is neither a mailto: nor an https: URI")
	}
	if expires.IsZero() {
		return nil, fmt.Errorf("security.txt: no expiry")
	}
	return fmt.Appendf(nil, "Contact: %s\nExpires: %s\nPreferred-Languages: en\n", contact, expires.UTC().Format(time.RFC3339)), nil
}
