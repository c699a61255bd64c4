package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"time"

	"github.com/sallyport/sallyport/bench/job"
)

// visitor is a browser as far as the benchmark needs one: it keeps cookies and follows
// redirects, and finds the site at the address of the target.
type visitor struct{ client *http.Client }

func newVisitor(t *target, roots *x509.CertPool) (*visitor, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &visitor{&http.Client{Jar: jar, Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, _, _ := net.SplitHostPort(address); host == job.Host {
				address = t.addr
			}
			return dialer.DialContext(ctx, network, address)
		},
	}}}, nil
}

func (v *visitor) get(ctx context.Context, target string) (status int, body string, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+job.Host+target, nil)
	if err != nil {
		return 0, "", err
	}
	r.Header.Set("Accept", "text/html")
	r.Header.Set("User-Agent", "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0")
	resp, err := v.client.Do(r)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	return resp.StatusCode, string(b), err
}

// enter logs in at a gateway through its provider and keeps the session's cookies in the
// target. It then makes sure that the target is what the table will say that it is.
func (t *target) enter(ctx context.Context, roots *x509.CertPool) error {
	v, err := newVisitor(t, roots)
	if err != nil {
		return err
	}
	const page = "/api/contacts/4711"
	status, body, err := v.get(ctx, "/.sallyport/login?return="+url.QueryEscape(page))
	if err != nil {
		return fmt.Errorf("log in at %s: %w", t.name, err)
	}
	if status != http.StatusOK || body != string(job.Page(t.tenant)) {
		return fmt.Errorf("log in at %s: status %d: %.300s\n%s", t.name, status, body, t.proc.tail())
	}
	var pairs []string
	for _, c := range v.client.Jar.Cookies(&url.URL{Scheme: "https", Host: job.Host, Path: "/"}) {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	t.cookie = strings.Join(pairs, "; ")
	return t.attacked(ctx, v)
}

// attacked makes sure that the WAF is on where it is to be on, and off elsewhere.
func (t *target) attacked(ctx context.Context, v *visitor) error {
	status, _, err := v.get(ctx, "/api/contacts/4711?search="+url.QueryEscape("1' OR '1'='1' UNION SELECT password FROM users -- "))
	if err != nil {
		return err
	}
	want := http.StatusOK
	if t.name == withWAF {
		want = http.StatusForbidden
	}
	if status != want {
		return fmt.Errorf("%s answers an SQL injection with %d, want %d", t.name, status, want)
	}
	return nil
}
