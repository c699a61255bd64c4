package edge

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

// handshake tries one and gives the state or the error.
func handshake(addr string, cfg *tls.Config) (tls.ConnectionState, error) {
	d := &net.Dialer{Timeout: 10 * time.Second}
	c, err := tls.DialWithDialer(d, "tcp", addr, cfg)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer c.Close()
	return c.ConnectionState(), nil
}

func TestHandshakes(t *testing.T) {
	var insecure, secure []uint16
	for _, s := range tls.CipherSuites() {
		for _, v := range s.SupportedVersions {
			if v != tls.VersionTLS12 {
				continue
			}
			if strings.Contains(s.Name, "_ECDHE_") && (strings.Contains(s.Name, "_GCM_") || strings.Contains(s.Name, "CHACHA20")) {
				secure = append(secure, s.ID)
			} else {
				insecure = append(insecure, s.ID)
			}
		}
	}
	for _, s := range tls.InsecureCipherSuites() {
		insecure = append(insecure, s.ID)
	}
	if len(secure) != 6 || len(insecure) < 10 {
		t.Fatalf("crypto/tls has changed its suites: %d good, %d bad", len(secure), len(insecure))
	}
	local13 := local(t)
	local13.TLS.MinVersion = "1.3"
	ecdsaGate := start(t, local(t), deps("crm.test"))
	gate13 := start(t, local13, deps("crm.test"))
	rsaGate := start(t, fileConfig(t, writePair(t, t.TempDir(), "rsa", newRSA, "crm.test")), deps("crm.test"))

	try := func(name string, g *gate, cfg *tls.Config, want bool) {
		t.Run(name, func(t *testing.T) {
			cfg.ServerName, cfg.InsecureSkipVerify = "crm.test", true
			state, err := handshake(g.Addrs().HTTPS.String(), cfg)
			if (err == nil) != want {
				t.Errorf("handshake: version %x, %v; want success %v", state.Version, err, want)
			}
		})
	}
	try("TLS 1.0", ecdsaGate, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10}, false)
	try("TLS 1.1", ecdsaGate, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false)
	try("TLS 1.2", ecdsaGate, &tls.Config{MaxVersion: tls.VersionTLS12}, true)
	try("TLS 1.3", ecdsaGate, &tls.Config{MinVersion: tls.VersionTLS13}, true)
	try("TLS 1.2 where 1.3 is the least", gate13, &tls.Config{MaxVersion: tls.VersionTLS12}, false)
	try("TLS 1.3 where 1.3 is the least", gate13, &tls.Config{}, true)
	for _, id := range insecure {
		name := tls.CipherSuiteName(id)
		for _, g := range []*gate{ecdsaGate, rsaGate} {
			try(name, g, &tls.Config{MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}}, false)
		}
	}
	for _, id := range secure {
		name := tls.CipherSuiteName(id)
		g := ecdsaGate
		if strings.Contains(name, "_RSA_") {
			g = rsaGate
		}
		try(name, g, &tls.Config{MaxVersion: tls.VersionTLS12, CipherSuites: []uint16{id}}, true)
	}
}

func TestServerNames(t *testing.T) {
	g := start(t, local(t), deps("crm.test", "Portal.Test:443", "127.0.0.1"))
	addr := g.Addrs().HTTPS.String()
	for _, c := range []struct{ name, sni, certificate string }{
		{"a host of ours", "crm.test", "crm.test"},
		{"the second one, which the file wrote in another case and with a port", "portal.test", "portal.test"},
		{"in another case", "CRM.test", "crm.test"},
		{"no name: the address that was called", "", "127.0.0.1"},
		{"an unknown name", "evil.test", ""},
		{"a name below ours", "x.crm.test", ""},
		{"a name above ours", "test", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			state, err := handshake(addr, &tls.Config{ServerName: c.sni, InsecureSkipVerify: true})
			if c.certificate == "" {
				// crypto/tls does not export the type of a received alert.
				if err == nil || !strings.Contains(err.Error(), "remote error: tls: unrecognized name") {
					t.Errorf("%v, want the alert unrecognized_name", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if err := state.PeerCertificates[0].VerifyHostname(c.certificate); err != nil {
				t.Error(err)
			}
		})
	}
	if n := g.meter.get("sallyport_edge_handshakes_refused_total unknown_name"); n != 3 {
		t.Errorf("%v refused handshakes are counted, want 3", n)
	}
}

func TestNoNameAndAnAddressThatIsNoHostGetsTheFirstHost(t *testing.T) {
	g := start(t, local(t), deps("crm.test", "portal.test"))
	state, err := handshake(g.Addrs().HTTPS.String(), &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := state.PeerCertificates[0].VerifyHostname("crm.test"); err != nil {
		t.Error(err)
	}
}

// keepFirst offers the same session whatever the server's name is.
type keepFirst struct{ s *tls.ClientSessionState }

func (k *keepFirst) Get(string) (*tls.ClientSessionState, bool) { return k.s, k.s != nil }
func (k *keepFirst) Put(_ string, s *tls.ClientSessionState) {
	if k.s == nil {
		k.s = s
	}
}

func TestAResumedSessionDoesNotBringAnUnknownNameIn(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		g := start(t, local(t), deps("crm.test"))
		session := new(keepFirst)
		cfg := &tls.Config{ServerName: "crm.test", InsecureSkipVerify: true, ClientSessionCache: session, MaxVersion: version}
		for i := range 2 {
			c, err := tls.Dial("tcp", g.Addrs().HTTPS.String(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(c, "GET / HTTP/1.1\r\nHost: crm.test\r\nConnection: close\r\n\r\n")
			bufio.NewReader(c).ReadString('\n') // a TLS 1.3 ticket comes with the first data
			if resumed := c.ConnectionState().DidResume; resumed != (i == 1) {
				t.Fatalf("connection %d resumed: %v", i, resumed)
			}
			c.Close()
		}
		other := cfg.Clone()
		other.ServerName = "evil.test"
		if _, err := handshake(g.Addrs().HTTPS.String(), other); err == nil {
			t.Errorf("version %x: a session of crm.test was resumed for evil.test", version)
		}
	}
}

func TestNoHTTP2InClear(t *testing.T) {
	g := start(t, local(t), deps("crm.test"))
	for name, addr := range map[string]string{"http": g.Addrs().HTTP.String(), "ops": g.Addrs().Ops.String()} {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		fmt.Fprint(c, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00")
		line, _ := bufio.NewReader(c).ReadString('\n')
		c.Close()
		if !strings.HasPrefix(line, "HTTP/1.1 4") && !strings.HasPrefix(line, "HTTP/1.1 505") {
			t.Errorf("%s answers an HTTP/2 preface in clear with %q", name, line)
		}
	}
}
