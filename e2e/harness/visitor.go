package harness

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"
)

// Visitor is as much of a browser as most tests need: it keeps cookies, follows redirects
// and submits forms. Programs' requests are made by Do.
type Visitor struct {
	// Client follows redirects.
	Client *http.Client
	base   string
}

// NewVisitor makes one without any cookie.
func (g *Gateway) NewVisitor(t testing.TB) *Visitor {
	t.Helper()
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	dialer := &net.Dialer{Timeout: 10 * time.Second}
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: g.cert.roots}, ForceAttemptHTTP2: true,
		DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
			if host, port, err := net.SplitHostPort(address); err == nil && strings.HasSuffix(host, ".test") {
				address = net.JoinHostPort("127.0.0.1", port)
			}
			return dialer.DialContext(ctx, network, address)
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &Visitor{Client: &http.Client{Jar: jar, Transport: transport, Timeout: 5 * time.Minute}, base: g.URL}
}

// LoggedIn makes a visitor who has logged in the way people do.
func (g *Gateway) LoggedIn(t testing.TB, p Person) *Visitor {
	t.Helper()
	v := g.NewVisitor(t)
	v.LogIn(t, p)
	return v
}

// Answer is a response, read.
type Answer struct {
	Status int
	Header http.Header
	Body   string
	At     *url.URL
}

// Code is the reason code of a refusal as problem+json; "" for anything else.
func (a Answer) Code() string {
	var problem struct {
		Code string `json:"code"`
	}
	if a.Header.Get("Content-Type") != "application/problem+json" || json.Unmarshal([]byte(a.Body), &problem) != nil {
		return ""
	}
	return problem.Code
}

// JSON decodes the body.
func (a Answer) JSON(t testing.TB, into any) {
	t.Helper()
	if err := json.Unmarshal([]byte(a.Body), into); err != nil {
		t.Fatalf("%d from %s is not the JSON that was expected: %v\n%s", a.Status, a.At, err, tail(a.Body))
	}
}

// LogIn walks from the login page through the provider's form, unless the provider still knows
// the person, and back to the application.
func (v *Visitor) LogIn(t testing.TB, p Person) Answer {
	t.Helper()
	page := v.Visit(t, "/.sallyport/login")
	page = v.Submit(t, page, url.Values{"email": {p.Email()}})
	if strings.HasPrefix(page.At.Host, "127.0.0.") {
		page = v.Submit(t, page, url.Values{"username": {p.Name}, "password": {p.Password()}})
	}
	if "https://"+page.At.Host != v.base || strings.HasPrefix(page.At.Path, "/.sallyport/") {
		t.Fatalf("the way back ended at %s: %d\n%s", page.At, page.Status, tail(page.Body))
	}
	return page
}

// Visit goes to a page as a person does, along all redirects.
func (v *Visitor) Visit(t testing.TB, path string) Answer {
	t.Helper()
	return v.navigate(t, http.MethodGet, v.base+path, "", nil)
}

// Submit fills the first form of a page and submits it.
func (v *Visitor) Submit(t testing.TB, page Answer, values url.Values) Answer {
	t.Helper()
	action, fields, ok := firstForm(page.Body)
	if !ok {
		t.Fatalf("%s (%d) has no form:\n%s", page.At, page.Status, tail(page.Body))
	}
	to, err := page.At.Parse(action)
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		if _, there := fields[name]; !there {
			t.Fatalf("the form of %s has no field %q:\n%s", page.At, name, tail(page.Body))
		}
		fields[name] = value
	}
	return v.navigate(t, http.MethodPost, to.String(), page.At.Scheme+"://"+page.At.Host, strings.NewReader(fields.Encode()))
}

func (v *Visitor) navigate(t testing.TB, method, to, origin string, body io.Reader) Answer {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, to, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if body != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		req.Header.Set("Origin", origin)
		req.Header.Set("Referer", origin+"/")
	}
	return read(t, v.Client, req)
}

// Do makes a request as a program in a page of the application does; it follows no redirect.
// Lines of header are "Name: value".
func (v *Visitor) Do(t testing.TB, method, path, body string, header ...string) Answer {
	t.Helper()
	req := v.Request(t, method, path, strings.NewReader(body), header...)
	if body == "" {
		req.Body, req.ContentLength = nil, 0
	}
	return read(t, v.direct(), req)
}

// Request makes a request for Send, with any body.
func (v *Visitor) Request(t testing.TB, method, path string, body io.Reader, header ...string) *http.Request {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, v.base+path, body)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/json, */*")
	req.Header.Set("Sec-Fetch-Site", "same-origin")
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	return req
}

// Send sends a request and gives the response with its body unread.
func (v *Visitor) Send(t testing.TB, req *http.Request) *http.Response {
	t.Helper()
	res, err := v.direct().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}

func (v *Visitor) direct() *http.Client {
	c := *v.Client
	c.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &c
}

// Cookies are those for the gateway's site, by name.
func (v *Visitor) Cookies(t testing.TB) map[string]string {
	t.Helper()
	at, err := url.Parse(v.base)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{}
	for _, c := range v.Client.Jar.Cookies(at) {
		all[c.Name] = c.Value
	}
	return all
}

func read(t testing.TB, client *http.Client, req *http.Request) Answer {
	t.Helper()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", req.Method, req.URL, err)
	}
	return Answer{res.StatusCode, res.Header, string(body), res.Request.URL}
}

// firstForm gives the address of a page's first form, and its fields.
func firstForm(page string) (action string, fields url.Values, ok bool) {
	fields = url.Values{}
	tokens := html.NewTokenizer(strings.NewReader(page))
	for {
		kind := tokens.Next()
		token := tokens.Token()
		switch {
		case kind == html.ErrorToken || ok && kind == html.EndTagToken && token.Data == "form":
			return action, fields, ok
		case kind != html.StartTagToken && kind != html.SelfClosingTagToken:
		case token.Data == "form" && !ok:
			action, ok = attribute(token, "action"), true
		case token.Data == "input" && ok && attribute(token, "name") != "":
			fields.Set(attribute(token, "name"), attribute(token, "value"))
		}
	}
}

func attribute(token html.Token, name string) string {
	for _, a := range token.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// Quoted is a text as JSON.
func Quoted(text string) string {
	b, err := json.Marshal(text)
	if err != nil {
		return fmt.Sprintf("%q", text)
	}
	return string(b)
}
