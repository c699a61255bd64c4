package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/sallyport/sallyport/demo"
)

// demoPeople are those whose cookies lie in the folder, by the name of their curl file.
// The leaver's session is there to be ended.
var demoPeople = [...]struct{ file, tenant, role string }{
	{"acme-owner", "acme", "owner"}, {"acme-admin", "acme", "admin"}, {"acme-member", "acme", "member"}, {"acme-viewer", "acme", "viewer"},
	{"globex-member", "globex", "member"}, {"acme-leaver", "acme", "member"},
}

// logInAll walks the real way of a login for each of them, and writes what curl needs.
func (h *demoHouse) logInAll(ctx context.Context) error {
	for _, p := range demoPeople {
		for _, u := range h.idp.Users() {
			if u.Tenant != p.tenant || u.Role != p.role {
				continue
			}
			cookies, err := h.logIn(ctx, u)
			if err != nil {
				return fmt.Errorf("log in %s: %w", u.Email, err)
			}
			if err := h.writeCurl(p.file, cookies); err != nil {
				return err
			}
		}
	}
	return nil
}

// visitor is as much of a browser as a login needs: it keeps cookies, follows redirects
// and trusts the local authority.
func (h *demoHouse) visitor() (*http.Client, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return nil, err
	}
	client, err := clientOf(h.rt.edge.RootPEM(), h.rt.edge.Addrs().HTTPS)
	if err != nil {
		return nil, err
	}
	client.Jar = jar
	return client, nil
}

// clientOf makes a client that trusts one authority and finds the demo's host at addr,
// whatever the system's resolver thinks of names below localhost.
func clientOf(root []byte, addr netip.AddrPort) (*http.Client, error) {
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(root) {
		return nil, errors.New("the local authority has no certificate")
	}
	dialer := &net.Dialer{Timeout: 5 * time.Second}
	return &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			if strings.HasPrefix(to, demoHost+":") {
				to = addr.String()
			}
			return dialer.DialContext(ctx, network, to)
		},
	}}, nil
}

var formAction = regexp.MustCompile(`<form[^>]* action="([^"]*)"`)

// logIn gives the gateway's cookies of a new session: the login page's form, the
// provider's form, and the redirects between them.
func (h *demoHouse) logIn(ctx context.Context, u demo.User) ([]*http.Cookie, error) {
	client, err := h.visitor()
	if err != nil {
		return nil, err
	}
	defer client.CloseIdleConnections()
	at, page, err := h.post(ctx, client, h.origin+"/.sallyport/login", url.Values{"email": {u.Email}, "return": {"/"}})
	if err != nil {
		return nil, err
	}
	found := formAction.FindSubmatch(page)
	if found == nil || !strings.HasPrefix(at.String(), h.addrs.idp) {
		return nil, fmt.Errorf("the way to the identity provider ended at %s", at.Redacted())
	}
	action, err := at.Parse(html.UnescapeString(string(found[1])))
	if err != nil {
		return nil, err
	}
	at, _, err = h.post(ctx, client, action.String(), url.Values{"username": {u.Email}, "password": {u.Password}})
	if err != nil {
		return nil, err
	}
	if at.String() != h.origin+"/" {
		return nil, fmt.Errorf("the way back ended at %s", at.Redacted())
	}
	return client.Jar.Cookies(at), nil
}

// post submits a form as a browser does, and gives where the redirects led and what is there.
func (h *demoHouse) post(ctx context.Context, client *http.Client, to string, form url.Values) (at *url.URL, page []byte, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Accept", "text/html")
	req.Header.Set("Origin", req.URL.Scheme+"://"+req.URL.Host)
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	if page, err = io.ReadAll(io.LimitReader(res.Body, 1<<20)); err != nil {
		return nil, nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("%s answered %s", res.Request.URL.Redacted(), res.Status)
	}
	return res.Request.URL, page, nil
}

// writeCurl writes a cookie jar in the format of Netscape, and a file of options for curl -K.
func (h *demoHouse) writeCurl(name string, cookies []*http.Cookie) error {
	var jar strings.Builder
	jar.WriteString("# Netscape HTTP Cookie File\n")
	for _, c := range cookies {
		fmt.Fprintf(&jar, "#HttpOnly_%s\tFALSE\t/\tTRUE\t%d\t%s\t%s\n", demoHost, time.Now().Add(7*24*time.Hour).Unix(), c.Name, c.Value)
	}
	if err := os.WriteFile(h.path(name+".jar"), []byte(jar.String()), 0o600); err != nil {
		return err
	}
	options := fmt.Sprintf("# curl -K %s URL: as this person, from a page of the application itself.\n"+
		"cacert = %q\ncookie = %q\nheader = \"Origin: %s\"\nsilent\nshow-error\nwrite-out = \"\\n%%{http_code}\\n\"\n",
		name, h.path("ca.pem"), h.path(name+".jar"), h.origin)
	return os.WriteFile(h.path(name), []byte(options), 0o600)
}
