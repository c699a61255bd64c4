package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/access"
)

// preflight answers a CORS preflight (Fetch standard, section 3.2.2) for a site that allows
// its origin, and refuses it otherwise. It bears no credentials, so it never reaches a
// backend. Nil means that the request is none.
func (p *Plan) preflight(ex *access.Exchange, s *site) error {
	r := ex.Request
	origin := r.Header.Get("Origin")
	if r.Method != http.MethodOptions || origin == "" || r.Header.Get("Access-Control-Request-Method") == "" {
		return nil
	}
	if !p.originAllowed(&s.Site, origin) {
		refusal := access.Refuse(http.StatusForbidden, "cors_denied", "This site may not be called from that origin.", "")
		refusal.Counted = true
		return refusal
	}
	h := http.Header{}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
	h.Set("Access-Control-Allow-Methods", strings.Join(s.cfg.CORS.Methods, ", "))
	h.Set("Access-Control-Allow-Headers", strings.Join(s.cfg.CORS.Headers, ", "))
	h.Set("Access-Control-Max-Age", strconv.Itoa(int(s.cfg.CORS.MaxAge.Duration()/time.Second)))
	h.Set("Vary", "Origin")
	return &access.Answer{Status: http.StatusNoContent, Header: h}
}

// corsHeaders owns the CORS headers of every answer: the backend's are dropped, and an
// allowed origin gets ours.
func (p *Plan) corsHeaders(ex *access.Exchange, h http.Header) {
	if ex.Request.Method == http.MethodOptions && h.Get("Access-Control-Max-Age") != "" && ex.Route.Class == access.NoClass {
		return // the preflight's own answer
	}
	for _, name := range []string{"Access-Control-Allow-Origin", "Access-Control-Allow-Credentials", "Access-Control-Allow-Methods",
		"Access-Control-Allow-Headers", "Access-Control-Max-Age"} {
		h.Del(name)
	}
	origin := ex.Request.Header.Get("Origin")
	if s := p.sites.of(ex.Site); s != nil && len(s.cfg.CORS.Origins) > 0 {
		h.Add("Vary", "Origin") // on every answer, or a cache gives one origin what was meant for another
	}
	if ex.Site == nil || origin == "" || !p.originAllowed(ex.Site, origin) {
		h.Del("Access-Control-Expose-Headers")
		return
	}
	h.Set("Access-Control-Allow-Origin", origin)
	h.Set("Access-Control-Allow-Credentials", "true")
}
