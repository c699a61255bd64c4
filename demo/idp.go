package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// The lifetimes and bounds of what the provider hands out.
const (
	codeLife    = 60 * time.Second
	tokenLife   = 5 * time.Minute
	maxGrants   = 1000     // codes and tokens alive at a time
	maxIdPBody  = 16 << 10 // bytes of a form
	maxIdPParam = 4096     // bytes of one parameter
)

// IdP is a small OpenID provider: one issuer for each tenant, at <base>/<tenant>, with
// users in memory (OpenID Connect Core 1.0, Discovery 1.0, RP-Initiated Logout 1.0;
// RFC 7636 with S256 required, RFC 9207). It is safe for concurrent use.
type IdP struct {
	now     func() time.Time
	key     *ecdsa.PrivateKey
	keyID   string
	issuers map[string]*issuer
	mux     *http.ServeMux
	pages   *template.Template

	mu     sync.Mutex
	codes  map[string]*grant // by code
	tokens map[string]*grant // by access token
	// redirects and returns are the addresses that clients have registered, for logins
	// and for after a logout.
	redirects, returns []string
}

// issuer is the provider of one tenant, with its one client.
type issuer struct {
	Tenant
	url    string
	client Client
	users  []User
}

// Client is what a relying party needs to know.
type Client struct {
	Issuer string
	ID     string
	Secret string
}

// User is a person who can log in.
type User struct {
	Tenant   string `json:"tenant"`
	Role     string `json:"role"`
	Email    string `json:"email"`
	Name     string `json:"name"`
	Password string `json:"password"`

	subject string
}

// grant is a login that has happened and waits to be fetched.
type grant struct {
	issuer      *issuer
	user        User
	redirectURI string
	nonce       string
	challenge   string
	at          time.Time // of the login
	ends        time.Time
	used        bool   // a code that was redeemed is remembered until it ends
	token       string // that was given for it
}

// NewIdP makes a provider whose address is base, such as http://127.0.0.1:4711. Keys,
// client secrets and passwords are new each time.
func NewIdP(base string, now func() time.Time) (*IdP, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the provider's key: %w", err)
	}
	pages, err := parsePages("idp_*.html")
	if err != nil {
		return nil, err
	}
	p := &IdP{
		now: now, key: key, keyID: rand.Text()[:8], pages: pages, issuers: map[string]*issuer{}, mux: http.NewServeMux(),
		codes: map[string]*grant{}, tokens: map[string]*grant{},
	}
	for _, t := range Tenants() {
		i := &issuer{Tenant: t, url: base + "/" + t.ID}
		i.client = Client{Issuer: i.url, ID: "crm-of-" + t.ID, Secret: rand.Text()}
		for _, role := range Roles() {
			i.users = append(i.users, User{
				Tenant: t.ID, Role: role, Email: role + "@" + t.Domain, Name: people[t.ID][role],
				Password: newPassword(), subject: strings.ToLower(rand.Text()),
			})
		}
		p.issuers[t.ID] = i
	}
	p.routes()
	return p, nil
}

// newPassword is 60 random bits in a form that one can type.
func newPassword() string {
	t := strings.ToLower(rand.Text())
	return t[0:4] + "-" + t[4:8] + "-" + t[8:12]
}

// Client gives the client of a tenant's issuer.
func (p *IdP) Client(tenant string) Client { return p.issuers[tenant].client }

// Users lists everybody who can log in, tenant by tenant.
func (p *IdP) Users() []User {
	var users []User
	for _, t := range Tenants() {
		users = append(users, p.issuers[t.ID].users...)
	}
	return users
}

// Register sets the only addresses to which people are sent after a login and after a
// logout. They are compared byte for byte.
func (p *IdP) Register(redirects, returns []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.redirects, p.returns = slices.Clone(redirects), slices.Clone(returns)
}

func (p *IdP) routes() {
	handle := func(pattern string, serve func(http.ResponseWriter, *http.Request, *issuer)) {
		p.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
			i := p.issuers[r.PathValue("tenant")]
			if i == nil {
				http.NotFound(w, r)
				return
			}
			r.Body = http.MaxBytesReader(w, r.Body, maxIdPBody)
			serve(w, r, i)
		})
	}
	handle("GET /{tenant}/.well-known/openid-configuration", p.discovery)
	handle("GET /{tenant}/jwks", p.jwks)
	handle("GET /{tenant}/authorize", p.authorize)
	handle("POST /{tenant}/authorize", p.authorize)
	handle("POST /{tenant}/login", p.login)
	handle("POST /{tenant}/token", p.token)
	handle("GET /{tenant}/userinfo", p.userinfo)
	handle("POST /{tenant}/userinfo", p.userinfo)
	handle("GET /{tenant}/end_session", p.endSession)
	handle("POST /{tenant}/end_session", p.endSession)
	p.mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		p.page(w, http.StatusOK, "idp_message.html", message{Title: "Demo sign-in service", Text: "This is the identity provider of the Sallyport demo. The application sends you here when it is time to sign in."})
	})
}

// ServeHTTP implements http.Handler.
func (p *IdP) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("X-Content-Type-Options", "nosniff")
	p.mux.ServeHTTP(w, r)
}

// discovery is OpenID Connect Discovery 1.0, section 3.
func (p *IdP) discovery(w http.ResponseWriter, _ *http.Request, i *issuer) {
	reply(w, http.StatusOK, map[string]any{
		"issuer":                                         i.url,
		"authorization_endpoint":                         i.url + "/authorize",
		"token_endpoint":                                 i.url + "/token",
		"userinfo_endpoint":                              i.url + "/userinfo",
		"end_session_endpoint":                           i.url + "/end_session",
		"jwks_uri":                                       i.url + "/jwks",
		"response_types_supported":                       []string{"code"},
		"response_modes_supported":                       []string{"query"},
		"grant_types_supported":                          []string{"authorization_code"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"ES256"},
		"token_endpoint_auth_methods_supported":          []string{"client_secret_basic", "client_secret_post"},
		"code_challenge_methods_supported":               []string{"S256"},
		"scopes_supported":                               []string{"openid", "email", "profile"},
		"claims_supported":                               []string{"sub", "email", "email_verified", "name", "groups", "auth_time", "amr"},
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false,
		"authorization_response_iss_parameter_supported": true,
	})
}

// jwks is the one public key (RFC 7517).
func (p *IdP) jwks(w http.ResponseWriter, _ *http.Request, _ *issuer) {
	point, err := p.key.PublicKey.Bytes()
	if err != nil {
		http.Error(w, "no key", http.StatusInternalServerError)
		return
	}
	b64 := base64.RawURLEncoding.EncodeToString
	w.Header().Set("Cache-Control", "public, max-age=300")
	reply(w, http.StatusOK, map[string]any{"keys": []any{map[string]string{
		"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": p.keyID, "x": b64(point[1:33]), "y": b64(point[33:]),
	}}})
}

// keep remembers a grant. False when too many are alive.
func (p *IdP) keep(where map[string]*grant, key string, g *grant) bool {
	now := p.now()
	for k, old := range where {
		if !now.Before(old.ends) {
			delete(where, k)
		}
	}
	if len(where) >= maxGrants {
		return false
	}
	where[key] = g
	return true
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v) // a client that is gone needs no answer
}
