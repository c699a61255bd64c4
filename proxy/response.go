package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/access"
)

// modifyResponse takes from the backend's answer what a browser is not to be told, and binds
// its cookies to the session.
func (g *passage) modifyResponse(res *http.Response) error {
	switch {
	case res.StatusCode == http.StatusSwitchingProtocols:
		return g.switchProtocols(res)
	case res.StatusCode < 200 || res.StatusCode > 999:
		return fmt.Errorf("the backend answered with status %d", res.StatusCode)
	}
	g.clean(res.Header)
	g.learnID(res)
	res.Trailer = nil
	res.Body = &answerBody{res.Body, g}
	if g.stream != nil && strings.HasPrefix(res.Header.Get("Content-Type"), "text/event-stream") {
		g.stream.long.Store(true)
	}
	if len(res.Header["Content-Type"]) == 0 {
		g.ex.Writer.Header()["Content-Type"] = nil // or the server would guess one: HTML, from somebody's upload
	}
	if g.ex.Route.Class == access.App && len(res.Header["Cache-Control"]) == 0 {
		// Personal by default: a shared cache that guesses would show one user's page to others.
		res.Header["Cache-Control"] = []string{"private"}
	}
	return nil
}

// answerBody notes when the backend breaks its answer off: the client gets no more than the
// broken connection, so it must show here. What ends because the client or the login has
// ended is nobody's fault.
type answerBody struct {
	io.ReadCloser
	g *passage
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && err != io.EOF && b.g.ctx.Err() == nil {
		b.g.b.errors.Add(1, b.g.at.site.Name, "broken_off")
		b.g.b.log.Warn("the application broke its answer off", "request", b.g.ex.ID, "site", b.g.at.site.Name, "error", err)
	}
	return n, err
}

// clean removes what tells of the house behind (software, addresses, our own headers come
// back) and what would lead around the gateway.
func (g *passage) clean(h http.Header) {
	for name := range h {
		switch name {
		case "Server", "X-Powered-By", "X-Aspnet-Version", "X-Aspnetmvc-Version", "X-Generator", "X-Runtime", "X-Backend-Server",
			"X-Served-By", "Via", "Alt-Svc", "Set-Cookie2", "Public-Key-Pins", "Proxy-Status", "Trailer",
			// Credentials that a client would answer with are meant for us and never reach the backend.
			"Www-Authenticate":
			delete(h, name)
			continue
		}
		if mustStrip(name, g.at.own) {
			delete(h, name)
		}
	}
	for _, name := range [...]string{"Location", "Content-Location"} {
		if values := h[name]; len(values) > 0 {
			h[name] = []string{g.publicAddress(values[0])}
		}
	}
	if values := h["Refresh"]; len(values) > 0 {
		h["Refresh"] = []string{g.publicRefresh(values[0])}
	}
	if values := h["Strict-Transport-Security"]; len(values) > 0 && !keepsTransport(values[0]) {
		delete(h, "Strict-Transport-Security") // ours takes its place
	}
	if lines := h["Set-Cookie"]; len(lines) > 0 {
		if kept := g.at.cookies.toBrowser(g, lines); len(kept) > 0 {
			h["Set-Cookie"] = kept
		} else {
			delete(h, "Set-Cookie")
		}
	}
}

// sessionCookie notes that the backend has set a cookie of the session that we hold for the
// user. The browser never sees it.
func (g *passage) sessionCookie(set setCookie) {
	if g.session != nil && !set.deleted && set.value != "" {
		g.at.auth.login.replace(g.ctx, g, g.session, set.name, set.value)
	}
}

// origin is scheme, host and port of an address, in one spelling.
type origin struct{ scheme, host, port string }

func originOf(u *url.URL, scheme string) origin {
	o := origin{strings.ToLower(u.Scheme), strings.ToLower(u.Hostname()), u.Port()}
	if o.scheme == "" {
		o.scheme = scheme
	}
	if o.port == "" {
		o.port = map[string]string{"http": "80", "https": "443"}[o.scheme]
	}
	return o
}

func appendOrigins(list []origin, p *pool) []origin {
	for _, t := range p.targets {
		list = append(list, originOf(t.url, ""))
	}
	return list
}

// publicAddress rewrites an absolute address that leads to the backend itself, or to the public
// host in cleartext, to the origin that the client used. Others are the application's affair.
func (g *passage) publicAddress(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.Opaque != "" {
		return text
	}
	o := originOf(u, g.target.url.Scheme)
	public := o.scheme == "http" && g.publicHost(o)
	for _, internal := range g.at.origins {
		public = public || o == internal
	}
	if !public {
		return text
	}
	_, rest, _ := strings.Cut(text, "//")
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		return "https://" + g.ex.Request.Host + rest[i:]
	}
	return "https://" + g.ex.Request.Host
}

