package archtest

// homes says where a third-party library may live. A longer prefix counts before a
// shorter one. Tests obey as well.
var homes = map[string][]string{
	"github.com/caddyserver/certmagic":           {"edge"},
	"github.com/coreos/go-oidc/v3":               {"authn/oidc"},
	"github.com/corazawaf/coraza-coreruleset/v4": {"waf"},
	"github.com/corazawaf/coraza/v3":             {"waf"},
	"github.com/fsnotify/fsnotify":               {"cmd/sallyport", "edge"},
	"github.com/go-jose/go-jose/v4":              {"authn/oidc", "demo"},
	"github.com/golang-jwt/jwt/v5":               {"authn", "demo"},
	"github.com/google/uuid":                     {"authn", "authn/session"},
	"github.com/jackc/pgx/v5":                    {"store"},
	"github.com/maypok86/otter/v2":               {"authn"},
	"github.com/mholt/acmez/v3":                  {"edge"},
	"github.com/open-policy-agent/opa":           {"policy"},
	"github.com/pressly/goose/v3":                {"store"},
	"github.com/prometheus/client_golang":        {"telemetry"},
	"github.com/rogpeppe/go-internal":            {"cmd/sallyport"},
	"github.com/spf13/cobra":                     {"cmd/sallyport"},
	"go.uber.org/goleak":                         {"*"},
	"go.uber.org/zap":                            {"edge"},
	"go.yaml.in/yaml/v4":                         {"configs"},
	"golang.org/x/crypto":                        {"authn", "edge"},
	"golang.org/x/net":                           {"*"}, // tests speak HTTP/2 by hand
	"golang.org/x/oauth2":                        {"authn/oidc"},
	"golang.org/x/sync":                          {"*"},
	"golang.org/x/time":                          {"ratelimit", "authn/oidc"},
	"modernc.org/sqlite":                         {"store"},
}

// onlyIn names expressions that may stand in one room alone, because standing elsewhere
// they would forge something. Tests may use them.
var onlyIn = map[string][]string{
	"access.NewMint":        {"proxy"},                            // stamps
	"access.Identity{":      {"authn", "authn/session", "policy"}, // policy tries itself with a made-up one
	"http.DefaultClient":    {},
	"http.DefaultServeMux":  {},
	"http.DefaultTransport": {},
	"http.Get(":             {},
	"http.Post(":            {},
	"http.HandleFunc(":      {},
	"http.Handle(":          {},
	"plugins.Register":      {"waf"}, // process-wide registries have one registration site each
	"xmlenc.Register":       {},
	"InsecureSkipVerify":    {},
}
