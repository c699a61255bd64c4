package proxy

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"strings"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// A backend cookie taken under one user would go on acting as that user under another, or
// after a logout. So each is bound to the gateway session under which it was set:
//
//	HttpOnly            the browser gets it encrypted (sealed); only this session's requests open it
//	read by scripts     the browser gets it as it is, and a companion cookie that proves its session
//	too big once sealed it stays in the Jar; the browser gets a sealed ticket
//	listed in the file  passes as it is: set by the application's own scripts, or from before the login
//
// Everything else that a browser presents is dropped. On Public paths nothing passes at all.

const (
	sealedMark      = "sp1." // begins a sealed value
	ticketMark      = "sp2." // begins a sealed ticket to the jar
	companionPrefix = "sp-mac-"
	// maxSealed is the longest value a browser is given; browsers keep 4,096 bytes of name, value
	// and attributes (RFC 6265, section 6.1).
	maxSealed = 3584
	// maxCookies bounds the cookies of one request or answer; the rest are dropped.
	maxCookies = 200
)

// backendCookies binds one site's cookies to sessions.
type backendCookies struct {
	site    string
	passing map[string]bool // listed: they pass as they are
	taken   map[string]bool // of the backend session that we hold: they never pass
	seal    Sealer
	jar     *Jar
	now     func() time.Time
	dropped observe.Counter
}

func newBackendCookies(s *site, auth *upstreamAuth, r Rooms) *backendCookies {
	c := &backendCookies{site: s.Name, passing: map[string]bool{}, seal: r.Seal, jar: r.Jar, now: time.Now,
		dropped: r.Meter.Counter("sallyport_backend_cookies_dropped_total",
			"Cookies that were not passed to the application, by cause.", "site", "cause")}
	for _, name := range s.cfg.Cookies.Script {
		c.passing[name] = true
	}
	for _, name := range s.cfg.Cookies.Prelogin {
		c.passing[name] = true
	}
	if auth != nil && auth.login != nil {
		c.taken = auth.login.taken
	}
	return c
}

// ownCookie says whether a name is one of the gateway's own cookies.
func ownCookie(name string) bool {
	return hasPrefixFold(name, "__Host-sallyport") || hasPrefixFold(name, companionPrefix)
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

// bind joins texts so that no two lists give the same result.
func bind(parts ...string) string {
	var b []byte
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p)))
		b = append(b, p...)
	}
	return string(b)
}

// holder is the session that a cookie is bound to. It lasts as long as the session does: renewals
// of the session token do not change it.
func (c *backendCookies) holder(id *access.Identity) (string, bool) {
	if id == nil || id.SessionID == "" {
		return "", false
	}
	return bind(c.site, id.Tenant.String(), id.Subject, id.SessionID), true
}

// pair is one cookie as a browser presents it.
type pair struct{ name, value string }

// toBackend gives the Cookie header that the backend may see, in the browser's order;
// "" for none. Values arrive byte for byte as the backend had set them.
func (c *backendCookies) toBackend(ex *access.Exchange) string {
	lines := ex.Request.Header["Cookie"]
	if len(lines) == 0 || ex.Route.Class != access.App {
		return ""
	}
	holder, ok := c.holder(ex.Identity)
	pairs := readCookies(lines)
	var out strings.Builder
	for _, p := range pairs {
		value, cause := p.value, ""
		switch {
		case ownCookie(p.name):
			continue
		case c.taken[p.name]:
			cause = "held_by_gateway"
		case c.passing[p.name]:
		case !ok:
			cause = "no_session"
		default:
			value, cause = c.open(ex, holder, p, pairs)
		}
		if cause != "" {
			c.dropped.Add(1, c.site, cause)
			continue
		}
		if out.Len() > 0 {
			out.WriteString("; ")
		}
		out.WriteString(p.name)
		out.WriteByte('=')
		out.WriteString(value)
	}
	return out.String()
}

