package proxy

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// The headers that only we may set. They are stripped twice: by sanitize, before anything
// is decided, and by Rewrite, after everything was. Then each is injected once.

// protectedHeaders names, folded, what clients may never send to a site's backend, beyond
// what universallyProtected knows. Authorization and Cookie are no part of it, whatever
// the file says: the authenticate gate reads them, and Rewrite removes or rebuilds them.
func protectedHeaders(cfg SiteConfig) map[string]bool {
	names := ownHeaders(cfg)
	for _, name := range cfg.Headers.Protect {
		names[access.FoldName(name)] = true
	}
	for _, needed := range []string{"authorization", "cookie", "host", "content-type", "content-length"} {
		delete(names, needed)
	}
	return names
}

// ownHeaders names, folded, the headers that we set towards the backend.
func ownHeaders(cfg SiteConfig) map[string]bool {
	names := map[string]bool{}
	for _, name := range []string{cfg.Tenant.Header, cfg.Headers.UserID, cfg.Headers.Email, cfg.Headers.Roles, cfg.Headers.Assertion} {
		if name != "" {
			names[access.FoldName(name)] = true
		}
	}
	if auth := cfg.UpstreamAuth; auth != nil {
		if header := auth.withDefaults().Header; header != "" {
			names[access.FoldName(header)] = true
		}
		if auth.Login != nil {
			for name := range auth.Login.Header {
				names[access.FoldName(name)] = true
			}
		}
	}
	delete(names, "authorization")
	delete(names, "cookie")
	return names
}

// universallyProtected says whether a folded name is one that backends and proxies believe on
// any site: who calls, from where, under which address, by which method. The names come
// from what real servers read (GHSA-7x63-xv5r-3p2x, CVE-2026-35051, CVE-2016-5385).
func universallyProtected(folded string) bool {
	switch folded {
	case "forwarded", "client-ip", "x-client-ip", "cf-connecting-ip", "cf-connecting-ipv6", "cf-pseudo-ipv4", "true-client-ip",
		"fastly-client-ip", "x-cluster-client-ip", "x-real-ip", "x-request-id", "x-http-method-override", "x-http-method",
		"x-method-override", "x-host", "x-http-host-override", "x-host-override", "x-url-scheme", "x-scheme", "x-proto", "front-end-https",
		"x-client-cert", "ssl-client-cert", "proxy":
		return true
	}
	for _, prefix := range protectedPrefixes {
		if strings.HasPrefix(folded, prefix) {
			return true
		}
	}
	return false
}

// protectedPrefixes begin families of such names. It is never changed.
var protectedPrefixes = [...]string{"x-forwarded", "x-original-", "x-rewrite-", "x-remote-", "remote-", "x-auth-request-", "x-sallyport-",
	"x-accel-", "x-webauth-", "x-authentik-", "x-pomerium-", "x-goog-authenticated-user-", "x-goog-iap-", "x-ms-client-principal",
	"cf-access-", "x-ssl-client-", "x-envoy-"}

// decisive are names that gates have read under their one right spelling. A spelling with
// other characters ("Content_Type") was not read, yet some backends fold it to the same name.
func decisive(folded string) bool {
	switch folded {
	case "authorization", "cookie", "host", "content-type", "content-length", "content-encoding", "transfer-encoding", "connection",
		"origin", "referer", "upgrade", "expect", "trailer", "te":
		return true
	}
	return false
}

// stripHeaders removes every header whose folded name is protected, and every odd spelling
// of a name that gates decide on.
func stripHeaders(h http.Header, extra map[string]bool) {
	for name := range h {
		if mustStrip(name, extra) {
			delete(h, name)
		}
	}
}

// mustStrip folds into a buffer on the stack, since it runs for every header of every request.
func mustStrip(name string, extra map[string]bool) bool {
	var buf [64]byte
	if len(name) > len(buf) {
		folded := access.FoldName(name)
		return extra[folded] || universallyProtected(folded)
	}
	odd := false
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-':
		default:
			c, odd = '-', true
		}
		buf[i] = c
	}
	folded := buf[:len(name)]
	return extra[string(folded)] || universallyProtected(string(folded)) || odd && decisive(string(folded))
}

// asker is who asks, as the backend will read it: header values that are safe to send.
type asker struct {
	tenant, id, email, roles, assertion string
}

// errHeaderText says that a value of the identity cannot be a header value.
var errHeaderText = errors.New("a value of the identity cannot be sent as a header")

