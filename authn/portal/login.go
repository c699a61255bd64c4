package portal

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/authn/oidc"
)

// The bounds of the login form.
const (
	maxForm  = 8 << 10
	maxEmail = 254
)

// loginData is what the page "login" shows.
type loginData struct {
	Site, Action, Return, Email, Notice, RequestID string
	Again, AskEmail                                bool
	Buttons                                        []button
}

type button struct{ Provider, Label string }

// The notices of the login page.
const (
	noProvider   = "no_provider"
	providerDown = "provider_down"
)

// wish is what a person asks of the login page.
type wish struct {
	at     oidc.Address
	back   string // judged by ReturnPath
	again  bool   // sign in anew, whatever session there is
	email  string
	choice string // a provider's name
}

// loginPage shows the login page, or leads straight on where there is nothing to choose.
func (p *Portal) loginPage(w http.ResponseWriter, ex *access.Exchange) error {
	at, err := address(ex)
	if err != nil {
		return err
	}
	asked := wish{at: at, back: ReturnPath(parameter(ex, "return"), at.Prefix), again: parameter(ex, "again") == "1"}
	if ex.Identity != nil && !asked.again {
		return redirect(w, asked.back) // a second tab, or a bookmark of the login page
	}
	offers := p.rooms.Providers.Offers(at.Site)
	if len(offers) == 1 && !asked.again && !p.cfg.AlwaysAsk && navigation(ex.Request) {
		return p.begin(w, ex, asked, offers[0].Name)
	}
	return p.showLogin(w, ex, http.StatusOK, asked, offers, "")
}

// beginLogin takes the login page's form.
func (p *Portal) beginLogin(w http.ResponseWriter, ex *access.Exchange) error {
	at, err := address(ex)
	if err != nil {
		return err
	}
	form, err := readForm(ex)
	if err != nil {
		return access.Refuse(http.StatusBadRequest, "login_form", "The form cannot be read.", "Go back, reload the page and try again.").Because(err)
	}
	asked := wish{at: at, back: ReturnPath(form["return"], at.Prefix), again: form["again"] == "1", email: strings.TrimSpace(form["email"]), choice: form["provider"]}
	if ex.Identity != nil && !asked.again {
		return redirect(w, asked.back)
	}
	offers := p.rooms.Providers.Offers(at.Site)
	fit := p.fitting(offers, asked)
	switch {
	case len(fit) == 0:
		return p.showLogin(w, ex, http.StatusOK, asked, offers, noProvider)
	case len(fit) > 1:
		for i := range fit {
			fit[i].Button = true // the tenant's own, for the person to choose from
		}
		return p.showLogin(w, ex, http.StatusOK, asked, fit, "")
	}
	return p.begin(w, ex, asked, fit[0].Name)
}

// fitting are the providers that the form may mean: one of the buttons, or those of the tenant that the
// e-mail domain belongs to. A provider cannot be found by guessing its name.
func (p *Portal) fitting(offers []oidc.Offer, asked wish) []oidc.Offer {
	var tenant access.TenantID
	if at := strings.LastIndexByte(asked.email, '@'); at > 0 && len(asked.email) <= maxEmail && !strings.ContainsFunc(asked.email, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		tenant, _ = p.rooms.Directory.ByDomain(asked.email[at+1:])
	}
	return slices.DeleteFunc(slices.Clone(offers), func(o oidc.Offer) bool {
		own := !tenant.IsZero() && o.Tenant == tenant
		if asked.choice != "" {
			return o.Name != asked.choice || !own && !o.Button && len(offers) > 1
		}
		return !own
	})
}

