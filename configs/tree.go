package configs

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/audit"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/authn/oidc"
	"github.com/sallyport/sallyport/authn/portal"
	"github.com/sallyport/sallyport/directory"
	"github.com/sallyport/sallyport/edge"
	"github.com/sallyport/sallyport/operation"
	"github.com/sallyport/sallyport/policy"
	"github.com/sallyport/sallyport/proxy"
	"github.com/sallyport/sallyport/ratelimit"
	"github.com/sallyport/sallyport/store"
	"github.com/sallyport/sallyport/telemetry"
	"github.com/sallyport/sallyport/waf"
	"github.com/sallyport/sallyport/web"
)

// Tree is the whole file. Its keys are the names of the folders that own them.
type Tree struct {
	Environment string           `yaml:"environment" doc:"The name of this installation, such as production: bound into sessions and cookies, so that another's are refused. 1 to 40 characters of a-z, 0-9 and '-'. Default production."`
	Edge        edge.Config      `yaml:"edge" doc:"Sockets and TLS."`
	Store       store.Config     `yaml:"store" doc:"Where state is kept."`
	Proxy       proxy.Config     `yaml:"proxy" doc:"The applications behind the gateway."`
	Authn       Authn            `yaml:"authn" doc:"Who asks: sessions and identity providers."`
	Directory   directory.Config `yaml:"directory" doc:"Who exists: the tenants."`
	Policy      policy.Config    `yaml:"policy" doc:"May they: the built-in roles."`
	Ratelimit   ratelimit.Config `yaml:"ratelimit" doc:"How often: limits per address, user and tenant."`
	WAF         waf.Config       `yaml:"waf" doc:"What looks like an attack."`
	Audit       audit.Config     `yaml:"audit" doc:"What is written down."`
	Operation   operation.Config `yaml:"operation" doc:"Where request bodies wait while they are judged."`
	Telemetry   telemetry.Config `yaml:"telemetry" doc:"The log."`
	Web         web.Config       `yaml:"web" doc:"The gateway's own pages."`
}

// Authn is the key "authn": the session's own part, and one for each way of logging in.
type Authn struct {
	authn.Config `yaml:",inline"`
	OIDC         oidc.Config   `yaml:"oidc" doc:"OpenID Connect providers."`
	Portal       portal.Config `yaml:"portal" doc:"The login pages."`
}

// DefaultEnvironment is what an installation is called whose file does not say.
const DefaultEnvironment = "production"

// checker is what every room's Config offers.
type checker interface {
	Check(problem, warn func(path, what, hint string))
}

// withDefaults fills in what the file leaves out, for every room but proxy, whose sites do
// that one by one.
func (t Tree) withDefaults() Tree {
	if t.Environment == "" {
		t.Environment = DefaultEnvironment
	}
	t.Edge, t.Store, t.Authn.Config, t.Authn.OIDC = t.Edge.WithDefaults(), t.Store.WithDefaults(), t.Authn.Config.WithDefaults(), t.Authn.OIDC.WithDefaults()
	t.Directory, t.Policy, t.Ratelimit, t.WAF = t.Directory.WithDefaults(), t.Policy.WithDefaults(), t.Ratelimit.WithDefaults(), t.WAF.WithDefaults()
	t.Audit, t.Operation, t.Telemetry, t.Web = t.Audit.WithDefaults(), t.Operation.WithDefaults(), t.Telemetry.WithDefaults(), t.Web.WithDefaults()
	return t
}

// check asks every room, and then looks at what no room can see alone.
func (t Tree) check(problem, warn func(path, what, hint string)) {
	if e := t.Environment; e != "" && (len(e) > 40 || access.FoldName(e) != e) {
		problem("environment", "not a name of an environment", "1 to 40 characters of a-z, 0-9 and '-', such as production")
	}
	for key, room := range map[string]checker{
		"edge": t.Edge, "store": t.Store, "proxy": t.Proxy, "authn": t.Authn.Config, "authn.oidc": t.Authn.OIDC, "authn.portal": t.Authn.Portal, "directory": t.Directory,
		"policy": t.Policy, "ratelimit": t.Ratelimit, "waf": t.WAF, "audit": t.Audit, "operation": t.Operation, "telemetry": t.Telemetry, "web": t.Web,
	} {
		room.Check(below(key, problem), below(key, warn))
	}
	t.checkTenants(problem)
	t.checkProviders(problem, warn)
	full := t.withDefaults()
	for _, dir := range []string{full.Audit.Dir, full.Edge.TLS.Storage} {
		if dir != "" && filepath.Clean(dir) != filepath.Clean(t.Store.Dir()) {
			t.Store.WarnKeyIn(dir, below("store", warn))
		}
	}
}

func below(key string, report func(path, what, hint string)) func(path, what, hint string) {
	return func(path, what, hint string) {
		if path == "" || strings.HasPrefix(path, "[") {
			report(key+path, what, hint)
			return
		}
		report(key+"."+path, what, hint)
	}
}

// checkTenants finds tenants that sites name and the directory does not know.
func (t Tree) checkTenants(problem func(path, what, hint string)) {
	known := map[string]bool{}
	for _, tenant := range t.Directory.Tenants {
		known[tenant.ID] = true
	}
	missing := func(path, id string) {
		if !known[id] {
			problem(path, fmt.Sprintf("there is no tenant %q", id), "add it to directory.tenants, or correct the id")
		}
	}
	for i, site := range t.Proxy.Sites {
		for id := range site.Tenant.Upstreams {
			missing(fmt.Sprintf("proxy.sites[%d].tenant.upstreams.%s", i, id), id)
		}
		for id := range site.Tenant.PathNames {
			missing(fmt.Sprintf("proxy.sites[%d].tenant.path_names.%s", i, id), id)
		}
	}
	for i, provider := range t.Authn.OIDC {
		if provider.Tenant != "" {
			missing(fmt.Sprintf("authn.oidc[%d].tenant", i), provider.Tenant)
		}
	}
}

func (t Tree) checkProviders(problem, warn func(path, what, hint string)) {
	var sites []string
	for _, site := range t.Proxy.Sites {
		sites = append(sites, site.Name)
	}
	for i, provider := range t.Authn.OIDC {
		for j, name := range provider.Sites {
			if !slices.Contains(sites, name) {
				problem(fmt.Sprintf("authn.oidc[%d].sites[%d]", i, j), fmt.Sprintf("there is no site %q", name), "one of "+strings.Join(sites, ", "))
			}
		}
	}
	if len(t.Authn.OIDC) == 0 {
		warn("authn", "there is no identity provider, so nobody can log in", "add one under authn.oidc")
	}
}
