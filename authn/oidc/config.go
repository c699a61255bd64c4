package oidc

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
)

// The bounds of the configuration.
const (
	MaxProviders = 1_000
	maxScopes    = 20
	maxRoleMap   = 500
)

// Config is the key "authn.oidc": the OpenID Connect providers.
type Config []Settings

// Settings is one provider.
type Settings struct {
	Name         string         `yaml:"name" doc:"The provider's name in logs, audit events and sessions: 1 to 40 characters of a-z, 0-9 and '-', a letter or digit first. Required."`
	Label        string         `yaml:"label" doc:"What its button on the login page says after 'Continue with', at most 60 bytes. Default: the name."`
	Button       bool           `yaml:"button" doc:"Shows the button on the login page to everybody. Without it people are led to the provider by their e-mail domain. A site's only provider needs none. Default: false."`
	Tenant       string         `yaml:"tenant" doc:"The id of the one tenant whose people log in here. Required."`
	Sites        []string       `yaml:"sites" doc:"The names of the sites that it is for. Default: all."`
	Issuer       string         `yaml:"issuer" doc:"The issuer identifier, exactly as the provider's discovery document says it. Required."`
	ClientID     string         `yaml:"client_id" doc:"The client id that the provider gave. Required."`
	ClientSecret secret.Ref     `yaml:"client_secret" doc:"Where the client secret is kept, env:NAME or file:/path. Default: none, a public client."`
	Scopes       []string       `yaml:"scopes" doc:"The scopes to ask for; openid is always among them. Default: openid, email, profile."`
	Claims       Claims         `yaml:"claims" doc:"Which claims hold what."`
	Roles        Roles          `yaml:"roles" doc:"How the provider's groups become roles."`
	TrustEmail   []string       `yaml:"trust_email" doc:"E-mail domains for which this provider is authoritative: an address there counts as verified without email_verified. Default: none."`
	CA           string         `yaml:"ca" doc:"A PEM file with further root certificates for calls to the provider. Default: the system's alone."`
	Allow        []netip.Prefix `yaml:"allow" doc:"Address ranges beyond the public Internet that calls to the provider may go to, such as 10.0.0.0/8; loopback ranges allow plain http as well. Default: none."`
	OwnCallback  bool           `yaml:"own_callback" doc:"Gives the provider a redirect URI of its own, oidc/callback/NAME instead of oidc/callback, against mix-up (RFC 9700, section 4.4), for providers that send no iss parameter (RFC 9207). Default: false."`
	Logout       bool           `yaml:"logout" doc:"Logging out here leads on to the provider's own logout (RP-initiated logout), if it has one. Default: false."`
}

// Claims says which claims hold what. A dot descends into an object unless a claim has
// that very name: realm_access.roles.
type Claims struct {
	Subject string `yaml:"subject" doc:"The claim that identifies a person for ever. Never one that can change hands, such as email. Default: sub."`
	Email   string `yaml:"email" doc:"The claim with the e-mail address. Default: email."`
	Name    string `yaml:"name" doc:"The claim with the display name. Default: name."`
	Groups  string `yaml:"groups" doc:"The claim with the groups. Default: groups."`
}

// Roles maps the values of a claim to roles.
type Roles struct {
	Claim   string            `yaml:"claim" doc:"The claim whose values are mapped. Default: the groups claim."`
	Map     map[string]string `yaml:"map" doc:"From a value of the claim to a role. Values that are not listed give nothing. Default: none."`
	Default string            `yaml:"default" doc:"The role of people to whom no value gives one. Default: none, and they are refused."`
}

// WithDefaults fills in what each provider leaves open.
func (c Config) WithDefaults() Config {
	out := make(Config, len(c))
	for i, s := range c {
		s.Label = or(s.Label, s.Name)
		if len(s.Scopes) == 0 {
			s.Scopes = []string{"openid", "email", "profile"}
		} else if !slices.Contains(s.Scopes, "openid") {
			s.Scopes = append([]string{"openid"}, s.Scopes...)
		}
		s.Claims.Subject = or(s.Claims.Subject, "sub")
		s.Claims.Email = or(s.Claims.Email, "email")
		s.Claims.Name = or(s.Claims.Name, "name")
		s.Claims.Groups = or(s.Claims.Groups, "groups")
		s.Roles.Claim = or(s.Roles.Claim, s.Claims.Groups)
		out[i] = s
	}
	return out
}

func or(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// Check reports every problem of the configuration. It does no I/O. Whether the tenants and sites
// exist is for the caller to check, who knows them.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	if len(c) > MaxProviders {
		problem("", fmt.Sprintf("%d providers", len(c)), fmt.Sprintf("at most %d are allowed", MaxProviders))
		return
	}
	names := map[string]int{}
	for i, s := range c.WithDefaults() {
		at := func(report func(path, what, hint string)) func(path, what, hint string) {
			return func(path, what, hint string) { report(fmt.Sprintf("[%d].%s", i, path), what, hint) }
		}
		if first, taken := names[s.Name]; taken && s.Name != "" {
			at(problem)("name", fmt.Sprintf("%q is already the name of [%d]", s.Name, first), "sessions and audit events tell providers apart by name")
		} else {
			names[s.Name] = i
		}
		s.checkIdentity(at(problem))
		s.checkIssuer(at(problem), at(warn))
		s.checkClaims(at(problem), at(warn))
		s.checkAllow(at(warn))
	}
}

