package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/sallyport/sallyport/bench/job"
)

// target is a proxy under measurement.
type target struct {
	name   string
	addr   string // where it serves HTTPS
	ops    string // where a gateway serves /readyz and profiles; "" for the floor
	audit  string // a gateway's journal
	tenant string // what the backend sees through it
	cookie string // a gateway's session; the floor gets the same
	proc   *process
	posts  int // records that were sent through it
}

// gateway is one configuration of the gateway to measure.
type gateway struct{ name, waf, level string }

// The names of the targets.
const (
	floorName   = "floor"
	noWAF       = "no_waf"
	withWAF     = "waf"
	withLogName = "access_log"
)

func gateways() []gateway {
	return []gateway{{noWAF, "off", "warn"}, {withWAF, "enforce", "warn"}, {withLogName, "off", "info"}}
}

// config is the whole corridor: session, tenant, roles, limits, the journal with fsync. The
// limits are so high that they refuse nothing, but every request is counted. The policy's
// deadline is longer than its default: it counts wall time, and on the single core that the proxy
// has here a decision can wait for many inspections of bodies.
const config = `
environment: bench
edge:
  https: "%[2]s"
  http: "off"
  ops: "%[3]s"
  connections: {per_address: 20000}
  tls: {certificates: [{cert: "%[1]s/cert.pem", key: "%[1]s/key.pem"}]}
store: {database: "sqlite:%[1]s/%[4]s/sallyport.db", master_key: "file:%[1]s/master.key"}
proxy:
  sites:
    - name: crm
      hosts: [%[8]s]
      upstreams: ["http://%[5]s"]
      tenant: {header: X-Tenant-ID, guard: [path.tenant, query.tenant_id, form.tenant_id, json.tenant_id]}
      public: ["/static/**"]
      resources:
        - {type: contact, path: "/api/contacts/{id}"}
        - {type: account, path: "/api/accounts/{id}"}
        - {type: deal, path: "/api/deals/{id}"}
        - {type: invoice, path: "/billing/**"}
authn:
  oidc:
    - {name: bench, tenant: %[9]s, issuer: "%[6]s", client_id: bench, client_secret: "file:%[1]s/client.secret", allow: ["127.0.0.0/8"], roles: {default: member}}
directory: {tenants: [{id: %[9]s, name: Acme, domains: [acme.test]}]}
policy: {deadline: 5s}
ratelimit:
  {per_address: 1000000/s, per_user: 1000000/s, per_tenant: 1000000/s, address_burst: 1000000, user_burst: 1000000, tenant_burst: 1000000}
waf: {mode: %[7]s, paranoia: 1, preset: crm}
audit: {dir: "%[1]s/%[4]s/audit"}
telemetry: {log: {format: json, level: %[10]s}}
`

func (h *house) floor(ctx context.Context, backend string) (*target, error) {
	p, err := h.start(ctx, h.proxies, floorName, "floor", "-upstream", "http://"+backend, "-cert", filepath.Join(h.dir, "cert.pem"), "-key", filepath.Join(h.dir, "key.pem"))
	if err != nil {
		return nil, err
	}
	addr, err := p.firstLine()
	return &target{name: floorName, addr: addr, tenant: job.NoTenant, proc: p}, err
}

func (h *house) gateway(ctx context.Context, g gateway, backend, issuer string) (*target, error) {
	https, err := freeAddress()
	if err != nil {
		return nil, err
	}
	ops, err := freeAddress()
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(h.dir, g.name), 0o700); err != nil {
		return nil, err
	}
	file := filepath.Join(h.dir, g.name, "sallyport.yaml")
	text := fmt.Sprintf(config, h.dir, https, ops, g.name, backend, issuer, g.waf, job.Host, job.Tenant, g.level)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, err
	}
	p, err := h.start(ctx, h.proxies, g.name, "sallyport", "serve", "--config", file)
	if err != nil {
		return nil, err
	}
	return &target{name: g.name, addr: https, ops: ops, audit: filepath.Join(h.dir, g.name, "audit"), tenant: job.Tenant, proc: p}, nil
}

// freeAddress asks the system for a port that nobody listens on.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// ready waits until the gateway says that it is.
func (t *target) ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+t.ops+"/readyz", nil)
		if err != nil {
			return err
		}
		if resp, err := client.Do(r); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s is not ready: %s", t.name, t.proc.tail())
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// secrets writes the certificate of all proxies, a master key and a client secret.
func (h *house) secrets() (*x509.CertPool, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	cert := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: job.Host}, DNSNames: []string{job.Host}, NotBefore: now.Add(-time.Hour),
		NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	certDER, err := x509.CreateCertificate(rand.Reader, cert, cert, key.Public(), key)
	if err != nil {
		return nil, err
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	master := make([]byte, 32)
	rand.Read(master)
	certPEM := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certDER})
	for name, text := range map[string][]byte{
		"cert.pem": certPEM, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
		"master.key": []byte(base64.StdEncoding.EncodeToString(master)), "client.secret": []byte(rand.Text()),
	} {
		err = errors.Join(err, os.WriteFile(filepath.Join(h.dir, name), text, 0o600))
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(certPEM)
	return pool, err
}
