package oidc

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"time"

	"golang.org/x/oauth2"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
)

// maxHint is the longest ID token that is put into an address, in bytes.
const maxHint = 4096

// ErrNoProvider says that no provider of that name serves the site.
var ErrNoProvider = errors.New("no such identity provider for this site")

// Set is the configured providers. It is immutable and safe for concurrent use.
type Set struct {
	runtime   *Runtime
	domains   Domains
	providers []*provider
	byName    map[string]*provider
}

// Offer is a provider that a site can send people to.
type Offer struct {
	Name   string
	Label  string
	Tenant access.TenantID
	Button bool // shown to everybody
}

// Offers lists a site's providers in the order of the file.
func (s *Set) Offers(site string) []Offer {
	var offers []Offer
	for _, p := range s.providers {
		if p.serves(site) {
			offers = append(offers, Offer{Name: p.Name, Label: p.Label, Tenant: p.tenant, Button: p.Button})
		}
	}
	return offers
}

// CallbackPaths are the endpoints, below a site's prefix, that providers answer to.
func (s *Set) CallbackPaths() []string {
	paths := []string{"oidc/callback"}
	for _, p := range s.providers {
		if !slices.Contains(paths, p.callback) {
			paths = append(paths, p.callback)
		}
	}
	return paths
}

// Address is where a login happens.
type Address struct {
	Site   string // its name
	Origin string // as the browser sees it: "https://crm.example.com"
	Prefix string // of our own addresses: "/.sallyport"
}

func (a Address) place() place { return place{site: a.Site, origin: a.Origin} }

// Start asks to begin a login.
type Start struct {
	Address
	Provider string
	// Return is the path to go to afterwards. The caller has validated it.
	Return string
	// Hint is the e-mail address that the person typed; may be "".
	Hint string
	// Again asks the provider to let the person prove who they are anew, instead of
	// reusing its own session.
	Again bool
	// Cookies are those of the request.
	Cookies []*http.Cookie
}

// Begun is a login that has begun: send the browser to URL with these cookies.
type Begun struct {
	URL     string
	Cookies []*http.Cookie
}

// Begin starts a login attempt. ErrNoProvider is a mistake of the caller's client; any
// other error means that the provider cannot be asked at the moment.
func (s *Set) Begin(ctx context.Context, start Start) (Begun, error) {
	p, ok := s.byName[start.Provider]
	if !ok || !p.serves(start.Site) {
		return Begun{}, ErrNoProvider
	}
	meta, err := p.issuer.metadata(ctx)
	if err != nil {
		return Begun{}, err
	}
	s.warnOfMixUp(ctx, p, meta)
	now := s.runtime.now()
	a := &attempt{id: newAttemptID(), Provider: p.Name, Fingerprint: p.fingerprint, Callback: p.callback,
		Secret: rand.Text(), Nonce: rand.Text(), Verifier: oauth2.GenerateVerifier(), Return: start.Return, Made: now.UnixMicro()}
	cookie, err := a.cookie(s.runtime.sealer, start.place())
	if err != nil {
		return Begun{}, err
	}
	options := []oauth2.AuthCodeOption{oauth2.S256ChallengeOption(a.Verifier), oauth2.SetAuthURLParam("nonce", a.Nonce)}
	if start.Hint != "" {
		options = append(options, oauth2.SetAuthURLParam("login_hint", start.Hint))
	}
	if start.Again {
		options = append(options, oauth2.SetAuthURLParam("prompt", "login"))
	}
	return Begun{
		URL:     p.client(meta, start.Address).AuthCodeURL(a.state(), options...),
		Cookies: append(makeRoom(start.Cookies, s.runtime.sealer, start.place(), now), cookie),
	}, nil
}

// client is the OAuth client of a provider for one address.
func (p *provider) client(meta *metadata, at Address) *oauth2.Config {
	style := oauth2.AuthStyleInHeader // the default of OpenID Connect Core 1.0, section 9
	if p.secret.IsZero() || len(meta.TokenAuth) > 0 && !slices.Contains(meta.TokenAuth, "client_secret_basic") {
		style = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: p.ClientID, ClientSecret: p.secret.Reveal(), Scopes: p.Scopes,
		RedirectURL: at.Origin + at.Prefix + "/" + p.callback,
		// The style is stated: finding it out would spend the one-time code.
		Endpoint: oauth2.Endpoint{AuthURL: meta.Authorization, TokenURL: meta.Token, AuthStyle: style},
	}
}

// warnOfMixUp tells the operator when nothing but PKCE and the state stands against a mix-up:
// several providers answer at one address, and this one does not say who it is.
func (s *Set) warnOfMixUp(ctx context.Context, p *provider, meta *metadata) {
	if meta.SendsIss || p.OwnCallback || len(s.providers) < 2 {
		return
	}
	s.runtime.log.WarnContext(ctx, "the provider sends no iss parameter (RFC 9207) and shares its redirect URI with others; set own_callback: true", "provider", p.Name)
}

// EndSession gives the address of the provider's own logout, which leads back to the
// address given (OpenID Connect RP-Initiated Logout 1.0). False when the provider has
// none, does not answer in time, or the file does not ask for it. The hint is the ID token
// that the session began with; without one, or with one too long for an address, the
// provider may ask the person whether they mean it.
func (s *Set) EndSession(ctx context.Context, providerName, back string, hint secret.String) (string, bool) {
	p, ok := s.byName[providerName]
	if !ok || !p.Logout {
		return "", false
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
	defer cancel()
	meta, err := p.issuer.metadata(ctx)
	if err != nil || meta.EndSession == "" {
		return "", false
	}
	u, err := url.Parse(meta.EndSession)
	if err != nil {
		return "", false
	}
	q := u.Query()
	q.Set("client_id", p.ClientID)
	q.Set("post_logout_redirect_uri", back)
	if token := hint.Reveal(); token != "" && len(token) <= maxHint {
		q.Set("id_token_hint", token)
	}
	u.RawQuery = q.Encode()
	return u.String(), true
}

// unavailable is a refusal because the provider does not answer.
func unavailable(err error) *access.Refusal {
	return &access.Refusal{Status: http.StatusServiceUnavailable, Code: "provider_unavailable", RetryAfter: retryAfter,
		Detail: "Your organisation's sign-in service does not answer at the moment.",
		Remedy: "Try again in a minute. If it goes on, tell your administrator the request id.", Err: fmt.Errorf("oidc: %w", err)}
}