func (s Settings) checkIdentity(problem func(path, what, hint string)) {
	if !validName(s.Name) {
		problem("name", fmt.Sprintf("%q is not a provider's name", s.Name), "1 to 40 characters of a-z, 0-9 and '-', a letter or digit first, such as acme-sso")
	}
	if len(s.Label) > 60 || !printable(s.Label) {
		problem("label", "too long, or with control characters", "at most 60 bytes of plain text")
	}
	if _, err := access.ParseTenantID(s.Tenant); err != nil {
		problem("tenant", err.Error(), "a provider belongs to exactly one tenant")
	}
	if s.ClientID == "" || len(s.ClientID) > 255 || !printable(s.ClientID) {
		problem("client_id", "no client id, or not a plain text of at most 255 bytes", "the provider gives it when you register the gateway there")
	}
	if len(s.Scopes) > maxScopes || slices.ContainsFunc(s.Scopes, func(scope string) bool { return scope == "" || !printable(scope) || strings.ContainsAny(scope, ` "\`) }) {
		problem("scopes", "too many scopes, or one that is not a scope token", fmt.Sprintf("at most %d, such as openid, email, profile", maxScopes))
	}
	if s.CA != "" && !strings.HasPrefix(s.CA, "/") {
		problem("ca", "not an absolute path", "such as /etc/sallyport/idp-ca.pem")
	}
}

func (s Settings) checkIssuer(problem, warn func(path, what, hint string)) {
	u, err := url.Parse(s.Issuer)
	switch {
	case err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.ContainsAny(s.Issuer, "?#"):
		problem("issuer", fmt.Sprintf("%q is not an issuer identifier", s.Issuer), "an https URL without query and fragment, as in the provider's discovery document")
	case !webURL(s.Issuer):
		problem("issuer", "the issuer is not https", "plain http is for loopback addresses alone, and only with allow")
	case u.Scheme == "http":
		warn("issuer", "the issuer is called without TLS", "fine on a developer's machine, nowhere else")
	}
	if err == nil && (strings.EqualFold(u.Host, "login.microsoftonline.com") || strings.EqualFold(u.Host, "login.windows.net")) {
		if first, _, _ := strings.Cut(strings.TrimPrefix(u.Path, "/"), "/"); first == "common" || first == "organizations" || first == "consumers" || strings.Contains(first, "{") {
			problem("issuer", fmt.Sprintf("%q accepts the people of every organisation", first), "put your directory's id in its place: https://login.microsoftonline.com/<directory id>/v2.0")
		}
	}
}

func (s Settings) checkClaims(problem, warn func(path, what, hint string)) {
	switch strings.ToLower(s.Claims.Subject) {
	case "email", "upn", "preferred_username", "unique_name", "name", "nickname", "phone_number":
		problem("claims.subject", fmt.Sprintf("claim %q can change hands", s.Claims.Subject), "who takes over the name would take over the account; use sub, or oid with Entra")
	}
	if len(s.Roles.Map) > maxRoleMap {
		problem("roles.map", fmt.Sprintf("%d entries", len(s.Roles.Map)), fmt.Sprintf("at most %d are allowed", maxRoleMap))
	}
	values := make([]string, 0, len(s.Roles.Map))
	for value := range s.Roles.Map {
		values = append(values, value)
	}
	slices.Sort(values)
	for _, value := range values {
		if !validRole(s.Roles.Map[value]) {
			problem("roles.map."+value, fmt.Sprintf("%q is not a role that a provider may give", s.Roles.Map[value]), "a name of a-z, 0-9, '-' and '_' such as admin; never the gateway's own operator role")
		}
	}
	if s.Roles.Default != "" && !validRole(s.Roles.Default) {
		problem("roles.default", fmt.Sprintf("%q is not a role that a provider may give", s.Roles.Default), "such as viewer; never the gateway's own operator role")
	}
	if len(s.Roles.Map) == 0 && s.Roles.Default == "" {
		problem("roles", "nobody could log in: no value gives a role and there is no default", "map groups to roles, or set default: viewer")
	}
	if s.Roles.Default == "owner" || s.Roles.Default == "admin" {
		warn("roles.default", "everyone at the provider becomes "+s.Roles.Default, "map a group to it instead")
	}
	for i, d := range s.TrustEmail {
		if d == "" || d != strings.ToLower(d) || strings.ContainsAny(d, "@*/ ") || !strings.Contains(d, ".") {
			problem(fmt.Sprintf("trust_email[%d]", i), fmt.Sprintf("%q is not an e-mail domain in lower case", d), "such as acme.example")
		}
	}
}

func (s Settings) checkAllow(warn func(path, what, hint string)) {
	for i, p := range s.Allow {
		if p.Bits() < 8 || p.Addr().Is6() && p.Bits() < 32 {
			warn(fmt.Sprintf("allow[%d]", i), fmt.Sprintf("%s is very wide", p), "name the provider's own network, so that its discovery document cannot send us elsewhere")
		}
	}
}

func validName(s string) bool {
	if s == "" || len(s) > 40 || s[0] == '-' {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' })
}

// validRole accepts a role's name. A tenant's provider must never make operators, who
// stand above all tenants (Keycloak CVE-2026-18201).
func validRole(s string) bool {
	if s == "" || len(s) > 63 || strings.HasPrefix(s, "operator") || strings.HasPrefix(s, "platform") || strings.HasPrefix(s, "sallyport") {
		return false
	}
	return !strings.ContainsFunc(s, func(r rune) bool { return (r < 'a' || r > 'z') && (r < '0' || r > '9') && r != '-' && r != '_' })
}

func printable(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\uFFFD' })
}

// webURL accepts absolute https URLs, and http ones to a literal loopback host. A
// browser is sent there, or a secret.
func webURL(s string) bool {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	if u.Scheme == "https" {
		return true
	}
	addr, err := netip.ParseAddr(u.Hostname())
	return u.Scheme == "http" && (u.Hostname() == "localhost" || err == nil && addr.IsLoopback())
}
