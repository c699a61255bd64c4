package edge

import (
	"crypto/tls"
	"net"
	"net/netip"

	"github.com/mholt/acmez/v3"
)

// tlsConfig is TLS as the gateway speaks it: 1.2 or 1.3, forward secrecy and
// authenticated encryption only (RFC 9325, section 4.2). In 1.3 every suite is so; in
// 1.2 the list says it.
func (e *Edge) tlsConfig() *tls.Config {
	known := &tls.Config{
		MinVersion: tls.VersionTLS12,
		CipherSuites: []uint16{
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		},
		NextProtos:     []string{"h2", "http/1.1"},
		GetCertificate: e.certificateFor,
	}
	if e.started.TLS.MinVersion == "1.3" {
		known.MinVersion = tls.VersionTLS13
	}
	if e.started.TLS.Source() == "acme" {
		known.NextProtos = append(known.NextProtos, acmez.ACMETLS1Protocol) // tls-alpn-01 (RFC 8737)
	}
	// A name that is not ours gets the alert unrecognized_name (RFC 6066, section 3),
	// which crypto/tls sends when there is no certificate at all. Resumption is off in
	// that answer: a resumed handshake would not ask for one.
	stranger := known.Clone()
	stranger.SessionTicketsDisabled = true
	stranger.GetCertificate = func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return nil, nil }
	known.GetConfigForClient = func(hello *tls.ClientHelloInfo) (*tls.Config, error) {
		if hello.ServerName == "" || e.hosts.Load().has(lowerASCII(hello.ServerName)) {
			return nil, nil
		}
		e.handshakes.Add(1, "unknown_name")
		return stranger, nil
	}
	return known
}

// certificateFor finds the certificate of a handshake. A client that sends no name, as
// for an address, gets the certificate of the address that it called, or else of the
// first host: its Host header decides later.
func (e *Edge) certificateFor(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if hello.ServerName == "" {
		hosts := e.hosts.Load()
		named := *hello
		named.ServerName = hosts.first
		if called := localAddr(hello.Conn); hosts.has(called) {
			named.ServerName = called
		}
		hello = &named
	}
	return e.certs.magic.GetCertificateWithContext(hello.Context(), hello)
}

func localAddr(c net.Conn) string {
	if c == nil {
		return ""
	}
	ap, err := netip.ParseAddrPort(c.LocalAddr().String())
	if err != nil {
		return ""
	}
	return ap.Addr().Unmap().WithZone("").String()
}

func lowerASCII(s string) string {
	for i := range len(s) {
		if c := s[i]; 'A' <= c && c <= 'Z' {
			b := []byte(s)
			for j, c := range b {
				if 'A' <= c && c <= 'Z' {
					b[j] = c + 'a' - 'A'
				}
			}
			return string(b)
		}
	}
	return s
}
