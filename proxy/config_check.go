package proxy

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/units"
)

// WithDefaults fills in what the file leaves out.
func (c SiteConfig) WithDefaults() SiteConfig {
	set := func(field *string, value string) {
		if *field == "" {
			*field = value
		}
	}
	set(&c.Prefix, "/.sallyport")
	set(&c.Tenant.Header, "X-Tenant-ID")
	set(&c.WebSocket, "off")
	set(&c.WAF, "enforce")
	set(&c.Headers.UserID, "X-User-ID")
	set(&c.Headers.Email, "X-User-Email")
	set(&c.Headers.Roles, "X-User-Roles")
	set(&c.Headers.Assertion, "X-Sallyport-Assertion")
	set(&c.Response.Frame, "sameorigin")
	set(&c.Response.Referrer, "same-origin")
	if len(c.CORS.Methods) == 0 {
		c.CORS.Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"}
	}
	if len(c.CORS.Headers) == 0 {
		c.CORS.Headers = []string{"Content-Type", "Authorization"}
	}
	if c.CORS.MaxAge == 0 {
		c.CORS.MaxAge = units.Span(10 * time.Minute)
	}
	bodies := slices.Clone(c.Bodies)
	for i := range bodies {
		if bodies[i].Max == 0 {
			bodies[i].Max = units.Size(defaultBody.Max)
		}
		if len(bodies[i].Types) == 0 {
			bodies[i].Types = defaultBody.Types
		}
	}
	c.Bodies = bodies
	c.Upstream = c.Upstream.withDefaults()
	return c
}

// report is a problem or warning about a value: what is wrong, and a hint how to mend it.
type report func(path, what, hint string)

func (r report) at(prefix string) report {
	return func(path, what, hint string) {
		switch {
		case path == "":
			path = prefix
		case path[0] == '[':
			path = prefix + path
		default:
			path = prefix + "." + path
		}
		r(path, what, hint)
	}
}

// Check reports every problem and warning. It does no I/O.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	if len(c.Sites) == 0 {
		problem("sites", "no site is configured", "add a site with name, hosts and upstreams")
	}
	names, hosts := map[string]bool{}, map[string]string{}
	for i, s := range c.Sites {
		at := fmt.Sprintf("sites[%d]", i)
		p, w := report(problem).at(at), report(warn).at(at)
		if names[s.Name] {
			p("name", fmt.Sprintf("another site is named %q too", s.Name), "give each site a name of its own")
		}
		names[s.Name] = true
		for j, host := range s.Hosts {
			host = strings.ToLower(host)
			if other, taken := hosts[host]; taken {
				p(fmt.Sprintf("hosts[%d]", j), fmt.Sprintf("host %s belongs to site %q", host, other), "a host belongs to one site")
			}
			hosts[host] = s.Name
		}
		s.check(p, w)
	}
}

func (c SiteConfig) check(problem, warn report) {
	c.checkNames(problem)
	c.checkUpstreams(problem, warn)
	c.checkTenant(problem, warn)
	c.checkBodies(problem)
	for i, r := range c.Resources {
		r.check(problem.at(fmt.Sprintf("resources[%d]", i)))
	}
	for i, e := range c.Exceptions {
		at := problem.at(fmt.Sprintf("exceptions[%d]", i))
		checkPattern(at, "path", e.Path)
		for j, name := range e.Allow {
			oneOf(at, fmt.Sprintf("allow[%d]", j), name, "semicolon", "encoded_slash")
		}
	}
	for i, text := range c.Public {
		checkPattern(problem, fmt.Sprintf("public[%d]", i), text)
	}
	oneOf(problem, "websocket", c.WebSocket, "", "off", "opaque")
	oneOf(problem, "waf", c.WAF, "", "enforce", "shadow", "off")
	if c.WAF == "off" || c.WAF == "shadow" {
		warn("waf", "attacks on this site are not blocked", "waf: enforce blocks them")
	}
	for i, origin := range c.CORS.Origins {
		u, err := url.Parse(origin)
		if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || origin != u.Scheme+"://"+u.Host {
			problem(fmt.Sprintf("cors.origins[%d]", i), "not an origin", "write scheme and host alone, such as https://app.example.com")
		} else if u.Scheme == "http" {
			warn(fmt.Sprintf("cors.origins[%d]", i), "a cleartext origin may call this site", "use https")
		}
	}
	c.Upstream.check("upstream", problem, warn)
	c.Cookies.check("cookies", problem, warn)
	c.Response.check("response", problem, warn)
	if c.UpstreamAuth != nil {
		c.UpstreamAuth.check("upstream_auth", problem, warn)
	}
}

