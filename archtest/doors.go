package archtest

// ground is the ground floor: the standard library and each other, downwards only.
var ground = map[string][]string{
	"access":     {},
	"secret":     {},
	"units":      {},
	"observe":    {},
	"outbound":   {},
	"strictjson": {},
}

// rooms may import the ground floor, and the packages listed here: no doors between rooms.
var rooms = map[string][]string{
	"audit":         {},
	"authn":         {},
	"authn/oidc":    {"authn"},
	"authn/portal":  {"authn", "authn/oidc"}, // the pages lead to each way of logging in
	"authn/session": {"authn"},
	"directory":     {},
	"edge":          {},
	"operation":     {},
	"policy":        {},
	"proxy":         {},
	"ratelimit":     {},
	"store":         {},
	"telemetry":     {},
	"waf":           {},
	"web":           {},
}

// upstairs stands above the rooms.
var upstairs = map[string][]string{
	"archtest": {},
	// The file's tree is made of the rooms' Config types.
	"configs": {"audit", "authn", "authn/oidc", "authn/portal", "directory", "edge", "operation", "policy", "proxy", "ratelimit", "store", "telemetry", "waf", "web"},
	// The demo is an application and an identity provider in front of which the
	// gateway stands: it knows no room.
	"demo": {},
	// The only place where rooms meet.
	"cmd/sallyport": {"*"},
}

// testDoors are further doors for tests alone: a store's contract is shown on a real database.
var testDoors = map[string][]string{
	"authn":         {"authn/session", "store"},
	"authn/session": {"store"},
}