// open gives a bound cookie's own value, or why there is none.
func (c *backendCookies) open(ex *access.Exchange, holder string, p pair, all []pair) (value, cause string) {
	if c.vouched(holder, p, all) {
		return p.value, ""
	}
	mark, box, _ := strings.Cut(p.value, ".")
	switch mark + "." {
	case sealedMark:
		if plain, ok := c.unseal(box, bind("cookie", holder, p.name)); ok {
			return plain, ""
		}
	case ticketMark:
		if id, ok := c.unseal(box, bind("ticket", holder, p.name)); ok {
			if plain, ok := c.jar.find(ex.Identity.LoginID, id); ok {
				return plain, ""
			}
			return "", "forgotten"
		}
	default:
		return "", "unbound"
	}
	return "", "other_session"
}

// vouched says whether a companion proves that the cookie was set in this session.
func (c *backendCookies) vouched(holder string, p pair, all []pair) bool {
	for _, companion := range all {
		if companion.name == companionPrefix+p.name {
			if _, ok := c.unseal(companion.value, bind("companion", holder, p.name, digest(p.value))); ok {
				return true
			}
		}
	}
	return false
}

func (c *backendCookies) unseal(text, aad string) (string, bool) {
	box, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return "", false
	}
	plain, err := c.seal.Open(box, aad)
	return string(plain), err == nil
}

func (c *backendCookies) sealed(plain, aad string) string {
	return base64.RawURLEncoding.EncodeToString(c.seal.Seal([]byte(plain), aad))
}

func digest(value string) string {
	sum := sha256.Sum256([]byte(value))
	return string(sum[:])
}

// readCookies splits Cookie headers into pairs as they stand (RFC 6265, section 5.4). Pairs
// without '=' or with control characters are left out.
func readCookies(lines []string) []pair {
	var pairs []pair
	for _, line := range lines {
		for part := range strings.SplitSeq(line, ";") {
			name, value, ok := strings.Cut(strings.Trim(part, " \t"), "=")
			name, value = strings.Trim(name, " \t"), strings.Trim(value, " \t")
			if !ok || name == "" || !printable(name) || !printable(value) {
				continue
			}
			if len(pairs) == maxCookies {
				return pairs
			}
			pairs = append(pairs, pair{name, value})
		}
	}
	return pairs
}

// toBrowser turns the backend's Set-Cookie lines into those that the browser gets. What
// cannot be bound to a session is not set.
func (c *backendCookies) toBrowser(g *passage, lines []string) []string {
	ex := g.ex
	if len(lines) == 0 || ex.Route.Class != access.App {
		return nil
	}
	holder, bound := c.holder(ex.Identity)
	var out []string
	for _, line := range lines[:min(len(lines), maxCookies)] {
		set, ok := parseSetCookie(line, c.now())
		switch {
		case !ok || ownCookie(set.name):
			c.dropped.Add(1, c.site, "refused_name")
		case c.taken[set.name]:
			g.sessionCookie(set)
		case c.passing[set.name]:
			out = append(out, set.String())
		case !bound:
			c.dropped.Add(1, c.site, "no_session")
		default:
			out = append(out, c.bound(ex, holder, set)...)
		}
	}
	return out
}

// bound gives the lines for one cookie, bound to the session.
func (c *backendCookies) bound(ex *access.Exchange, holder string, set setCookie) []string {
	companion := set
	companion.name, companion.httpOnly = companionPrefix+set.name, true
	switch {
	case set.deleted:
		// A deletion may lack the HttpOnly that the cookie had, so it takes the companion along.
		set.value, companion.value = "", ""
		return []string{set.String(), companion.String()}
	case !set.httpOnly:
		companion.value = c.sealed("", bind("companion", holder, set.name, digest(set.value)))
		return []string{set.String(), companion.String()}
	}
	plain := set.value
	set.value = sealedMark + c.sealed(plain, bind("cookie", holder, set.name))
	if len(set.value) > maxSealed {
		id := c.jar.keep(ex.Identity.LoginID, plain)
		if id == "" {
			c.dropped.Add(1, c.site, "too_big")
			return nil
		}
		set.value = ticketMark + c.sealed(id, bind("ticket", holder, set.name))
	}
	return []string{set.String()}
}
