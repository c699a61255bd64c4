package portal

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
)

// whoamiData is what the page "whoami" shows.
type whoamiData struct {
	Site, Subject, Name, Email, Tenant, TenantName, Provider, LogoutURL, HomeURL, RequestID string
	Roles, Groups, AMR                                                                      []string
	AuthTime, Expires                                                                       time.Time
}

// whoamiJSON is the same for programs. It never holds a token, nor the session's id.
type whoamiJSON struct {
	Subject    string    `json:"subject"`
	Name       string    `json:"name,omitempty"`
	Email      string    `json:"email,omitempty"`
	Tenant     string    `json:"tenant"`
	TenantName string    `json:"tenant_name,omitempty"`
	Roles      []string  `json:"roles"`
	Groups     []string  `json:"groups,omitempty"`
	Provider   string    `json:"provider"`
	AMR        []string  `json:"amr,omitempty"`
	AuthTime   time.Time `json:"auth_time"`
	Expires    time.Time `json:"expires"`
}

func (p *Portal) whoami(w http.ResponseWriter, ex *access.Exchange) error {
	at, err := address(ex)
	if err != nil {
		return err
	}
	id := ex.Identity
	if id == nil {
		refusal := access.Refuse(http.StatusUnauthorized, "not_logged_in", "You are not signed in.", "Sign in and try again.")
		refusal.Login, refusal.Counted = true, true
		return refusal
	}
	name := p.rooms.Directory.TenantName(id.Tenant)
	if !strings.Contains(ex.Request.Header.Get("Accept"), "text/html") {
		b, err := json.Marshal(whoamiJSON{Subject: id.Subject, Name: id.Name, Email: id.Email, Tenant: id.Tenant.String(), TenantName: name, Roles: id.Roles,
			Groups: id.Groups, Provider: id.Provider, AMR: id.AMR, AuthTime: id.AuthTime.UTC(), Expires: id.Expires.UTC()})
		if err != nil {
			return access.Unavailable("page_unavailable", err)
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Cache-Control", "private, no-store")
		w.Header().Set("Vary", "Accept")
		w.WriteHeader(http.StatusOK)
		if ex.Request.Method != http.MethodHead {
			w.Write(append(b, '\n'))
		}
		return nil
	}
	w.Header().Set("Vary", "Accept")
	return p.show(w, ex, http.StatusOK, "whoami", whoamiData{Site: at.Site, Subject: id.Subject, Name: id.Name, Email: id.Email, Tenant: id.Tenant.String(), TenantName: name,
		Provider: id.Provider, LogoutURL: at.Prefix + "/logout", HomeURL: "/", RequestID: ex.ID, Roles: id.Roles, Groups: id.Groups, AMR: id.AMR,
		AuthTime: id.AuthTime, Expires: id.Expires}, p.rooms.Pages.CSPLeaving())
}

// logoutData is what the page "logout" shows.
type logoutData struct{ Site, Action, Who, HomeURL, RequestID string }

// logoutPage asks. A GET never logs anybody out: an image on another site could be that GET.
func (p *Portal) logoutPage(w http.ResponseWriter, ex *access.Exchange) error {
	at, err := address(ex)
	if err != nil {
		return err
	}
	if ex.Identity == nil {
		return redirect(w, at.Prefix+"/loggedout")
	}
	who := ex.Identity.Email
	if who == "" {
		who = ex.Identity.Name
	}
	return p.show(w, ex, http.StatusOK, "logout", logoutData{Site: at.Site, Action: at.Prefix + "/logout", Who: who, HomeURL: "/", RequestID: ex.ID}, p.rooms.Pages.CSPLeaving())
}

// logout ends the login here, then leads to the provider's own logout when the file wants that.
// Without a session it still clears the cookies.
func (p *Portal) logout(w http.ResponseWriter, ex *access.Exchange) error {
	at, err := address(ex)
	if err != nil {
		return err
	}
	ctx := ex.Request.Context()
	provider, hint := "", secret.String{}
	if ex.Identity != nil {
		provider = ex.Identity.Provider
		hint = p.rooms.Sessions.LogoutHint(ctx, ex) // before the session is gone
	}
	if err := p.rooms.Sessions.End(ctx, ex); err != nil {
		return err
	}
	if provider != "" {
		if there, ok := p.rooms.Providers.EndSession(ctx, provider, at.Origin+at.Prefix+"/loggedout", hint); ok {
			return redirect(w, there)
		}
		return redirect(w, at.Prefix+"/loggedout?local=1")
	}
	return redirect(w, at.Prefix+"/loggedout")
}

// loggedoutData is what the page "loggedout" shows.
type loggedoutData struct {
	Site, LoginURL, RequestID string
	StillAtProvider           bool
}

func (p *Portal) loggedout(w http.ResponseWriter, ex *access.Exchange) error {
	at, err := address(ex)
	if err != nil {
		return err
	}
	// again: the provider is to ask, or the next person at this computer would be the last one.
	return p.show(w, ex, http.StatusOK, "loggedout", loggedoutData{Site: at.Site, LoginURL: at.Prefix + "/login?again=1", RequestID: ex.ID,
		StillAtProvider: parameter(ex, "local") == "1"}, p.rooms.Pages.CSP())
}
