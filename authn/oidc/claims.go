package oidc

import (
	"crypto/sha256"
	"encoding/base32"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/secret"
)

// The bounds of claims.
const (
	maxGroups = 1_000
	maxGroup  = 256 // bytes of one group
	maxText   = 200 // bytes of a name
	maxEmail  = 254 // RFC 5321, section 4.5.3.1.3
	maxAMR    = 16
)

// person makes a login of a proof. The tenant is the provider's; nothing else is asked.
func (p *provider) person(pr *proof, domains Domains) (authn.Login, error) {
	stable, ok := text(pr.claims, p.Claims.Subject)
	if !ok || stable == "" || len(stable) > maxSubject {
		return authn.Login{}, invalid(fmt.Errorf("claim %q does not hold a subject", p.Claims.Subject))
	}
	groups, err := list(pr.claims, p.Claims.Groups)
	if err != nil {
		return authn.Login{}, invalid(err)
	}
	values := groups
	if p.Roles.Claim != p.Claims.Groups {
		if values, err = list(pr.claims, p.Roles.Claim); err != nil {
			return authn.Login{}, invalid(err)
		}
	}
	roles := p.roles(values)
	if len(roles) == 0 {
		return authn.Login{}, access.Refuse(http.StatusForbidden, "no_role", "You are known to your organisation's sign-in service, but you have no role in this application.",
			"Ask your administrator to give you one.").Because(fmt.Errorf("oidc: none of %d values of %q gives a role", len(values), p.Roles.Claim))
	}
	name, _ := text(pr.claims, p.Claims.Name)
	amr, err := list(pr.claims, "amr")
	if err != nil || len(amr) > maxAMR {
		amr = nil // how it was proved is then unknown, which no rule takes for strong
	}
	return authn.Login{
		Tenant: p.tenant, Subject: subjectID(p.tenant, p.Issuer, stable), Email: p.email(pr.claims, domains), Name: clean(name),
		Roles: roles, Groups: groups, Provider: p.Name, AuthTime: authTime(pr), AMR: amr,
		ProviderSession: p.session(pr.claims), IDToken: secret.New(pr.raw),
	}, nil
}

// subjectID is the user's stable id: the first 128 bits of SHA-256 over tenant, issuer
// and subject, each with its length before it, in lower-case base32: 26 characters that
// fit a header, a path and any database column, and tell nothing of the provider's own ids.
func subjectID(tenant access.TenantID, issuer, subject string) string {
	h := sha256.New()
	h.Write([]byte("sallyport subject v1\x00"))
	for _, part := range []string{tenant.String(), issuer, subject} {
		h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(part))))
		h.Write([]byte(part))
	}
	return strings.ToLower(base32.StdEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:16]))
}

func (p *provider) roles(values []string) []string {
	var roles []string
	for _, v := range values {
		if role, ok := p.Roles.Map[v]; ok {
			roles = append(roles, role)
		}
	}
	slices.Sort(roles)
	roles = slices.Compact(roles)
	if len(roles) == 0 && p.Roles.Default != "" {
		roles = []string{p.Roles.Default}
	}
	return roles
}

// email gives the address when it is one that the provider can vouch for: verified, or of a
// domain that the file trusts it with. An address whose domain is another tenant's is dropped:
// an application that goes by the address alone would hand over that tenant's account (nOAuth).
func (p *provider) email(claims map[string]json.RawMessage, domains Domains) string {
	raw, _ := text(claims, p.Claims.Email)
	address, domain, ok := parseEmail(raw)
	if !ok {
		return ""
	}
	if owner, owned := domains.ByDomain(domain); owned && owner != p.tenant {
		return ""
	}
	// Some providers send the text "true".
	if v := string(claims["email_verified"]); v != "true" && v != `"true"` && !slices.Contains(p.TrustEmail, domain) {
		return ""
	}
	return address
}

// parseEmail accepts plain addresses: a dot-atom, '@' and a host name in ASCII. The
// domain comes back in lower case; the local part's case is the provider's business.
func parseEmail(s string) (address, domain string, ok bool) {
	local, host, found := strings.Cut(s, "@")
	if !found || local == "" || len(s) > maxEmail || !strings.Contains(host, ".") {
		return "", "", false
	}
	for _, c := range []byte(local) {
		if c <= ' ' || c >= 0x7f || strings.IndexByte(`()<>[]:;@\,"`, c) >= 0 {
			return "", "", false
		}
	}
	for _, c := range []byte(host) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '.' {
			return "", "", false
		}
	}
	host = strings.ToLower(host)
	return local + "@" + host, host, true
}

// session is the id of the person's session at the provider (OpenID Connect Back-Channel Logout
// 1.0, section 2.1), or "".
func (p *provider) session(claims map[string]json.RawMessage) string {
	sid, _ := text(claims, "sid")
	if len(sid) > maxGroup || !printable(sid) || strings.TrimSpace(sid) != sid {
		return ""
	}
	return sid
}

func authTime(pr *proof) time.Time {
	var seconds float64
	if raw, ok := pr.claims["auth_time"]; ok && json.Unmarshal(raw, &seconds) == nil && seconds > 0 && seconds <= float64(pr.issuedAt.Unix()) {
		return time.Unix(int64(seconds), 0).UTC()
	}
	return pr.issuedAt.UTC()
}

// lookup finds a claim by its very name, or else by its dotted path through objects.
func lookup(claims map[string]json.RawMessage, name string) (json.RawMessage, bool) {
	if raw, ok := claims[name]; ok {
		return raw, true
	}
	first, rest, dotted := strings.Cut(name, ".")
	raw, ok := claims[first]
	if !dotted || !ok {
		return nil, false
	}
	var inner map[string]json.RawMessage
	if json.Unmarshal(raw, &inner) != nil {
		return nil, false
	}
	return lookup(inner, rest)
}

func text(claims map[string]json.RawMessage, name string) (string, bool) {
	raw, ok := lookup(claims, name)
	if !ok {
		return "", false
	}
	var s *string
	if json.Unmarshal(raw, &s) != nil || s == nil {
		return "", false
	}
	return *s, true
}

// list reads an array of texts, or one text. An absent claim is an empty list. One that is
// too long is an error: cut, it could lose the group that a rule forbids.
func list(claims map[string]json.RawMessage, name string) ([]string, error) {
	raw, ok := lookup(claims, name)
	if !ok || string(raw) == "null" {
		return nil, nil
	}
	var many []string
	if json.Unmarshal(raw, &many) != nil {
		var one string
		if json.Unmarshal(raw, &one) != nil {
			return nil, fmt.Errorf("claim %q is not a list of texts", name)
		}
		many = []string{one}
	}
	if len(many) > maxGroups {
		return nil, fmt.Errorf("claim %q has %d values, at most %d", name, len(many), maxGroups)
	}
	for _, v := range many {
		if v == "" || len(v) > maxGroup || !utf8.ValidString(v) || !printable(v) {
			return nil, fmt.Errorf("claim %q holds a value that is empty, too long or not plain text", name)
		}
	}
	return many, nil
}

// clean makes a display name fit for a page, a log line and a header.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 || r == utf8.RuneError || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return -1 // controls, and those that turn the direction of text
		}
		return r
	}, s)
	for len(s) > maxText {
		_, size := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-size]
	}
	return strings.TrimSpace(s)
}
