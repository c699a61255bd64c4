package proxy

import (
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/units"
)

// Config is the file's `proxy` key.
type Config struct {
	Sites []SiteConfig `yaml:"sites" doc:"The applications behind the gateway, at least one."`
}

// SiteConfig describes one application.
type SiteConfig struct {
	Name      string   `yaml:"name" doc:"The site's name: letters, digits and dashes. It is the audience of its tokens."`
	Hosts     []string `yaml:"hosts" doc:"The host names it answers to, without port."`
	Upstreams []string `yaml:"upstreams" doc:"Addresses of the application, https://host:port or http://host:port. Several are balanced."`
	Prefix    string   `yaml:"prefix" doc:"Where the gateway's own pages begin on this site. Default /.sallyport."`

	Tenant     TenantConfig     `yaml:"tenant" doc:"How the backend learns the tenant, and where a client could try to name one."`
	Public     []string         `yaml:"public" doc:"Path patterns of assets that need no login, such as /static/**. GET and HEAD only."`
	WebSocket  string           `yaml:"websocket" doc:"off (default) or opaque: pass WebSockets, whose frames the gateway does not see into."`
	CORS       CORSConfig       `yaml:"cors" doc:"Which other origins may call this site from a browser."`
	Bodies     []BodyConfig     `yaml:"bodies" doc:"What request bodies may be, by path. The rest: JSON, form and multipart of at most 10 MiB."`
	Resources  []ResourceConfig `yaml:"resources" doc:"What the addresses of the application mean. The first match counts."`
	Exceptions []PathException  `yaml:"exceptions" doc:"Paths on which a spelling that is refused elsewhere is allowed."`

	MethodOverride bool `yaml:"method_override" doc:"The application honours the form field _method of a POST (Rails, Laravel, Symfony): it decides the action. Elsewhere, and always in a query or in JSON, it is refused. Default false."`

	Headers      HeadersConfig  `yaml:"headers" doc:"Names of the headers that tell the backend who asks."`
	UpstreamAuth *UpstreamAuth  `yaml:"upstream_auth" doc:"How the gateway logs in to a backend that has a login of its own."`
	Cookies      CookiesConfig  `yaml:"cookies" doc:"Which of the backend's cookies are special."`
	Upstream     UpstreamConfig `yaml:"upstream" doc:"How the gateway talks to the backend."`
	Response     ResponseConfig `yaml:"response" doc:"What the gateway adds to the backend's answers."`
	WAF          string         `yaml:"waf" doc:"enforce (default), shadow or off, for this site."`
	Trailers     []string       `yaml:"trailers" doc:"Request trailers that may pass to the backend. Default none."`
}

// TenantConfig says how a tenant is told and guarded.
type TenantConfig struct {
	Header      string              `yaml:"header" doc:"The one header that tells the backend the tenant. Default X-Tenant-ID."`
	Guard       []string            `yaml:"guard" doc:"Where a client could name a tenant: path.NAME, query.NAME, form.NAME or json.NAME. Whatever stands there must be the session's tenant."`
	PathElement bool                `yaml:"path_element" doc:"The first path element is the tenant; another tenant's is refused."`
	Upstreams   map[string][]string `yaml:"upstreams" doc:"Addresses of the application by tenant id, for an application with one instance per tenant."`
	PathNames   map[string]string   `yaml:"path_names" doc:"With path_element: the element that stands for a tenant id, where they differ (a database's name)."`
}

// CORSConfig lists origins that may call the site.
type CORSConfig struct {
	Origins []string   `yaml:"origins" doc:"Exact origins, such as https://app.example.com. No wildcard."`
	Methods []string   `yaml:"methods" doc:"Methods they may use. Default GET, HEAD, POST, PUT, PATCH, DELETE."`
	Headers []string   `yaml:"headers" doc:"Request headers they may send. Default Content-Type, Authorization."`
	MaxAge  units.Span `yaml:"max_age" doc:"How long a browser may remember the answer. Default 10m."`
}

// BodyConfig bounds the bodies of some paths.
type BodyConfig struct {
	Path   string     `yaml:"path" doc:"Path pattern."`
	Types  []string   `yaml:"types" doc:"Allowed media types, such as application/json."`
	Max    units.Size `yaml:"max" doc:"Largest body. Default 10MiB."`
	Stream bool       `yaml:"stream" doc:"Judge the body while it passes instead of spooling it first, for large uploads."`
}

// ResourceConfig gives an address its meaning. Without jsonrpc or form, the verb is the action.
type ResourceConfig struct {
	Type    string            `yaml:"type" doc:"The resource's type, as policy and audit call it."`
	Path    string            `yaml:"path" doc:"Path pattern of the rest style: /api/contacts/{id}. It covers the collection as well."`
	Actions map[string]string `yaml:"actions" doc:"With path: actions by method, where they differ from the verbs' (POST: read for a search)."`
	JSONRPC *JSONRPCConfig    `yaml:"jsonrpc" doc:"The jsonrpc style: one address, the body names the method."`
	Form    *FormConfig       `yaml:"form" doc:"The form style: a parameter of query or body names the action."`
}

