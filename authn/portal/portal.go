package portal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn"
	"github.com/sallyport/sallyport/authn/oidc"
	"github.com/sallyport/sallyport/secret"
)

// Providers are the OpenID Connect providers: *oidc.Set.
type Providers interface {
	Offers(site string) []oidc.Offer
	CallbackPaths() []string
	Begin(ctx context.Context, start oidc.Start) (oidc.Begun, error)
	Finish(ctx context.Context, cb oidc.Callback) (oidc.Finished, error)
	EndSession(ctx context.Context, provider, back string, hint secret.String) (string, bool)
}

// Sessions begins and ends sessions: *authn.Sessions. Begin and End put the cookies
// into ex.SetCookies.
type Sessions interface {
	Begin(ctx context.Context, ex *access.Exchange, login authn.Login) error
	End(ctx context.Context, ex *access.Exchange) error
	LogoutHint(ctx context.Context, ex *access.Exchange) secret.String
}

// Directory tells whose an e-mail domain is and what a tenant is called: *directory.Directory.
type Directory interface {
	ByDomain(domain string) (access.TenantID, bool)
	TenantName(id access.TenantID) string
}

// Pages renders pages and gives their content security policies: *web.Pages.
type Pages interface {
	Render(w io.Writer, page string, data any) error
	CSP() string
	CSPLeaving() string
}

// Rooms are what the portal asks. All but Log are required.
type Rooms struct {
	Providers Providers
	Sessions  Sessions
	Directory Directory
	Pages     Pages
	Log       *slog.Logger
}

// Portal serves the pages. It is immutable and safe for concurrent use.
type Portal struct {
	rooms Rooms
	cfg   Config
}

// New makes a Portal.
func New(c Config, rooms Rooms) (*Portal, error) {
	if rooms.Providers == nil || rooms.Sessions == nil || rooms.Directory == nil || rooms.Pages == nil {
		return nil, errors.New("portal: a room is missing")
	}
	if rooms.Log == nil {
		rooms.Log = slog.New(slog.DiscardHandler)
	}
	return &Portal{rooms: rooms, cfg: c.WithDefaults()}, nil
}

// Endpoints are the portal's addresses.
func (p *Portal) Endpoints() []access.Endpoint {
	form := access.BodyRule{Types: []string{"application/x-www-form-urlencoded"}, Max: maxForm}
	endpoints := []access.Endpoint{
		{Path: "login", Method: http.MethodGet, Class: access.Portal, Action: access.ActionRead, ReadOnly: true, Serve: p.loginPage},
		// It only sends the browser to the provider: nothing has changed yet, so there is
		// nothing to record. Whoever posts it from another site gains an attempt that
		// is bound to the victim's own browser.
		{Path: "login", Method: http.MethodPost, Class: access.Portal, Action: access.ActionLogin, ReadOnly: true, Body: form, Serve: p.beginLogin},
		{Path: "whoami", Method: http.MethodGet, Class: access.Portal, Action: access.ActionRead, ReadOnly: true, Serve: p.whoami},
		{Path: "logout", Method: http.MethodGet, Class: access.Portal, Action: access.ActionRead, ReadOnly: true, Serve: p.logoutPage},
		{Path: "logout", Method: http.MethodPost, Class: access.Portal, Action: access.ActionLogout, Always: true, Body: form, Serve: p.logout},
		{Path: "loggedout", Method: http.MethodGet, Class: access.Portal, Action: access.ActionRead, ReadOnly: true, Serve: p.loggedout},
	}
	for _, path := range p.rooms.Providers.CallbackPaths() {
		endpoints = append(endpoints, access.Endpoint{Path: path, Method: http.MethodGet, Class: access.Portal, Action: access.ActionLogin,
			CrossSite: true, // the provider sends the browser here; state and nonce are the proof
			Serve:     func(w http.ResponseWriter, ex *access.Exchange) error { return p.callback(w, ex, path) }})
	}
	return endpoints
}

// show answers with a page of ours. Nothing is written on an error.
func (p *Portal) show(w http.ResponseWriter, ex *access.Exchange, status int, page string, data any, csp string) error {
	var b bytes.Buffer
	if err := p.rooms.Pages.Render(&b, page, data); err != nil {
		return access.Unavailable("page_unavailable", err)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", csp)
	h.Set("Cache-Control", "private, no-store")
	h.Set("X-Request-Id", ex.ID)
	w.WriteHeader(status)
	if ex.Request.Method != http.MethodHead {
		w.Write(b.Bytes()) // the client's going away is no error of ours
	}
	return nil
}

// redirect sends the browser on, by GET. The target is a path that ReturnPath has judged, one of our
// own addresses, or a provider's.
func redirect(w http.ResponseWriter, target string) error {
	w.Header().Set("Location", target)
	w.Header().Set("Cache-Control", "private, no-store")
	w.WriteHeader(http.StatusSeeOther)
	return nil
}

// address is where a request is on the site: the site's own origin, or that of another of its hosts,
// since cookies and redirect URIs belong to one host. Host has been matched by then.
func address(ex *access.Exchange) (oidc.Address, error) {
	if ex.Site == nil {
		return oidc.Address{}, access.Unavailable("site_unknown", errors.New("portal: the request was not located"))
	}
	at := oidc.Address{Site: ex.Site.Name, Origin: ex.Site.Origin, Prefix: ex.Site.Prefix}
	own, err := url.Parse(ex.Site.Origin)
	if err != nil {
		return oidc.Address{}, access.Unavailable("site_unknown", err)
	}
	came := &url.URL{Host: ex.Request.Host}
	asked, port := strings.ToLower(came.Hostname()), own.Port()
	if !slices.Contains(ex.Site.Hosts, asked) {
		return at, nil
	}
	// Where the site does not say its port it is the one by which the browser came: containers and
	// load balancers map ports. A made-up one leads nowhere, since providers compare redirect URIs
	// exactly (RFC 9700, section 2.1).
	if port == "" {
		port = came.Port()
	}
	at.Origin = own.Scheme + "://" + asked
	if port != "" && port != "443" {
		at.Origin += ":" + port
	}
	return at, nil
}

// parameter gives a query parameter that stands there exactly once, or "".
func parameter(ex *access.Exchange, name string) string {
	value, found := "", false
	for _, pair := range ex.Target.Query {
		if pair.Name != name {
			continue
		}
		if found {
			return ""
		}
		value, found = pair.Value, true
	}
	return value
}
