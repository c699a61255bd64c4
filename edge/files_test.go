package edge

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func newECDSA() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }
func newRSA() (crypto.Signer, error)   { return rsa.GenerateKey(rand.Reader, 2048) }

// makePair makes a self-signed certificate; its serial number tells it from others.
func makePair(t *testing.T, serial int64, until time.Time, newKey func() (crypto.Signer, error), hosts ...string) (cert, key []byte) {
	t.Helper()
	signer, err := newKey()
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: hosts, NotBefore: time.Now().Add(-48 * time.Hour), NotAfter: until,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, signer.Public(), signer)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(signer)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// must is for calls on the file system.
func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func inAYear() time.Time { return time.Now().Add(365 * 24 * time.Hour) }

func writePair(t *testing.T, dir, name string, newKey func() (crypto.Signer, error), hosts ...string) Certificate {
	t.Helper()
	cert, key := makePair(t, 1, inAYear(), newKey, hosts...)
	c := Certificate{filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")}
	write(t, c.Cert, cert)
	write(t, c.Key, key)
	return c
}

func fileConfig(t *testing.T, certs ...Certificate) Config {
	cfg := local(t)
	cfg.TLS = TLS{Certificates: certs, Storage: t.TempDir()}
	return cfg
}

// watchingGate runs on a file and waits until it is watched; it never only looks.
func watchingGate(t *testing.T, c Certificate) *gate {
	t.Helper()
	g := build(t, fileConfig(t, c), deps("crm.test"))
	g.certs.watching = make(chan struct{})
	g.certs.pollPeriod = time.Hour
	g.run()
	<-g.certs.watching
	return g
}

// serial is that of the certificate that the gate shows for crm.test.
func (g *gate) serial() int64 {
	state, err := handshake(g.Addrs().HTTPS.String(), &tls.Config{ServerName: "crm.test", InsecureSkipVerify: true})
	if err != nil {
		return 0
	}
	return state.PeerCertificates[0].SerialNumber.Int64()
}

func TestChangedFilesAreTakenOver(t *testing.T) {
	for _, c := range []struct {
		name  string
		setUp func(t *testing.T, dir string) Certificate
		swap  func(t *testing.T, dir string, cert, key []byte)
	}{
		{"written in place",
			func(t *testing.T, dir string) Certificate { return writePair(t, dir, "tls", newECDSA, "crm.test") },
			func(t *testing.T, dir string, cert, key []byte) {
				write(t, filepath.Join(dir, "tls.crt"), cert)
				write(t, filepath.Join(dir, "tls.key"), key)
			}},
		{"renamed over",
			func(t *testing.T, dir string) Certificate { return writePair(t, dir, "tls", newECDSA, "crm.test") },
			func(t *testing.T, dir string, cert, key []byte) {
				write(t, filepath.Join(dir, "new.crt"), cert)
				write(t, filepath.Join(dir, "new.key"), key)
				must(t, os.Rename(filepath.Join(dir, "new.crt"), filepath.Join(dir, "tls.crt")))
				must(t, os.Rename(filepath.Join(dir, "new.key"), filepath.Join(dir, "tls.key")))
			}},
		{"the folder's symlink swapped, as Kubernetes does",
			func(t *testing.T, dir string) Certificate {
				must(t, os.Mkdir(filepath.Join(dir, "..1"), 0o700))
				writePair(t, filepath.Join(dir, "..1"), "tls", newECDSA, "crm.test")
				must(t, os.Symlink("..1", filepath.Join(dir, "..data")))
				c := Certificate{filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")}
				must(t, os.Symlink("..data/tls.crt", c.Cert))
				must(t, os.Symlink("..data/tls.key", c.Key))
				return c
			},
			func(t *testing.T, dir string, cert, key []byte) {
				must(t, os.Mkdir(filepath.Join(dir, "..2"), 0o700))
				write(t, filepath.Join(dir, "..2", "tls.crt"), cert)
				write(t, filepath.Join(dir, "..2", "tls.key"), key)
				must(t, os.Symlink("..2", filepath.Join(dir, "..data_tmp")))
				must(t, os.Rename(filepath.Join(dir, "..data_tmp"), filepath.Join(dir, "..data")))
				must(t, os.RemoveAll(filepath.Join(dir, "..1")))
			}},
		{"the target of symlinks in another folder written in place",
			func(t *testing.T, dir string) Certificate {
				must(t, os.Mkdir(filepath.Join(dir, "archive"), 0o700))
				must(t, os.Mkdir(filepath.Join(dir, "live"), 0o700))
				writePair(t, filepath.Join(dir, "archive"), "tls", newECDSA, "crm.test")
				c := Certificate{filepath.Join(dir, "live", "tls.crt"), filepath.Join(dir, "live", "tls.key")}
				must(t, os.Symlink("../archive/tls.crt", c.Cert))
				must(t, os.Symlink("../archive/tls.key", c.Key))
				return c
			},
			func(t *testing.T, dir string, cert, key []byte) {
				write(t, filepath.Join(dir, "archive", "tls.crt"), cert)
				write(t, filepath.Join(dir, "archive", "tls.key"), key)
			}},
		{"taken away and put back",
			func(t *testing.T, dir string) Certificate { return writePair(t, dir, "tls", newECDSA, "crm.test") },
			func(t *testing.T, dir string, cert, key []byte) {
				must(t, os.Remove(filepath.Join(dir, "tls.crt")))
				must(t, os.Remove(filepath.Join(dir, "tls.key")))
				write(t, filepath.Join(dir, "tls.key"), key)
				write(t, filepath.Join(dir, "tls.crt"), cert)
			}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			g := watchingGate(t, c.setUp(t, dir))
			if got := g.serial(); got != 1 {
				t.Fatalf("serial %d at start", got)
			}
			for serial := int64(2); serial <= 2; serial++ {
				cert, key := makePair(t, serial, inAYear(), newECDSA, "crm.test")
				c.swap(t, dir, cert, key)
				eventually(t, "the new certificate is shown", func() bool { return g.serial() == serial })
			}
			eventually(t, "all is well", func() bool { return g.health.of("certificates") == nil })
		})
	}
}

func TestChangesWithoutEventsAreFoundByLooking(t *testing.T) {
	c := writePair(t, t.TempDir(), "tls", newECDSA, "crm.test")
	g := build(t, fileConfig(t, c), deps("crm.test"))
	m := g.certs
	m.start(t.Context(), g.started.TLS, g.storage, nil, nil, challengePorts{})
	defer m.stop()
	m.follow(g.hosts.Load())
	m.replacePairs(t.Context(), func(p []*pair) []*pair { return p })
	before := m.pairs[0]
	m.refreshFiles(t.Context())
	if m.pairs[0] != before {
		t.Error("a file that did not change was taken over")
	}
	cert, key := makePair(t, 2, inAYear(), newECDSA, "crm.test")
	write(t, c.Cert, cert)
	write(t, c.Key, key)
	m.refreshFiles(t.Context())
	if got := m.pairs[0].cert.Leaf.SerialNumber.Int64(); got != 2 {
		t.Errorf("serial %d", got)
	}
	if n := len(m.cache.AllMatchingCertificates("crm.test")); n != 1 {
		t.Errorf("%d certificates in the cache, want the new one alone", n)
	}
}

func TestABrokenNewFileKeepsTheOldOneAndSaysSo(t *testing.T) {
	otherCert, otherKey := makePair(t, 3, inAYear(), newECDSA, "crm.test")
	expired, expiredKey := makePair(t, 4, time.Now().Add(-time.Hour), newECDSA, "crm.test")
	for _, c := range []struct {
		name, says string
		spoil      func(t *testing.T, c Certificate)
	}{
		{"no PEM at all", "certificate", func(t *testing.T, c Certificate) { write(t, c.Cert, []byte("rubbish")) }},
		{"empty, as a full disk leaves it", "certificate", func(t *testing.T, c Certificate) { write(t, c.Cert, nil) }},
		{"a certificate without its key", "private key", func(t *testing.T, c Certificate) { write(t, c.Cert, otherCert) }},
		{"a key without its certificate", "private key", func(t *testing.T, c Certificate) { write(t, c.Key, otherKey) }},
		{"the file is gone", "no such file", func(t *testing.T, c Certificate) { must(t, os.Remove(c.Key)) }},
		{"a giant", "larger", func(t *testing.T, c Certificate) { write(t, c.Cert, make([]byte, maxPEM+1)) }},
		{"an expired one", "expired", func(t *testing.T, c Certificate) { write(t, c.Cert, expired); write(t, c.Key, expiredKey) }},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := writePair(t, t.TempDir(), "tls", newECDSA, "crm.test")
			g := watchingGate(t, file)
			c.spoil(t, file)
			eventually(t, "health tells", func() bool {
				err := g.health.of("certificates")
				return err != nil && strings.Contains(err.Error(), c.says)
			})
			if got := g.serial(); got != 1 {
				t.Errorf("serial %d, want the old one", got)
			}
			if !strings.Contains(g.log.String(), "the old one stays in use") {
				t.Error("the log does not tell")
			}
			cert, key := makePair(t, 5, inAYear(), newECDSA, "crm.test")
			write(t, file.Cert, cert)
			write(t, file.Key, key)
			eventually(t, "the repaired one is shown", func() bool { return g.serial() == 5 })
			eventually(t, "health is well again", func() bool { return g.health.of("certificates") == nil })
		})
	}
}

