package edge

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"time"

	"github.com/caddyserver/certmagic"
)

const (
	rootKey      = "local_ca/root.pem" // certificate and private key in one value, so that they always belong together
	rootLifetime = 5 * 365 * 24 * time.Hour
	leafLifetime = 30 * 24 * time.Hour
	backdate     = 5 * time.Minute // clocks differ
)

// localCA is an own little authority for development: a certmagic.Issuer that signs
// with a root of its own. The root's key never leaves the sealed storage. Its
// certificates may sign servers only, not other authorities.
type localCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte // the certificate alone
	now  func() time.Time
}

// openLocalCA loads the root, or makes one when there is none or it ends within two
// leaf lifetimes.
func openLocalCA(ctx context.Context, storage certmagic.Storage, now func() time.Time) (*localCA, error) {
	if err := storage.Lock(ctx, "local_ca"); err != nil {
		return nil, fmt.Errorf("lock local authority: %w", err)
	}
	defer storage.Unlock(context.WithoutCancel(ctx), "local_ca")
	stored, err := storage.Load(ctx, rootKey)
	switch {
	case err == nil:
		ca, err := parseLocalCA(stored, now)
		if err != nil {
			return nil, fmt.Errorf("stored %s: %w", rootKey, err)
		}
		if ca.cert.NotAfter.After(now().Add(2 * leafLifetime)) {
			return ca, nil
		}
	case !errors.Is(err, fs.ErrNotExist):
		return nil, fmt.Errorf("local authority: %w", err)
	}
	made, err := makeLocalCA(now)
	if err != nil {
		return nil, fmt.Errorf("make local authority: %w", err)
	}
	if err := storage.Store(ctx, rootKey, made); err != nil {
		return nil, fmt.Errorf("store local authority: %w", err)
	}
	return parseLocalCA(made, now)
}

func makeLocalCA(now func() time.Time) ([]byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	serial := serialNumber()
	template := &x509.Certificate{
		SerialNumber: serial,
		Subject:      pkix.Name{Organization: []string{"Sallyport"}, CommonName: fmt.Sprintf("Sallyport local authority %x", serial.Bytes()[:4])},
		NotBefore:    now().Add(-backdate), NotAfter: now().Add(rootLifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	pem.Encode(&b, &pem.Block{Type: "CERTIFICATE", Bytes: der})
	pem.Encode(&b, &pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
	return b.Bytes(), nil
}

func parseLocalCA(stored []byte, now func() time.Time) (*localCA, error) {
	certBlock, rest := pem.Decode(stored)
	keyBlock, _ := pem.Decode(rest)
	if certBlock == nil || keyBlock == nil {
		return nil, errors.New("not a certificate and its key")
	}
	cert, err := x509.ParseCertificate(certBlock.Bytes)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParsePKCS8PrivateKey(keyBlock.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok || !key.PublicKey.Equal(cert.PublicKey) {
		return nil, errors.New("the key is not the certificate's")
	}
	return &localCA{cert: cert, key: key, pem: pem.EncodeToMemory(certBlock), now: now}, nil
}

// IssuerKey implements certmagic.Issuer. Certificates of another root are others.
func (ca *localCA) IssuerKey() string { return fmt.Sprintf("local_ca-%x", ca.cert.SerialNumber) }

// Issue implements certmagic.Issuer.
func (ca *localCA) Issue(_ context.Context, csr *x509.CertificateRequest) (*certmagic.IssuedCertificate, error) {
	if err := csr.CheckSignature(); err != nil {
		return nil, fmt.Errorf("certificate request: %w", err)
	}
	template := &x509.Certificate{
		SerialNumber: serialNumber(), Subject: pkix.Name{Organization: []string{"Sallyport local"}},
		NotBefore: ca.now().Add(-backdate), NotAfter: ca.now().Add(leafLifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		DNSNames: csr.DNSNames, IPAddresses: csr.IPAddresses, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, csr.PublicKey, ca.key)
	if err != nil {
		return nil, fmt.Errorf("sign: %w", err)
	}
	return &certmagic.IssuedCertificate{Certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, nil
}

// serialNumber is positive, random and of 127 bits (CA/Browser Forum: at least 64).
func serialNumber() *big.Int {
	var b [16]byte
	rand.Read(b[:]) // never fails
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b[:])
}
