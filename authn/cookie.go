package authn

import (
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/access"
)

// CookiePrefix begins the name of every cookie by which somebody proves something to
// us. No backend ever sees a cookie of such a name. The __Host- in it makes browsers
// refuse the cookie from a subdomain, from plain HTTP and with a Domain (RFC 6265bis,
// section 4.1.3.2), which is what stops cookie tossing.
const CookiePrefix = "__Host-sallyport-"

const (
	sessionCookie = CookiePrefix + "session"
	refreshCookie = CookiePrefix + "refresh"
)

// cookies are the credentials found in a request's Cookie headers.
type cookies struct {
	session, refresh string
	// found says that one of our names was there, be it empty.
	found bool
	// repeated says that one of our names was there twice: one of the two is an
	// attacker's, and nobody can tell which.
	repeated bool
}

// readCookies looks at the raw headers. net/http's own parser drops what it does not
// like in silence; here a malformed cookie of ours must be seen to be refused.
func readCookies(h http.Header) cookies {
	var c cookies
	var seenSession, seenRefresh bool
	for _, line := range h["Cookie"] {
		for segment := range strings.SplitSeq(line, ";") {
			name, value, _ := strings.Cut(strings.Trim(segment, " \t"), "=")
			switch strings.TrimRight(name, " \t") {
			case sessionCookie:
				c.session, c.repeated, seenSession = value, c.repeated || seenSession, true
			case refreshCookie:
				c.refresh, c.repeated, seenRefresh = value, c.repeated || seenRefresh, true
			}
		}
	}
	c.found = seenSession || seenRefresh
	return c
}

// StripCookies removes our cookies, in any spelling of the prefix's case, from the
// Cookie headers. What remains is byte for byte what the client sent.
func StripCookies(h http.Header) {
	lines := h["Cookie"]
	if !slices.ContainsFunc(lines, mentionsOurs) {
		return
	}
	kept := make([]string, 0, len(lines))
	for _, line := range lines {
		if !mentionsOurs(line) {
			kept = append(kept, line)
			continue
		}
		var rest strings.Builder
		for segment := range strings.SplitSeq(line, ";") {
			if ours(segment) {
				continue
			}
			if rest.Len() == 0 {
				segment = strings.TrimLeft(segment, " \t")
			} else {
				rest.WriteByte(';')
			}
			rest.WriteString(segment)
		}
		if rest.Len() > 0 {
			kept = append(kept, rest.String())
		}
	}
	if len(kept) == 0 {
		delete(h, "Cookie")
		return
	}
	h["Cookie"] = kept
}

func mentionsOurs(line string) bool {
	for segment := range strings.SplitSeq(line, ";") {
		if ours(segment) {
			return true
		}
	}
	return false
}

func ours(segment string) bool {
	segment = strings.TrimLeft(segment, " \t")
	return len(segment) >= len(CookiePrefix) && strings.EqualFold(segment[:len(CookiePrefix)], CookiePrefix)
}

// newCookie makes a cookie of ours; life below a second deletes it.
func newCookie(name, value string, life time.Duration) *http.Cookie {
	age := int(life / time.Second)
	if age < 1 {
		age = -1 // Max-Age=0
	}
	return &http.Cookie{
		Name: name, Value: value, Path: "/", MaxAge: age,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteLaxMode,
	}
}

// setCookies puts cookies on the answer, in place of earlier ones of the same names:
// a browser's reading of two Set-Cookie for one name is nothing to rely on.
func setCookies(ex *access.Exchange, set ...*http.Cookie) {
	for _, c := range set {
		ex.SetCookies = slices.DeleteFunc(ex.SetCookies, func(old *http.Cookie) bool { return old.Name == c.Name })
		ex.SetCookies = append(ex.SetCookies, c)
	}
}

func clearCookies(ex *access.Exchange) {
	setCookies(ex, newCookie(sessionCookie, "", 0), newCookie(refreshCookie, "", 0))
}