func TestReload(t *testing.T) {
	dir := t.TempDir()
	one := writePair(t, dir, "one", newECDSA, "crm.test")
	two := writePair(t, dir, "two", newECDSA, "portal.test")
	hosts := []string{"crm.test", "portal.test"}
	d := deps()
	d.Hosts = func() []string { return hosts }
	g := start(t, fileConfig(t, one), d)
	answers := func(sni string) bool {
		state, err := handshake(g.Addrs().HTTPS.String(), &tls.Config{ServerName: sni, InsecureSkipVerify: true})
		return err == nil && state.PeerCertificates[0].VerifyHostname(sni) == nil
	}
	if !answers("crm.test") || answers("portal.test") {
		t.Fatal("before the reload crm.test alone has a certificate")
	}
	if err := g.health.of("certificates"); err == nil || !strings.Contains(err.Error(), "portal.test has no certificate") {
		t.Errorf("health: %v", err)
	}

	cfg := g.started
	cfg.TLS.Certificates = []Certificate{one, {"/nowhere/c", "/nowhere/k"}}
	if _, err := g.reload(cfg); err == nil || !answers("crm.test") {
		t.Errorf("a file that is missing: %v; the old configuration must go on", err)
	}

	cfg.TLS.Certificates = []Certificate{one, two}
	cfg.MaxStreams, cfg.Timeouts.Idle, cfg.TLS.MinVersion = 7, 5e9, "1.3"
	restart, err := g.reload(cfg)
	if err != nil || strings.Join(restart, " ") != "tls.min_version timeouts max_streams" {
		t.Errorf("Reload = %v, %v", restart, err)
	}
	if !answers("crm.test") || !answers("portal.test") {
		t.Error("after the reload both have a certificate")
	}
	if err := g.health.of("certificates"); err != nil {
		t.Errorf("health: %v", err)
	}

	hosts = []string{"portal.test"}
	cfg.TLS.Certificates = []Certificate{two}
	cfg.Connections.PerAddress = 3
	if _, err := g.reload(cfg); err != nil {
		t.Fatal(err)
	}
	if answers("crm.test") || !answers("portal.test") {
		t.Error("a host that was taken away still answers, or the other one does not")
	}
	if g.meter.has("sallyport_certificate_expiry_timestamp_seconds crm.test") {
		t.Error("the gauge of a host that was taken away still shows")
	}
	if got := g.room.limits.Load().PerAddress; got != 3 {
		t.Errorf("per_address is %d", got)
	}
	cert, key := makePair(t, 9, inAYear(), newECDSA, "portal.test")
	write(t, two.Cert, cert)
	write(t, two.Key, key)
	eventually(t, "a file that came with the reload is watched", func() bool {
		state, err := handshake(g.Addrs().HTTPS.String(), &tls.Config{ServerName: "portal.test", InsecureSkipVerify: true})
		return err == nil && state.PeerCertificates[0].SerialNumber.Int64() == 9
	})
}

