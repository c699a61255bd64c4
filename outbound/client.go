package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"syscall"
	"time"
)

// ErrTooLarge is what a response body's Read returns beyond Options.MaxBytes.
var ErrTooLarge = errors.New("the response is larger than allowed")

// The defaults of Options, and the most redirects.
const (
	DefaultTimeout  = 10 * time.Second
	DefaultMaxBytes = 1 << 20
	MaxRedirects    = 3

	dialTimeout    = 5 * time.Second
	headerTimeout  = 10 * time.Second
	maxHeaderBytes = 64 << 10
)

// Options says where a client may go and how much it may take.
type Options struct {
	// Allow are addresses, beyond public unicast, that the operator lets us call, such as
	// those of an internal identity provider. A loopback prefix opens plain http as well.
	// Cloud metadata addresses need a prefix of exactly that address.
	Allow []netip.Prefix
	// Roots verify the servers' certificates; nil means the system's. See Roots.
	Roots *x509.CertPool
	// Timeout bounds a whole call, its body included. 0 means DefaultTimeout.
	Timeout time.Duration
	// MaxBytes bounds a response body, after decompression. 0 means DefaultMaxBytes.
	MaxBytes int64
	// Redirects is how many redirects are followed, 0 to MaxRedirects, all of them on
	// the same origin. More are cut to MaxRedirects.
	Redirects int
}

// New makes a client. It keeps no cookies, asks no proxy and obeys no environment variable.
func New(o Options) *http.Client {
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MaxBytes <= 0 {
		o.MaxBytes = DefaultMaxBytes
	}
	redirects := min(max(o.Redirects, 0), MaxRedirects)
	g := newGuard(o.Allow)
	return &http.Client{
		Timeout:       o.Timeout,
		Transport:     &transport{secure: newTransport(o, g.control), plain: newTransport(o, g.controlPlain), max: o.MaxBytes},
		CheckRedirect: func(r *http.Request, via []*http.Request) error { return checkRedirect(r, via, redirects) },
	}
}

// Roots is the system's certificate pool with further certificates in PEM added, for identity
// providers with an internal authority. A text without any certificate is an error: it is
// never what was meant.
func Roots(pem ...[]byte) (*x509.CertPool, error) {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("load the system's root certificates: %w", err)
	}
	for i, text := range pem {
		if !pool.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("root certificates %d: no PEM certificate in it", i+1)
		}
	}
	return pool, nil
}

func newTransport(o Options, control func(network, address string, c syscall.RawConn) error) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second, Control: control}
	return &http.Transport{
		Proxy:                  nil, // a proxy would resolve and connect where our guard does not see it
		DialContext:            dialer.DialContext,
		TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.Roots},
		TLSHandshakeTimeout:    dialTimeout,
		ResponseHeaderTimeout:  headerTimeout,
		MaxResponseHeaderBytes: maxHeaderBytes,
		ForceAttemptHTTP2:      true,
		MaxIdleConns:           8,
		MaxIdleConnsPerHost:    2,
		MaxConnsPerHost:        32,
		IdleConnTimeout:        30 * time.Second,
	}
}

// control judges the address that a socket is about to connect to: after name
// resolution, for every attempt of every call.
func (g *guard) control(_, address string, _ syscall.RawConn) error {
	addr, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is not an IP address and port", ErrForbidden, address)
	}
	return g.check(addr.Addr())
}

// controlPlain is control for connections without TLS: they may go to loopback alone.
func (g *guard) controlPlain(network, address string, c syscall.RawConn) error {
	if err := g.control(network, address, c); err != nil {
		return err
	}
	if addr, err := netip.ParseAddrPort(address); err != nil || !addr.Addr().Unmap().IsLoopback() {
		return fmt.Errorf("%w: plain http to %s; only loopback may be called without TLS", ErrForbidden, address)
	}
	return nil
}

// transport picks the socket's rules by scheme and bounds the bodies of responses.
type transport struct {
	secure, plain *http.Transport
	max           int64
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	var next *http.Transport
	switch r.URL.Scheme {
	case "https":
		next = t.secure
	case "http":
		next = t.plain
	}
	if next == nil || r.URL.User != nil {
		if r.Body != nil {
			r.Body.Close() // http.RoundTripper: the body is closed on errors too
		}
		return nil, fmt.Errorf("%w: want an https URL without user name and password", ErrForbidden)
	}
	resp, err := next.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if resp.ContentLength > t.max {
		resp.Body.Close()
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrTooLarge, resp.ContentLength, t.max)
	}
	resp.Body = &cappedBody{ReadCloser: resp.Body, left: t.max}
	return resp, nil
}

// CloseIdleConnections lets http.Client.CloseIdleConnections reach both transports.
func (t *transport) CloseIdleConnections() {
	t.secure.CloseIdleConnections()
	t.plain.CloseIdleConnections()
}

// cappedBody fails when more than left bytes come; a silently cut body could be taken
// for a whole one.
type cappedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *cappedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLarge
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1] // one more than allowed, to tell the end from too much
	}
	n, err := b.ReadCloser.Read(p)
	if int64(n) > b.left {
		n, err = int(b.left), ErrTooLarge
		b.left = -1
		return n, err
	}
	b.left -= int64(n)
	return n, err
}

func checkRedirect(r *http.Request, via []*http.Request, most int) error {
	if len(via) > most {
		return fmt.Errorf("%w: more than %d redirects", ErrForbidden, most)
	}
	if first := via[0].URL; origin(r.URL) != origin(first) {
		return fmt.Errorf("%w: redirect from %s to another origin", ErrForbidden, origin(first))
	}
	return nil
}

func origin(u *url.URL) string { return u.Scheme + "://" + u.Host }