// publicHost says whether a cleartext address has our own host: by the port that the client used,
// or by the one that an application names which believes itself to be without TLS.
func (g *passage) publicHost(o origin) bool {
	own := url.URL{Host: g.ex.Request.Host}
	return strings.EqualFold(own.Hostname(), o.host) && (o.port == "80" || o.port == own.Port())
}

// publicRefresh does the same for the address in a Refresh header ("5; url=…"), which browsers
// follow like a Location (HTML, section 7.4.6: shared declarative refresh steps).
func (g *passage) publicRefresh(text string) string {
	i := strings.Index(strings.ToLower(text), "http")
	if j := strings.Index(text, "//"); i < 0 || j >= 0 && j < i {
		i = j
	}
	if i < 0 {
		return text
	}
	end := len(text)
	if quote := strings.IndexAny(text[i:], `"'`); quote >= 0 {
		end = i + quote
	}
	return text[:i] + g.publicAddress(text[i:end]) + text[end:]
}

// keepsTransport says whether a Strict-Transport-Security keeps browsers to TLS. An application
// that believes itself to be without it says max-age=0, which would undo ours (RFC 6797, section 6.1.1).
func keepsTransport(value string) bool {
	for part := range strings.SplitSeq(value, ";") {
		name, age, _ := strings.Cut(part, "=")
		if strings.EqualFold(strings.Trim(name, " \t"), "max-age") {
			seconds, err := strconv.ParseInt(strings.Trim(age, " \t\""), 10, 64)
			return err == nil && seconds > 0
		}
	}
	return false
}

// Header implements http.ResponseWriter. Once the answer has begun it gives a map that nobody
// reads: the backend's trailers would pass all that was cleaned.
func (g *passage) Header() http.Header {
	if !g.begun {
		return g.ex.Writer.Header()
	}
	if g.dropped == nil {
		g.dropped = http.Header{}
	}
	return g.dropped
}

// WriteHeader implements http.ResponseWriter. Of informational answers only early hints pass,
// with their links alone: anything else in them is unasked-for (golang/go#81319).
func (g *passage) WriteHeader(status int) {
	h := g.ex.Writer.Header()
	if status < 200 {
		links := h["Link"]
		clear(h)
		if status == http.StatusEarlyHints && len(links) > 0 && g.ex.Request.ProtoAtLeast(1, 1) {
			h["Link"] = links
			g.ex.Writer.WriteHeader(status)
			clear(h)
		}
		return
	}
	g.begun = true
	g.ex.Writer.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (g *passage) Write(b []byte) (int, error) { return g.ex.Writer.Write(b) }

// Unwrap lets http.ResponseController flush.
func (g *passage) Unwrap() http.ResponseWriter { return g.ex.Writer }

// harden adds what every answer bears, ours and the application's, where the application says
// nothing itself. No Content-Security-Policy: only the application knows its own.
func (p *Plan) harden(ex *access.Exchange, h http.Header) {
	add := &p.backends.hardening
	if at := p.backends.bySite[ex.Site]; at != nil {
		add = &at.hardening
	}
	add.to(h)
	h["X-Request-Id"] = []string{ex.ID}
	p.corsHeaders(ex, h)
}

// hardening is the headers that a site adds, made once. A nil value adds nothing.
type hardening struct {
	transport, sniff, frame, referrer []string
}

// hardening fills in what the file leaves out.
func (c ResponseConfig) hardening() hardening {
	age := c.HSTS.Duration()
	if age == 0 {
		age = defaultHSTS
	}
	add := hardening{transport: []string{"max-age=" + strconv.FormatInt(int64(age/time.Second), 10)}, sniff: []string{"nosniff"},
		frame: []string{"SAMEORIGIN"}, referrer: []string{"same-origin"}}
	switch c.Frame {
	case "deny":
		add.frame = []string{"DENY"}
	case "off":
		add.frame = nil
	}
	if c.Referrer != "" {
		add.referrer = []string{c.Referrer}
	}
	return add
}

// to adds the values themselves, not copies: each has no room for a further one, so that
// whoever adds to the header makes a new list.
func (add *hardening) to(h http.Header) {
	absent := func(name string, value []string) {
		if value != nil && len(h[name]) == 0 {
			h[name] = value
		}
	}
	absent("Strict-Transport-Security", add.transport)
	absent("X-Content-Type-Options", add.sniff)
	if !strings.Contains(h.Get("Content-Security-Policy"), "frame-ancestors") {
		absent("X-Frame-Options", add.frame)
	}
	absent("Referrer-Policy", add.referrer)
}
