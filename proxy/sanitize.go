package proxy

import (
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// sanitize makes the request mean one thing. It removes every spelling of the headers
// that are ours to set, and trailers; it refuses a target, a method or an upgrade that two
// parsers could read in two ways. What passes is forwarded byte for byte.
func (p *Plan) sanitize(die access.Die) func(*access.Exchange) error {
	return func(ex *access.Exchange) error {
		r := ex.Request
		if err := knownMethod(r); err != nil {
			return err
		}
		if err := websocketOnly(r); err != nil {
			return err
		}
		if methodOverridden(r.Header) {
			return malformed("method_override", "The request asks for another method than its own.")
		}
		target, err := readTarget(r.RequestURI, p.sites.exceptionsOf(hostName(r.Host)))
		if err != nil {
			return err
		}
		ex.Target = target
		// A trailer arrives after every decision was made (RFC 9110, section 6.5.1). The
		// server fills the map while the body is read, so it is cut off here; sites that need
		// trailers name them, and Rewrite copies those alone.
		r.Header.Del("Trailer")
		stripHeaders(r.Header, p.sites.protectedOf(hostName(r.Host)))
		die.Press(ex)
		return nil
	}
}

func knownMethod(r *http.Request) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return nil
	}
	refusal := access.Refuse(http.StatusMethodNotAllowed, "method_not_allowed", "The request's method is not one that the gateway forwards.", "")
	refusal.Header = http.Header{"Allow": {"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"}}
	refusal.Counted = true
	return refusal
}

// websocketOnly refuses every upgrade but a WebSocket's (RFC 6455, section 4.1): behind an
// h2c upgrade further requests would pass unseen (golang/go#80416).
func websocketOnly(r *http.Request) error {
	r.Header.Del("Http2-Settings")
	upgrade := r.Header["Upgrade"]
	if len(upgrade) == 0 {
		return nil
	}
	if len(upgrade) == 1 && strings.EqualFold(upgrade[0], "websocket") && r.Method == http.MethodGet && r.ProtoMajor == 1 && r.ContentLength == 0 {
		return nil
	}
	return malformed("upgrade_refused", "The request asks to change the protocol.")
}

func methodOverridden(h http.Header) bool {
	for name := range h {
		switch access.FoldName(name) {
		case "x-http-method-override", "x-http-method", "x-method-override":
			return true
		}
	}
	return false
}

func malformed(code, detail string) *access.Refusal {
	refusal := access.Refuse(http.StatusBadRequest, code, detail, "Correct the request; trying it again as it is will not help.")
	refusal.Counted = true
	return refusal
}
