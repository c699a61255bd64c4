package proxy

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/access"
)

// refuse is the only place where a "no" becomes a response: the way to the login, a page for
// people or problem+json (RFC 9457) for programs. It counts it, and gives the refusal back, nil
// when a gate had answered by itself. Nothing may have been written before.
func (p *Plan) refuse(ex *access.Exchange, a *answer, err error) *access.Refusal {
	own := (*access.Answer)(nil)
	if errors.As(err, &own) {
		for name, values := range own.Header {
			a.Header()[name] = values
		}
		a.WriteHeader(own.Status)
		return nil
	}
	refusal := (*access.Refusal)(nil)
	if !errors.As(err, &refusal) || refusal.Status < 400 || refusal.Status > 599 {
		refusal = access.Unavailable("gate_unavailable", err) // closed: an unknown error is a refusal
	}
	p.meters.refusals.Add(1, refusal.Gate, refusal.Code)
	if a.status != 0 {
		return refusal // too late to say so; the log and the audit event do
	}
	h := a.Header()
	clear(h)
	for name, values := range refusal.Header {
		h[name] = values
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Request-Id", ex.ID)
	if refusal.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int((refusal.RetryAfter+time.Second-1)/time.Second)))
	}
	if ex.Request.ProtoMajor == 1 && ex.Body.Present {
		h.Set("Connection", "close") // what is left of the body must not be taken for a next request
	}
	switch person := navigates(ex.Request); {
	case person && refusal.Login && ex.Site != nil && reads(ex.Request.Method):
		h.Set("Location", ex.Site.Prefix+"/login?return="+url.QueryEscape(ex.Target.Raw))
		a.WriteHeader(http.StatusSeeOther)
	case person:
		p.refusePerson(ex, a, refusal)
	default:
		refuseProgram(ex, a, refusal)
	}
	return refusal
}

// navigates says whether a person's browser asks for a page. A program is never
// sent to a login page: it would follow, get 200 and believe that.
func navigates(r *http.Request) bool {
	if mode := r.Header.Get("Sec-Fetch-Mode"); mode != "" && mode != "navigate" {
		return false
	}
	return strings.Contains(r.Header.Get("Accept"), "text/html")
}

func reads(method string) bool { return method == http.MethodGet || method == http.MethodHead }

// refusalPage is what the page "refusal" shows.
type refusalPage struct {
	Status    int
	Code      string
	Title     string
	Detail    string
	Remedy    string
	RequestID string
	Site      string
	LoginURL  string
	HomeURL   string
	Reasons   []access.Reason // for admins
}

func (p *Plan) refusePerson(ex *access.Exchange, a *answer, refusal *access.Refusal) {
	page := refusalPage{Status: refusal.Status, Code: refusal.Code, Title: title(refusal.Status), Detail: refusal.Detail,
		Remedy: refusal.Remedy, RequestID: ex.ID, Reasons: reasonsFor(ex)}
	if ex.Site != nil {
		page.Site, page.HomeURL = ex.Site.Name, "/"
		if refusal.Login || ex.Route.Class == access.Portal { // a login that failed must not be a dead end
			page.LoginURL = ex.Site.Prefix + "/login"
		}
	}
	var body bytes.Buffer
	if err := p.rooms.Pages.Render(&body, "refusal", page); err != nil {
		p.rooms.Log.Error("the refusal page does not render", "request", ex.ID, "error", err)
		refuseProgram(ex, a, refusal)
		return
	}
	a.Header().Set("Content-Type", "text/html; charset=utf-8")
	a.Header().Set("Content-Security-Policy", p.rooms.Pages.CSP())
	a.WriteHeader(refusal.Status)
	if ex.Request.Method != http.MethodHead {
		a.Write(body.Bytes())
	}
}

// problem is RFC 9457's object with our extension members.
type problem struct {
	Type      string          `json:"type"`
	Title     string          `json:"title"`
	Status    int             `json:"status"`
	Detail    string          `json:"detail,omitempty"`
	Code      string          `json:"code"`
	Remedy    string          `json:"remedy,omitempty"`
	RequestID string          `json:"request_id"`
	Reasons   []problemReason `json:"reasons,omitempty"`
}

type problemReason struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

func refuseProgram(ex *access.Exchange, a *answer, refusal *access.Refusal) {
	body := problem{Type: "urn:sallyport:problem:" + refusal.Code, Title: title(refusal.Status), Status: refusal.Status,
		Detail: refusal.Detail, Code: refusal.Code, Remedy: refusal.Remedy, RequestID: ex.ID}
	for _, r := range reasonsFor(ex) {
		body.Reasons = append(body.Reasons, problemReason(r))
	}
	text, err := json.Marshal(body)
	if err != nil { // strings and numbers always marshal
		text = []byte(`{}`)
	}
	a.Header().Set("Content-Type", "application/problem+json")
	if refusal.Status == http.StatusUnauthorized && a.Header().Get("WWW-Authenticate") == "" {
		a.Header().Set("WWW-Authenticate", `Bearer realm="sallyport"`) // RFC 9110, section 11.6.1 demands one
	}
	a.WriteHeader(refusal.Status)
	if ex.Request.Method != http.MethodHead {
		a.Write(append(text, '\n'))
	}
}

// reasonsFor gives policy's reasons to those who administer the tenant, and to nobody else.
func reasonsFor(ex *access.Exchange) []access.Reason {
	if ex.Identity.HasRole("owner") || ex.Identity.HasRole("admin") {
		return ex.Decision.Reasons
	}
	return nil
}

func title(status int) string {
	if text := http.StatusText(status); text != "" {
		return text
	}
	return "Refused"
}
