package edge

import (
	"fmt"
	"net"
	"net/mail"
	"net/netip"
	"net/url"
	"path/filepath"
	"reflect"
	"strconv"
	"time"

	"github.com/sallyport/sallyport/units"
)

// Off switches a listener off.
const Off = "off"

// Config is the key "edge" of the file.
type Config struct {
	HTTPS string `yaml:"https" doc:"Address for HTTPS. Default :443."`
	HTTP  string `yaml:"http" doc:"Address for plain HTTP, which answers ACME challenges and redirects to HTTPS, or off. Default :80."`
	Ops   string `yaml:"ops" doc:"Address of /livez, /readyz, /metrics and /debug/pprof/, or off; never public. Default 127.0.0.1:9901."`
	// PublicPort is needed where a container or load balancer maps ports.
	PublicPort     int            `yaml:"public_port" doc:"Port under which browsers reach HTTPS, for redirects. Default the port of https."`
	TrustedProxies []netip.Prefix `yaml:"trusted_proxies" doc:"Networks (CIDR) of proxies whose X-Forwarded-For is believed; they are exempt from connections.per_address. Default none."`
	TLS            TLS            `yaml:"tls" doc:"Where certificates come from: exactly one of acme, certificates and local_ca."`
	Timeouts       Timeouts       `yaml:"timeouts" doc:"How long a client may take; what makes progress is not cut."`
	MaxHeader      units.Size     `yaml:"max_header" doc:"Largest head of a request, all headers together. Default 32KiB."`
	MaxStreams     int            `yaml:"max_streams" doc:"Most requests at a time on one HTTP/2 connection. Default 128."`
	Connections    Connections    `yaml:"connections" doc:"How many connections may be open."`
	Drain          units.Span     `yaml:"drain" doc:"How long running requests may go on when the process stops. Default 30s."`
	DrainDelay     units.Span     `yaml:"drain_delay" doc:"How long new connections are still taken after /readyz has turned 503, so that a load balancer sees it. Default 0."`
}

// TLS is the key "edge.tls".
type TLS struct {
	ACME         ACME          `yaml:"acme" doc:"Certificates of an ACME authority such as Let's Encrypt."`
	Certificates []Certificate `yaml:"certificates" doc:"Own certificate files; they are watched and taken over when they change."`
	LocalCA      bool          `yaml:"local_ca" doc:"Certificates of an own little authority, for development. Default false."`
	Storage      string        `yaml:"storage" doc:"Folder for certificates and keys of acme and local_ca, each file sealed. Default /var/lib/sallyport/certificates."`
	MinVersion   string        `yaml:"min_version" doc:"Least TLS version: 1.2 or 1.3. Default 1.2."`
}

// ACME is the key "edge.tls.acme".
type ACME struct {
	Email     string `yaml:"email" doc:"Address to which the authority writes. Required for acme; giving it accepts the authority's terms."`
	Directory string `yaml:"directory" doc:"URL of the authority's directory. Default Let's Encrypt."`
	CARoot    string `yaml:"ca_root" doc:"PEM file with the root that the authority's own address is verified by, for a private authority. Default the system's roots."`
}

// Certificate is one of "edge.tls.certificates".
type Certificate struct {
	Cert string `yaml:"cert" doc:"PEM file with the certificate and its chain."`
	Key  string `yaml:"key" doc:"PEM file with the private key."`
}

// Timeouts is the key "edge.timeouts".
type Timeouts struct {
	ReadHeader units.Span `yaml:"read_header" doc:"For the TLS handshake, and for the head of a request. Default 10s."`
	Idle       units.Span `yaml:"idle" doc:"Between two requests on a connection. Default 2m."`
	BodyStall  units.Span `yaml:"body_stall" doc:"Longest wait for the next byte of a body. Default 30s."`
	BodyRate   units.Size `yaml:"body_rate" doc:"Least progress of a body, in bytes a second while we wait for it, after body_stall of credit. Default 1KiB."`
	WriteStall units.Span `yaml:"write_stall" doc:"Longest wait for the client to take the next part (up to 32 KiB) of an answer. Default 60s."`
}

// Connections is the key "edge.connections".
type Connections struct {
	PerAddress int `yaml:"per_address" doc:"Most open connections of one address (IPv6: one /64 network). Default 256."`
	Total      int `yaml:"total" doc:"Most open connections altogether. Default 50000."`
}

// DefaultStorage is where certificates are kept unless the file says otherwise.
const DefaultStorage = "/var/lib/sallyport/certificates"

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