func TestReloadChangesTheHostsOfTheLocalAuthority(t *testing.T) {
	hosts := []string{"crm.test", "old.test"}
	d := deps()
	d.Hosts = func() []string { return hosts }
	g := start(t, local(t), d)
	get := func(host string) error {
		_, err := handshake(g.Addrs().HTTPS.String(), &tls.Config{ServerName: host, RootCAs: g.roots()})
		return err
	}
	hosts = []string{"crm.test", "new.test"}
	if _, err := g.reload(g.started); err != nil {
		t.Fatal(err)
	}
	eventually(t, "new.test has its certificate", func() bool { return get("new.test") == nil })
	if err := get("crm.test"); err != nil {
		t.Error(err)
	}
	if get("old.test") == nil {
		t.Error("old.test still answers")
	}
	if n := len(g.certs.cache.AllMatchingCertificates("old.test")); n != 0 {
		t.Error("the certificate of old.test is still kept fresh")
	}
}

func TestPrepareTouchesNothing(t *testing.T) {
	g := start(t, local(t), deps("crm.test"))
	cfg := g.started
	cfg.Connections.PerAddress = 3
	if _, err := g.Prepare(cfg, []string{"other.test"}); err != nil {
		t.Fatal(err)
	}
	if g.hosts.Load().has("other.test") || g.room.limits.Load().PerAddress == 3 {
		t.Error("Prepare changed what runs")
	}
}

func TestStoppingEndsAKeeperThatWaits(t *testing.T) {
	cfg := local(t)
	cfg.TLS = TLS{Storage: t.TempDir(), ACME: ACME{Email: "ops@example.com", Directory: "https://127.0.0.1:1/directory"}}
	g := start(t, cfg, deps("crm.test"))
	eventually(t, "health tells that there is no certificate", func() bool {
		err := g.health.of("certificates")
		return err != nil && strings.Contains(err.Error(), "connect")
	})
	if g.meter.get("sallyport_certificate_expiry_timestamp_seconds crm.test") != 0 {
		t.Error("the gauge is not 0 while there is no certificate")
	}
	if _, err := handshake(g.Addrs().HTTPS.String(), &tls.Config{ServerName: "crm.test", InsecureSkipVerify: true}); err == nil {
		t.Error("a handshake without a certificate")
	}
	g.cancel() // the cleanup waits for Run, and goleak for the rest
}

// reload is Prepare and Commit with the hosts that Deps.Hosts gives now.
func (e *Edge) reload(cfg Config) (restart []string, err error) {
	c, err := e.Prepare(cfg, e.deps.Hosts())
	if err != nil {
		return nil, err
	}
	c.Commit()
	return c.Restart, nil
}