func (c SiteConfig) checkNames(problem report) {
	if c.Name == "" || strings.Trim(access.FoldName(c.Name), "-") == "" || access.FoldName(c.Name) != c.Name || len(c.Name) > 63 {
		problem("name", "a site's name is 1 to 63 characters of a-z, 0-9 and '-'", "such as crm")
	}
	if len(c.Hosts) == 0 {
		problem("hosts", "the site answers to no host", "add the host name of its address, such as crm.example.com")
	}
	for i, host := range c.Hosts {
		if !validHost(host) {
			problem(fmt.Sprintf("hosts[%d]", i), fmt.Sprintf("%q is not a host name", host), "a name such as crm.example.com, without scheme, port or wildcard")
		}
	}
	if p := c.Prefix; p != "" && (p[0] != '/' || len(p) < 2 || strings.HasSuffix(p, "/") || strings.ContainsAny(p, "*{}?#% ")) {
		problem("prefix", "the prefix of the gateway's own pages is not a plain path", "such as /.sallyport")
	}
}

func (c SiteConfig) checkUpstreams(problem, warn report) {
	if len(c.Upstreams) == 0 && len(c.Tenant.Upstreams) == 0 {
		problem("upstreams", "the site has no application behind it", "add its address, such as https://10.0.0.5:8443")
	}
	for i, text := range c.Upstreams {
		checkUpstream(fmt.Sprintf("upstreams[%d]", i), text, problem, warn)
	}
	for tenant, list := range c.Tenant.Upstreams {
		path := "tenant.upstreams." + tenant
		if _, err := access.ParseTenantID(tenant); err != nil {
			problem(path, err.Error(), "use the tenant's id from directory.tenants")
		}
		if len(list) == 0 {
			problem(path, "the tenant has no application behind it", "add its address")
		}
		for i, text := range list {
			checkUpstream(fmt.Sprintf("%s[%d]", path, i), text, problem, warn)
		}
	}
	if len(c.Tenant.Upstreams) > 0 && len(c.Upstreams) > 0 {
		problem("upstreams", "the site has upstreams for all tenants and upstreams per tenant", "keep one of upstreams and tenant.upstreams")
	}
	if len(c.Tenant.Upstreams) > 0 && len(c.Public) > 0 {
		problem("public", "public paths have no tenant, so there is no upstream to send them to", "remove public, or use one upstream for all tenants")
	}
}

func checkUpstream(path, text string, problem, warn report) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.User != nil {
		problem(path, "not an address of an application", "scheme, host and port alone, such as https://10.0.0.5:8443")
		return
	}
	if u.Scheme == "http" && !loopbackName(u.Hostname()) {
		warn(path, "requests travel to the application in cleartext", "use https, or an application on the same machine")
	}
}

func loopbackName(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

func (c SiteConfig) checkBodies(problem report) {
	guards := guardOf(c.Tenant.Guard)
	for i, b := range c.Bodies {
		at := problem.at(fmt.Sprintf("bodies[%d]", i))
		checkPattern(at, "path", b.Path)
		for j, t := range b.Types {
			major, minor, ok := strings.Cut(t, "/")
			if !ok || t != strings.ToLower(t) || t != "*/*" && (!validToken(major) || !validToken(minor)) {
				at(fmt.Sprintf("types[%d]", j), "not a media type", "lower case and without parameters, such as application/json")
			}
			if t == "*/*" && len(guards.Form)+len(guards.JSON) > 0 {
				at(fmt.Sprintf("types[%d]", j), "a site that guards tenants in bodies cannot take every type", "list the types that the application needs")
			}
		}
	}
}

func oneOf(problem report, path, value string, allowed ...string) {
	if !slices.Contains(allowed, value) {
		problem(path, fmt.Sprintf("%q is not a choice here", value), "one of "+strings.TrimPrefix(strings.Join(allowed, ", "), ", "))
	}
}

// validHost accepts a DNS name (RFC 1123, section 2.1) or an IP address.
func validHost(host string) bool {
	if _, err := netip.ParseAddr(host); err == nil {
		return true
	}
	if host == "" || len(host) > 253 {
		return false
	}
	for _, label := range strings.Split(host, ".") {
		if label == "" || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i] | 0x20 // lower case, for a letter
			if ('a' > c || c > 'z') && ('0' > label[i] || label[i] > '9') && label[i] != '-' {
				return false
			}
		}
	}
	return true
}

// validToken accepts a token (RFC 9110, section 5.6.2), such as a header's name.
func validToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if ('a' > c || c > 'z') && ('A' > c || c > 'Z') && ('0' > c || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return s != ""
}