// WithDefaults fills in what the file leaves out.
func (c Config) WithDefaults() Config {
	orDefault(&c.HTTPS, ":443")
	orDefault(&c.HTTP, ":80")
	orDefault(&c.Ops, "127.0.0.1:9901")
	orDefault(&c.TLS.Storage, DefaultStorage)
	orDefault(&c.TLS.MinVersion, "1.2")
	orDefault(&c.Timeouts.ReadHeader, units.Span(10*time.Second))
	orDefault(&c.Timeouts.Idle, units.Span(2*time.Minute))
	orDefault(&c.Timeouts.BodyStall, units.Span(30*time.Second))
	orDefault(&c.Timeouts.BodyRate, units.KiB)
	orDefault(&c.Timeouts.WriteStall, units.Span(time.Minute))
	orDefault(&c.MaxHeader, 32*units.KiB)
	orDefault(&c.MaxStreams, 128)
	orDefault(&c.Connections.PerAddress, 256)
	orDefault(&c.Connections.Total, 50_000)
	orDefault(&c.Drain, units.Span(30*time.Second))
	return c
}

// report is the callback of Check.
type report = func(path, what, hint string)

// Check reports every problem of the configuration, and what deserves a warning.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	c = c.WithDefaults()
	c.checkListeners(problem, warn)
	c.TLS.check(problem, warn)
	c.checkLimits(problem, warn)
	for i, p := range c.TrustedProxies {
		path := fmt.Sprintf("trusted_proxies[%d]", i)
		switch {
		case !p.IsValid():
			problem(path, "not a network", "write CIDR, such as 10.0.0.0/8 or 192.0.2.7/32")
		case p.Bits() == 0:
			problem(path, "every address is trusted, so every client could choose its own", "name the networks of your proxies")
		}
	}
}

func (c Config) checkListeners(problem, warn report) {
	for _, l := range []struct{ path, addr string }{{"https", c.HTTPS}, {"http", c.HTTP}, {"ops", c.Ops}} {
		if l.addr == Off && l.path != "https" {
			continue
		}
		if _, _, err := splitListen(l.addr); err != nil {
			problem(l.path, err.Error(), "write host:port, such as :443 or 127.0.0.1:9901")
		}
	}
	if host, _, err := splitListen(c.Ops); err == nil && c.Ops != Off {
		if addr, err := netip.ParseAddr(host); host == "" || err == nil && !addr.IsLoopback() || err != nil && host != "localhost" {
			warn("ops", fmt.Sprintf("metrics and health are served in clear and without a login on %s", c.Ops),
				"use 127.0.0.1, or make sure that only your monitoring reaches this address")
		}
	}
	taken := map[string]string{}
	for _, l := range []struct{ path, addr string }{{"https", c.HTTPS}, {"http", c.HTTP}, {"ops", c.Ops}} {
		if _, port, err := splitListen(l.addr); err != nil || port == 0 {
			continue
		}
		if first, ok := taken[l.addr]; ok {
			problem(l.path, "the same address as "+first, "give each listener a port of its own")
			continue
		}
		taken[l.addr] = l.path
	}
	if c.PublicPort < 0 || c.PublicPort > 65535 {
		problem("public_port", "not a port", "write a number from 1 to 65535")
	}
}

// splitListen reads a listener's address. Port 0 lets the system choose.
func splitListen(addr string) (host string, port int, err error) {
	host, text, err := net.SplitHostPort(addr)
	if err != nil {
		return "", 0, fmt.Errorf("%q is not an address", addr)
	}
	port, err = strconv.Atoi(text)
	if err != nil || port < 0 || port > 65535 {
		return "", 0, fmt.Errorf("%q is not a port", text)
	}
	return host, port, nil
}

// Source is where certificates come from: "acme", "certificates" or "local_ca"; "" when
// the file names none or several.
func (t TLS) Source() string {
	var sources []string
	if t.ACME != (ACME{}) {
		sources = append(sources, "acme")
	}
	if len(t.Certificates) > 0 {
		sources = append(sources, "certificates")
	}
	if t.LocalCA {
		sources = append(sources, "local_ca")
	}
	if len(sources) == 1 {
		return sources[0]
	}
	return ""
}

