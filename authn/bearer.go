package authn

import (
	"net/http"
	"strings"
)

// bearer is the credential found in a request's Authorization header.
type bearer struct {
	token string
	found bool // some Authorization of the scheme Bearer was there
	// ambiguous says that Authorization stood there more than once.
	ambiguous bool
}

// readBearer reads Authorization: Bearer (RFC 6750, section 2.1), the only place for a
// token besides our cookies: one in a query or form would end in logs and Referers.
// Other schemes are not ours, and are left to the rules about protected headers.
func readBearer(h http.Header) bearer {
	var b bearer
	values := h["Authorization"]
	for _, v := range values {
		v = strings.Trim(v, " \t")
		end := strings.IndexAny(v, " \t")
		if end < 0 {
			end = len(v)
		}
		if strings.EqualFold(v[:end], "Bearer") {
			b.found, b.token = true, strings.Trim(v[end:], " ") // a tab is left in, and refused
		}
	}
	b.ambiguous = b.found && len(values) > 1
	return b
}
