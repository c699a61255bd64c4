package proxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// crossOrigin stops another site from using the cookies of somebody's browser (CSRF). It
// asks about unsafe methods, about routes that change something whatever their method (old
// applications delete by GET) and about upgrades. Endpoints that are reached from another site
// by design carry a proof of their own and say so. Without any sign of where the
// request comes from it is closed.
func (p *Plan) crossOrigin(die access.Die) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		exempt := ex.Route.Endpoint != nil && ex.Route.Endpoint.CrossSite
		harmless := reads(ex.Request.Method) && !ex.Mutating() && !ex.Upgrade()
		if !exempt && !harmless && !p.sameOrigin(ex) {
			return access.Refuse(http.StatusForbidden, "cross_origin", "Another web site asked your browser to do this.",
				"If it was you, do it from the application itself.")
		}
		die.Press(ex)
		return nil
	}
}

// sameOrigin believes Sec-Fetch-Site first, since no script can set it; then Origin; then,
// for old browsers that send neither on a GET, Referer.
func (p *Plan) sameOrigin(ex *access.Exchange) bool {
	h := ex.Request.Header
	origin := h.Get("Origin")
	if origin != "" && p.originAllowed(ex.Site, origin) {
		return true
	}
	own := "https://" + strings.ToLower(ex.Request.Host)
	switch h.Get("Sec-Fetch-Site") {
	case "same-origin":
		return origin == "" || strings.EqualFold(origin, own)
	case "none":
		// Typed, or a link in a mail: no site asked for it, but anybody may have written the mail.
		// A link can only GET, so a GET that changes something must come from the site itself.
		return !reads(ex.Request.Method) && (origin == "" || strings.EqualFold(origin, own))
	case "":
	default:
		return false
	}
	if origin != "" {
		return strings.EqualFold(origin, own)
	}
	referer, err := url.Parse(h.Get("Referer"))
	return err == nil && referer.Scheme == "https" && strings.EqualFold("https://"+referer.Host, own)
}

// originAllowed says whether the file lets this origin call the site.
func (p *Plan) originAllowed(site *access.Site, origin string) bool {
	s := p.sites.of(site)
	if s == nil {
		return false
	}
	for _, allowed := range s.cfg.CORS.Origins {
		if allowed == origin {
			return true
		}
	}
	return false
}