func (t TLS) check(problem, warn report) {
	switch t.Source() {
	case "":
		problem("tls", "want exactly one source of certificates", "set one of acme: {email: …}, certificates: [{cert: …, key: …}] and local_ca: true")
	case "local_ca":
		warn("tls.local_ca", "browsers do not trust these certificates unless its root is installed", "use acme or certificates outside development")
	}
	if t.ACME != (ACME{}) {
		t.ACME.check(problem)
	}
	for i, c := range t.Certificates {
		if c.Cert == "" {
			problem(fmt.Sprintf("tls.certificates[%d].cert", i), "no certificate file", "name a PEM file")
		}
		if c.Key == "" {
			problem(fmt.Sprintf("tls.certificates[%d].key", i), "no key file", "name a PEM file")
		}
	}
	if t.MinVersion != "1.2" && t.MinVersion != "1.3" {
		problem("tls.min_version", fmt.Sprintf("%q is not allowed", t.MinVersion), "write \"1.2\" or \"1.3\"; older versions are broken (RFC 8996)")
	}
	if !filepath.IsAbs(t.Storage) {
		problem("tls.storage", "not an absolute path", "write the full path, so that it does not depend on where the process starts")
	}
}

func (a ACME) check(problem report) {
	if addr, err := mail.ParseAddress(a.Email); err != nil || addr.Address != a.Email {
		problem("tls.acme.email", "not an e-mail address", "the authority writes to it before certificates expire")
	}
	if a.Directory != "" {
		if u, err := url.Parse(a.Directory); err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil {
			problem("tls.acme.directory", "not an https URL", "such as https://acme-v02.api.letsencrypt.org/directory")
		}
	}
}

func (c Config) checkLimits(problem, warn report) {
	within := func(path string, v, least, most int64, show func(int64) string) {
		if v < least || v > most {
			problem(path, fmt.Sprintf("%s is out of range", show(v)), fmt.Sprintf("want %s to %s", show(least), show(most)))
		}
	}
	span := func(path string, v units.Span, least, most time.Duration) {
		within(path, int64(v), int64(least), int64(most), func(n int64) string { return units.Span(n).String() })
	}
	size := func(path string, v, least, most units.Size) {
		within(path, int64(v), int64(least), int64(most), func(n int64) string { return units.Size(n).String() })
	}
	count := func(path string, v, least, most int) {
		within(path, int64(v), int64(least), int64(most), func(n int64) string { return strconv.FormatInt(n, 10) })
	}
	span("timeouts.read_header", c.Timeouts.ReadHeader, time.Millisecond, 2*time.Minute)
	span("timeouts.idle", c.Timeouts.Idle, time.Millisecond, time.Hour)
	span("timeouts.body_stall", c.Timeouts.BodyStall, time.Millisecond, 10*time.Minute)
	size("timeouts.body_rate", c.Timeouts.BodyRate, 1, 10*units.MiB)
	span("timeouts.write_stall", c.Timeouts.WriteStall, time.Millisecond, 10*time.Minute)
	size("max_header", c.MaxHeader, 4*units.KiB, units.MiB)
	count("max_streams", c.MaxStreams, 1, 1000)
	count("connections.total", c.Connections.Total, 1, 10_000_000)
	count("connections.per_address", c.Connections.PerAddress, 1, 10_000_000)
	span("drain", c.Drain, 0, time.Hour)
	span("drain_delay", c.DrainDelay, 0, 10*time.Minute)
	if c.Connections.PerAddress > c.Connections.Total {
		warn("connections.per_address", "one address may take all connections", "set it below connections.total")
	}
}

// NeedsRestart names what differs between two configurations and takes effect only
// when the process starts again.
func NeedsRestart(old, changed Config) []string {
	old, changed = old.WithDefaults(), changed.WithDefaults()
	var paths []string
	for _, f := range []struct {
		path string
		a, b any
	}{
		{"https", old.HTTPS, changed.HTTPS}, {"http", old.HTTP, changed.HTTP}, {"ops", old.Ops, changed.Ops},
		{"tls", old.TLS.Source(), changed.TLS.Source()}, {"tls.acme", old.TLS.ACME, changed.TLS.ACME},
		{"tls.storage", old.TLS.Storage, changed.TLS.Storage}, {"tls.min_version", old.TLS.MinVersion, changed.TLS.MinVersion},
		{"timeouts", old.Timeouts, changed.Timeouts},
		{"max_header", old.MaxHeader, changed.MaxHeader}, {"max_streams", old.MaxStreams, changed.MaxStreams},
	} {
		if !reflect.DeepEqual(f.a, f.b) {
			paths = append(paths, f.path)
		}
	}
	return paths
}
