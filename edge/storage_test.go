package edge

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/secret"
)

func TestSealedStorage(t *testing.T) {
	dir := t.TempDir()
	key := secret.NewMasterKey()
	s := newSealedStorage(dir, key.Sealer("edge/certificates"))
	ctx := t.Context()
	must(t, s.Store(ctx, "a/key.pem", []byte("-----BEGIN PRIVATE KEY-----")))
	must(t, s.Store(ctx, "b/key.pem", []byte("other")))
	if got, err := s.Load(ctx, "a/key.pem"); err != nil || string(got) != "-----BEGIN PRIVATE KEY-----" {
		t.Errorf("Load = %q, %v", got, err)
	}
	if _, err := s.Load(ctx, "c/key.pem"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("what is not there: %v, want fs.ErrNotExist", err)
	}
	other := newSealedStorage(dir, secret.NewMasterKey().Sealer("edge/certificates"))
	if _, err := other.Load(ctx, "a/key.pem"); !errors.Is(err, secret.ErrSealed) || errors.Is(err, fs.ErrNotExist) {
		t.Errorf("under another master key: %v, want an error that is not fs.ErrNotExist", err)
	}
	must(t, os.Rename(filepath.Join(dir, "b/key.pem"), filepath.Join(dir, "a/key.pem")))
	if got, err := s.Load(ctx, "a/key.pem"); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("the file of another key: %q, %v", got, err)
	}
	write(t, filepath.Join(dir, "a/key.pem"), []byte("-----BEGIN PRIVATE KEY-----"))
	if _, err := s.Load(ctx, "a/key.pem"); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("a file in clear: %v", err)
	}
}

func TestNothingRestsInClear(t *testing.T) {
	cfg := local(t)
	start(t, cfg, deps("crm.test", "portal.test"))
	assertSealed(t, cfg.TLS.Storage, 7)
}

// assertSealed looks into every file of a storage.
func assertSealed(t *testing.T, dir string, least int) {
	t.Helper()
	files := 0
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Mode().Perm()&0o077 != 0 && path != dir && !strings.HasPrefix(path, filepath.Join(dir, "locks")) {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if d.IsDir() || strings.HasPrefix(path, filepath.Join(dir, "locks")) {
			return nil
		}
		files++
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, clear := range []string{"BEGIN", "PRIVATE", "CERTIFICATE", "crm.test", "{"} {
			if len(clear) > 1 && bytes.Contains(b, []byte(clear)) {
				t.Errorf("%s shows %q", path, clear)
			}
		}
		return nil
	})
	if err != nil || files < least {
		t.Errorf("%d files, %v; want at least %d", files, err, least)
	}
}

func TestTheLocalAuthorityStaysTheSame(t *testing.T) {
	cfg, d := local(t), deps("crm.test")
	first := start(t, cfg, d)
	root := first.RootPEM()
	serial := leaf(t, first).SerialNumber
	first.cancel()
	must(t, <-first.done)
	first.done <- nil
	second := start(t, cfg, d)
	if !bytes.Equal(second.RootPEM(), root) {
		t.Error("after a restart the root is another")
	}
	if leaf(t, second).SerialNumber.Cmp(serial) != 0 {
		t.Error("after a restart the certificate is another")
	}
	if bytes.Contains(root, []byte("PRIVATE")) {
		t.Error("RootPEM shows the private key")
	}
	d.Sealer = secret.NewMasterKey().Sealer("edge/certificates")
	d.Meter, d.Health, d.Log = second.meter, second.health, second.deps.Log
	if _, err := New(cfg, d); !errors.Is(err, secret.ErrSealed) {
		t.Errorf("under another master key New = %v; it must not make a new root over the old one", err)
	}
}

func leaf(t *testing.T, g *gate) *x509.Certificate {
	t.Helper()
	state, err := handshake(g.Addrs().HTTPS.String(), &tls.Config{ServerName: "crm.test", RootCAs: g.roots()})
	must(t, err)
	return state.PeerCertificates[0]
}

func TestLocalAuthorityMakesOrdinaryServerCertificates(t *testing.T) {
	g := start(t, local(t), deps("crm.test", "127.0.0.1"))
	c := leaf(t, g)
	if c.IsCA || c.KeyUsage != x509.KeyUsageDigitalSignature || len(c.ExtKeyUsage) != 1 || c.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth {
		t.Errorf("CA %v, usage %v %v", c.IsCA, c.KeyUsage, c.ExtKeyUsage)
	}
	if life := c.NotAfter.Sub(c.NotBefore); life > 32*24*time.Hour {
		t.Errorf("it lives for %v", life)
	}
	if !g.ca.cert.MaxPathLenZero || g.ca.cert.MaxPathLen != 0 {
		t.Error("the root may sign further authorities")
	}
	state, err := handshake(g.Addrs().HTTPS.String(), &tls.Config{ServerName: "127.0.0.1", RootCAs: g.roots()})
	if err != nil || len(state.PeerCertificates[0].IPAddresses) != 1 || !state.PeerCertificates[0].IPAddresses[0].Equal(net.IPv4(127, 0, 0, 1)) {
		t.Errorf("a certificate for an address: %v", err)
	}
}

func TestTheRootIsRenewedBeforeItEnds(t *testing.T) {
	storage := newSealedStorage(t.TempDir(), secret.NewMasterKey().Sealer("x"))
	now := time.Now()
	clock := func() time.Time { return now }
	first, err := openLocalCA(t.Context(), storage, clock)
	must(t, err)
	now = now.Add(rootLifetime - 2*leafLifetime - time.Hour)
	same, err := openLocalCA(t.Context(), storage, clock)
	must(t, err)
	if !bytes.Equal(first.pem, same.pem) {
		t.Error("renewed too early")
	}
	now = now.Add(2 * time.Hour)
	next, err := openLocalCA(t.Context(), storage, clock)
	must(t, err)
	if bytes.Equal(first.pem, next.pem) || first.IssuerKey() == next.IssuerKey() {
		t.Error("not renewed")
	}
	must(t, storage.Store(t.Context(), rootKey, []byte("rubbish")))
	if _, err := openLocalCA(t.Context(), storage, clock); err == nil {
		t.Error("a damaged root was written over")
	}
}