func (p *Portal) begin(w http.ResponseWriter, ex *access.Exchange, asked wish, provider string) error {
	begun, err := p.rooms.Providers.Begin(ex.Request.Context(), oidc.Start{Address: asked.at, Provider: provider, Return: asked.back,
		Hint: asked.email, Again: asked.again, Cookies: ex.Request.Cookies()})
	if errors.Is(err, oidc.ErrNoProvider) {
		return p.showLogin(w, ex, http.StatusOK, asked, p.rooms.Providers.Offers(asked.at.Site), noProvider)
	}
	if err != nil {
		p.rooms.Log.WarnContext(ex.Request.Context(), "a login cannot begin", "request", ex.ID, "provider", provider, "error", err)
		return p.showLogin(w, ex, http.StatusServiceUnavailable, asked, p.rooms.Providers.Offers(asked.at.Site), providerDown)
	}
	ex.SetCookies = append(ex.SetCookies, begun.Cookies...)
	return redirect(w, begun.URL)
}

func (p *Portal) showLogin(w http.ResponseWriter, ex *access.Exchange, status int, asked wish, offers []oidc.Offer, notice string) error {
	data := loginData{Site: asked.at.Site, Action: asked.at.Prefix + "/login", Return: asked.back, Email: asked.email, Notice: notice, RequestID: ex.ID,
		Again: asked.again, AskEmail: len(offers) == 0}
	for _, o := range offers {
		if o.Button || len(offers) == 1 {
			data.Buttons = append(data.Buttons, button{Provider: o.Name, Label: o.Label})
		} else {
			data.AskEmail = true
		}
	}
	if len(data.Email) > maxEmail {
		data.Email = ""
	}
	return p.show(w, ex, status, "login", data, p.rooms.Pages.CSPLeaving())
}

// callback ends a login: the provider has sent the browser back.
func (p *Portal) callback(w http.ResponseWriter, ex *access.Exchange, endpoint string) error {
	if ex.Request.Method != http.MethodGet { // HEAD must not use the attempt up
		return access.Refuse(http.StatusMethodNotAllowed, "method_not_allowed", "This address answers GET alone.", "Sign in again.")
	}
	at, err := address(ex)
	if err != nil {
		return err
	}
	done, err := p.rooms.Providers.Finish(ex.Request.Context(), oidc.Callback{Address: at, Endpoint: endpoint, Query: ex.Target.Query, Cookies: ex.Request.Cookies()})
	ex.SetCookies = append(ex.SetCookies, done.Cookies...)
	if err != nil {
		return err
	}
	if err := p.rooms.Sessions.Begin(ex.Request.Context(), ex, done.Login); err != nil {
		return err
	}
	return redirect(w, ReturnPath(done.Return, at.Prefix))
}

// navigation says that a person is going to a page: an image, a frame or a prefetch of the login
// page must not begin logins, of which a browser keeps a few only.
func navigation(r *http.Request) bool {
	h := r.Header
	return r.Method == http.MethodGet && strings.Contains(h.Get("Accept"), "text/html") &&
		(h.Get("Sec-Fetch-Mode") == "" || h.Get("Sec-Fetch-Mode") == "navigate") &&
		(h.Get("Sec-Fetch-Dest") == "" || h.Get("Sec-Fetch-Dest") == "document") &&
		h.Get("Sec-Purpose") == "" && h.Get("Purpose") == ""
}

// readForm reads the bytes that the gates have judged. A field that stands twice is
// refused: which one counts would be anybody's guess.
func readForm(ex *access.Exchange) (map[string]string, error) {
	form := map[string]string{}
	if ex.Body.Open == nil {
		return form, nil
	}
	body, err := ex.Body.Open()
	if err != nil {
		return nil, fmt.Errorf("open the form: %w", err)
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, maxForm+1))
	if err != nil {
		return nil, fmt.Errorf("read the form: %w", err)
	}
	if len(b) > maxForm {
		return nil, fmt.Errorf("form of more than %d bytes", maxForm)
	}
	values, err := url.ParseQuery(string(b))
	if err != nil {
		return nil, fmt.Errorf("parse the form: %w", err)
	}
	for name, list := range values {
		if len(list) > 1 {
			return nil, errors.New("a field stands there twice")
		}
		form[name] = list[0]
	}
	return form, nil
}
