package edge

import (
	"io"
	"net/http"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/observe"
)

// plain is port 80. It answers ACME challenges, sends GET and HEAD for a host of ours to
// HTTPS, and refuses the rest: a client that posts secrets in clear must learn it, and a
// redirect would have it post them again. It never redirects to a name that it was only
// told (open redirect, cache poisoning), and it never reads a body.
type plain struct {
	hosts     func() *hostSet
	port      func() int // of HTTPS, as browsers reach it
	challenge func(http.ResponseWriter, *http.Request) bool
	requests  observe.Counter // by code
}

// ServeHTTP implements http.Handler.
func (p *plain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Connection", "close")
	if p.challenge != nil && r.Method == http.MethodGet && p.challenge(w, r) {
		p.requests.Add(1, "200")
		return
	}
	host, ok := parseHost(r.Host)
	switch {
	case !ok:
		p.refuse(w, http.StatusBadRequest, "The Host header cannot be read.")
	case !p.hosts().has(host):
		p.refuse(w, http.StatusMisdirectedRequest, "This host is not served here.")
	case r.Method != http.MethodGet && r.Method != http.MethodHead:
		p.refuse(w, http.StatusForbidden, "Use https. What you sent was not encrypted: treat any secret in it as known to others.")
	case !plainTarget(r.RequestURI):
		p.refuse(w, http.StatusBadRequest, "The request target cannot be read.")
	default:
		w.Header().Set("Location", secureURL(host, p.port(), r.RequestURI))
		w.WriteHeader(http.StatusPermanentRedirect)
		p.requests.Add(1, "308")
	}
}

func (p *plain) refuse(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text+"\n")
	p.requests.Add(1, strconv.Itoa(status))
}

// plainTarget says that a request target is in origin form and of printable ASCII, so
// that it can stand in a Location as it is.
func plainTarget(target string) bool {
	if !strings.HasPrefix(target, "/") {
		return false
	}
	for i := range len(target) {
		if c := target[i]; c <= ' ' || c > '~' || c == '\\' {
			return false
		}
	}
	return true
}

// secureURL is the same address under https. The host is one of ours.
func secureURL(host string, port int, target string) string {
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if port != 443 {
		host += ":" + strconv.Itoa(port)
	}
	return "https://" + host + target
}