// JSONRPCConfig is the jsonrpc style.
type JSONRPCConfig struct {
	Path      string              `yaml:"path" doc:"Path pattern of the one address."`
	Methods   map[string][]string `yaml:"methods" doc:"Method names by action: {read: [model.party.party.read], update: [...]}. A trailing * matches any rest. Others are unknown, hence mutating."`
	Resources map[string]string   `yaml:"resources" doc:"Resource types by method name, a trailing * matches any rest."`
	ID        string              `yaml:"id" doc:"Where the resource's id stands in the body, such as params.0.0."`
}

// FormConfig is the form style.
type FormConfig struct {
	Path    string              `yaml:"path" doc:"Path pattern."`
	Action  string              `yaml:"action" doc:"Name of the parameter that tells the action."`
	Actions map[string][]string `yaml:"actions" doc:"Values of that parameter by action: {delete: [confirm_delete], read: [view]}. Others are unknown, hence mutating."`
	ID      string              `yaml:"id" doc:"Name of the parameter that holds the resource's id."`
}

// PathException allows one odd spelling on one path. It then has one stated reading.
type PathException struct {
	Path  string   `yaml:"path" doc:"Path pattern, matched on the decoded path."`
	Allow []string `yaml:"allow" doc:"semicolon: ';' begins a path parameter such as ;jsessionid=1, and decisions are made on the path without it. encoded_slash: %2F is a character of an element, not a separator."`
}

// HeadersConfig names the identity headers.
type HeadersConfig struct {
	UserID    string   `yaml:"user_id" doc:"Default X-User-ID."`
	Email     string   `yaml:"email" doc:"Default X-User-Email."`
	Roles     string   `yaml:"roles" doc:"Default X-User-Roles, comma-separated."`
	Assertion string   `yaml:"assertion" doc:"Default X-Sallyport-Assertion: a JWT that the backend can verify with jwks.json."`
	Protect   []string `yaml:"protect" doc:"Further header names that clients may never send to this backend."`
}

// UpstreamAuth is a login at the backend, done by the gateway for each user.
type UpstreamAuth struct {
	Kind   string                `yaml:"kind" doc:"header: the user's name in a header (REMOTE_USER style). bearer: a token per user. login: log in once per user and keep the backend's session."`
	Header string                `yaml:"header" doc:"Kind header: the header's name. Default X-Remote-User."`
	Value  string                `yaml:"value" doc:"Kind header: what it holds, email (default) or id."`
	Users  map[string]Credential `yaml:"users" doc:"Kinds bearer and login: the credential by tenant/e-mail, tenant/*, e-mail or *, tried in that order."`
	Login  *LoginConfig          `yaml:"login" doc:"Kind login: how to log in."`
}

// Credential is one user's at the backend.
type Credential struct {
	User     string     `yaml:"user" doc:"The user's name at the backend. Default the e-mail."`
	Password secret.Ref `yaml:"password" doc:"Kind login: the password, env:NAME or file:/path."`
	Token    secret.Ref `yaml:"token" doc:"Kind bearer: the token, env:NAME or file:/path."`
}

// LoginConfig describes a backend's login request. In Path, Body and Header, {user},
// {password}, {tenant} and the names under Take stand for their values, escaped for where they stand.
type LoginConfig struct {
	Path   string            `yaml:"path" doc:"Path of the login request, a POST."`
	Type   string            `yaml:"type" doc:"Its media type: application/json or application/x-www-form-urlencoded."`
	Body   string            `yaml:"body" doc:"Its body, with {user} and {password}."`
	Take   map[string]string `yaml:"take" doc:"What to take from the answer: json.PATH, such as json.result.1, or cookie.NAME."`
	Header map[string]string `yaml:"header" doc:"Headers to send with each request then; base64(...) encodes what it encloses."`
	Keep   units.Span        `yaml:"keep" doc:"How long a backend session is used before logging in again. Default 1h."`
	Renew  []int             `yaml:"renew" doc:"Statuses, 400 to 499, that mean that the backend session has ended. Default 401."`
}

// CookiesConfig names cookies of the backend. All others are HttpOnly for us: sealed to the session.
type CookiesConfig struct {
	Script   []string `yaml:"script" doc:"Cookies that the application's scripts set by themselves; they pass as they are."`
	Prelogin []string `yaml:"prelogin" doc:"Cookies that survive from before the login."`
}

// UpstreamConfig is how we talk to the backend.
type UpstreamConfig struct {
	CA         string     `yaml:"ca" doc:"PEM file of further root certificates for the backend."`
	ServerName string     `yaml:"server_name" doc:"Name to verify in the backend's certificate, where it differs from the address."`
	Dial       units.Span `yaml:"dial" doc:"Longest time to connect. Default 5s."`
	Header     units.Span `yaml:"header" doc:"Longest time until the answer begins, long polls included. Default 310s."`
	MaxConns   int        `yaml:"max_conns" doc:"Most requests under way at one address; more get 503. Default 512."`
	HealthPath string     `yaml:"health_path" doc:"Path that is asked every 10s to see whether an address lives. Default none: failures of real requests count."`
}

// ResponseConfig is what we add to answers.
type ResponseConfig struct {
	HSTS     units.Span `yaml:"hsts" doc:"Strict-Transport-Security max-age. Default 365d."`
	Frame    string     `yaml:"frame" doc:"sameorigin (default), deny or off: X-Frame-Options where the application sends none."`
	Referrer string     `yaml:"referrer" doc:"Referrer-Policy where the application sends none. Default same-origin."`
}
