package proxy

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// sites is every application of the plan.
type sites struct {
	list   []*site
	byHost map[string]*site
	bySite map[*access.Site]*site
}

// site is one application: what every room may know of it, and what locate and the
// upstream half need.
type site struct {
	access.Site
	cfg       SiteConfig // with defaults
	protect   map[string]bool
	public    []pattern
	bodies    []bodyRule
	resources []resource
	unlisted  resource
	odd       []oddPath
	endpoints map[string]map[string]*access.Endpoint // by path, then method

	guardedQuery  access.GuardedNames
	guardedPath   map[string]bool // folded
	guardedPlaces []guardedPlace
}

type bodyRule struct {
	pattern pattern
	rule    access.BodyRule
}

type oddPath struct {
	pattern pattern
	allow   spelling
}

// of finds the site that an Exchange points to; nil when it points to none of this plan.
func (s *sites) of(pub *access.Site) *site { return s.bySite[pub] }

func (s *sites) exceptionsOf(host string) exceptions {
	found := s.byHost[host]
	return func(path string) (allowed spelling) {
		if found == nil {
			return 0
		}
		for i := range found.odd {
			if _, ok := found.odd[i].pattern.match(path); ok {
				allowed |= found.odd[i].allow
			}
		}
		return allowed
	}
}

func (s *sites) protectedOf(host string) map[string]bool {
	if found := s.byHost[host]; found != nil {
		return found.protect
	}
	return nil
}

// hostName is a Host header without its port, in lower case, and an IPv6 address without its
// brackets. Anything else than name and port gives "", which no site has: backends build
// links from the header, and "crm.test:@evil.test" leads to evil.test (CVE-2012-4520).
func hostName(host string) string {
	name, port, hasPort := strings.Cut(host, ":")
	if strings.HasPrefix(host, "[") {
		inner, rest, _ := strings.Cut(host[1:], "]")
		addr, err := netip.ParseAddr(inner)
		if err != nil || !addr.Is6() {
			return ""
		}
		name = addr.String()
		var before string
		if before, port, hasPort = strings.Cut(rest, ":"); before != "" {
			return ""
		}
	}
	if _, err := strconv.ParseUint(port, 10, 16); hasPort && err != nil {
		return ""
	}
	return strings.ToLower(name)
}

func newSites(cfg Config, endpoints []access.Endpoint) (*sites, error) {
	all := &sites{byHost: map[string]*site{}, bySite: map[*access.Site]*site{}}
	for i := range cfg.Sites {
		s, err := newSite(cfg.Sites[i].WithDefaults(), endpoints)
		if err != nil {
			return nil, fmt.Errorf("site %q: %w", cfg.Sites[i].Name, err)
		}
		all.list = append(all.list, s)
		all.bySite[&s.Site] = s
		for _, host := range s.Hosts {
			if all.byHost[host] != nil {
				return nil, fmt.Errorf("site %q: host %s belongs to another site", s.Name, host)
			}
			all.byHost[host] = s
		}
	}
	return all, nil
}

func newSite(cfg SiteConfig, endpoints []access.Endpoint) (*site, error) {
	s := &site{cfg: cfg, protect: protectedHeaders(cfg), endpoints: map[string]map[string]*access.Endpoint{}}
	s.Site = access.Site{Name: cfg.Name, Prefix: cfg.Prefix, TenantHeader: cfg.Tenant.Header, Guard: guardOf(cfg.Tenant.Guard),
		WAF: map[string]access.Mode{"shadow": access.Shadow, "off": access.Off}[cfg.WAF]}
	for _, host := range cfg.Hosts {
		s.Hosts = append(s.Hosts, strings.ToLower(host))
	}
	if len(s.Hosts) == 0 {
		return nil, fmt.Errorf("no hosts")
	}
	s.Origin = "https://" + s.Hosts[0]
	s.guardedQuery, s.guardedPath = access.GuardNames(s.Guard.Query), map[string]bool{}
	for _, name := range s.Guard.Path {
		s.guardedPath[access.FoldName(name)] = true
	}
	var err error
	for _, text := range cfg.Public {
		if s.public, err = appendPattern(s.public, text); err != nil {
			return nil, err
		}
	}
	for _, b := range cfg.Bodies {
		p, err := parsePattern(b.Path)
		if err != nil {
			return nil, err
		}
		s.bodies = append(s.bodies, bodyRule{p, access.BodyRule{Types: b.Types, Max: int64(b.Max), Stream: b.Stream}})
	}
	for _, e := range cfg.Exceptions {
		p, err := parsePattern(e.Path)
		if err != nil {
			return nil, err
		}
		s.odd = append(s.odd, oddPath{p, spellings(e.Allow)})
	}
	s.unlisted = resource{kind: access.OtherResource}
	if cfg.MethodOverride {
		s.unlisted.override = s.unlisted.overrides()
	}
	for _, rc := range cfg.Resources {
		r, err := newResource(rc, cfg.MethodOverride)
		if err != nil {
			return nil, err
		}
		s.resources = append(s.resources, r)
		s.guardedPlaces = append(s.guardedPlaces, guardedPlaces(r.item, s.guardedPath)...)
	}
	for i := range endpoints {
		e := &endpoints[i]
		path := e.Path
		if !strings.HasPrefix(path, "/") {
			path = s.Prefix + "/" + path
		}
		if s.endpoints[path] == nil {
			s.endpoints[path] = map[string]*access.Endpoint{}
		}
		if s.endpoints[path][e.Method] != nil {
			return nil, fmt.Errorf("two endpoints answer %s %s", e.Method, path)
		}
		s.endpoints[path][e.Method] = e
	}
	return s, nil
}

func appendPattern(list []pattern, text string) ([]pattern, error) {
	p, err := parsePattern(text)
	return append(list, p), err
}

func spellings(names []string) (set spelling) {
	for _, name := range names {
		switch name {
		case "semicolon":
			set |= allowSemicolon
		case "encoded_slash":
			set |= allowEncodedSlash
		}
	}
	return set
}

func guardOf(names []string) (g access.Guard) {
	for _, full := range names {
		place, name, _ := strings.Cut(full, ".")
		switch place {
		case "path":
			g.Path = append(g.Path, name)
		case "query":
			g.Query = append(g.Query, name)
		case "form":
			g.Form = append(g.Form, name)
		case "json":
			g.JSON = append(g.JSON, name)
		}
	}
	return g
}