// maxHeaderText bounds one header value that comes from an identity, in bytes.
const maxHeaderText = 8 << 10

// whoAsks turns the identity into header values, or refuses: a backend that gets half an
// identity could take the request for somebody else's.
func whoAsks(id *access.Identity) (asker, error) {
	if id == nil || id.Tenant.IsZero() || id.Subject == "" {
		return asker{}, access.Unavailable("identity_missing", errors.New("an application request without identity and tenant"))
	}
	who := asker{tenant: id.Tenant.String()}
	var err, all error
	if who.id, err = headerText(id.Subject); err != nil {
		all = fmt.Errorf("subject: %w", err)
	}
	if who.email, err = headerText(id.Email); err != nil {
		all = fmt.Errorf("e-mail: %w", err)
	}
	if who.roles, err = headerRoles(id.Roles); err != nil {
		all = fmt.Errorf("roles: %w", err)
	}
	if all != nil {
		return asker{}, access.Refuse(http.StatusForbidden, "identity_unusable", "Your account's name or roles hold characters that the application cannot be told.",
			"Ask your administrator to change them.").Because(all)
	}
	return who, nil
}

// headerText gives a value that is printable ASCII without spaces. Everything else, and '%', is
// percent-encoded (RFC 3986, section 2.1), so that two identities never look the
// same; control characters are an error, since nobody's name needs them.
func headerText(s string) (string, error) {
	if len(s) > maxHeaderText {
		return "", fmt.Errorf("%w: longer than %d bytes", errHeaderText, maxHeaderText)
	}
	encode := 0
	for i := range len(s) {
		switch c := s[i]; {
		case c < ' ' || c == 0x7f:
			return "", fmt.Errorf("%w: control character at %d", errHeaderText, i)
		case c == ' ' || c == '%' || c > 0x7f:
			encode++
		}
	}
	if encode == 0 {
		return s, nil
	}
	const digits = "0123456789ABCDEF"
	b := make([]byte, 0, len(s)+2*encode)
	for i := range len(s) {
		if c := s[i]; c == ' ' || c == '%' || c > 0x7f {
			b = append(b, '%', digits[c>>4], digits[c&15])
		} else {
			b = append(b, c)
		}
	}
	return string(b), nil
}

// headerRoles joins roles by commas. A comma within a role would make two of one.
func headerRoles(roles []string) (string, error) {
	if len(roles) == 1 && !strings.Contains(roles[0], ",") {
		return headerText(roles[0])
	}
	safe := make([]string, 0, len(roles))
	for _, role := range roles {
		text, err := headerText(role)
		if err != nil {
			return "", err
		}
		if text == "" || strings.Contains(text, ",") {
			return "", fmt.Errorf("%w: a role that is empty or holds a comma", errHeaderText)
		}
		safe = append(safe, text)
	}
	joined := strings.Join(safe, ",")
	if len(joined) > maxHeaderText {
		return "", fmt.Errorf("%w: longer than %d bytes", errHeaderText, maxHeaderText)
	}
	return joined, nil
}

// headerNames are the names of the headers that we inject, in canonical form.
type headerNames struct {
	tenant, id, email, roles, assertion string
}

func namesOf(cfg SiteConfig) headerNames {
	canonical := http.CanonicalHeaderKey
	return headerNames{canonical(cfg.Tenant.Header), canonical(cfg.Headers.UserID), canonical(cfg.Headers.Email),
		canonical(cfg.Headers.Roles), canonical(cfg.Headers.Assertion)}
}

// inject is where the backend learns who asks, and for which tenant: each header once.
// On Public nobody asks, so there is no tenant and no user.
func (g *passage) inject(h http.Header) {
	ex, names := g.ex, &g.at.names
	set := g.setter(h)
	set("X-Request-Id", ex.ID)
	set("X-Forwarded-For", ex.Client.Addr.String())
	set("X-Forwarded-Proto", "https")
	set("X-Forwarded-Host", ex.Request.Host)
	if g.public() {
		return
	}
	set(names.tenant, g.who.tenant)
	set(names.id, g.who.id)
	if g.who.email != "" {
		set(names.email, g.who.email)
	}
	if g.who.roles != "" {
		set(names.roles, g.who.roles)
	}
	set(names.assertion, g.who.assertion)
}

// setter sets headers whose values share one allocation.
func (g *passage) setter(h http.Header) func(name, value string) {
	values := make([]string, 0, 12)
	return func(name, value string) {
		values = append(values, value)
		h[name] = slices.Clip(values[len(values)-1:])
	}
}
