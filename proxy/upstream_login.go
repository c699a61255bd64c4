package proxy

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sallyport/sallyport/access"
)

const (
	loginTimeout   = 30 * time.Second
	maxLoginAnswer = 1 << 20 // bytes
	// loginPause is how long a failed login is not tried again, so that a wrong password does
	// not lock the user's account at the backend; and how often a session may be renewed,
	// so that a page that always answers 401 does not cost a login each time.
	loginPause = 10 * time.Second
)

var (
	errLogin      = errors.New("login at the backend failed")
	errNoAccount  = errors.New("no credential for this user")
	errLoginPause = errors.New("the backend session was renewed moments ago")
)

// backendSession is what a login at the backend gave. It is immutable.
type backendSession struct {
	values map[string]string // {user}, {tenant} and what was taken; never the password
	made   time.Time
}

// sessionSlot is the place of one user's backend session. Whoever holds the turn may log in;
// the others wait for the outcome.
type sessionSlot struct {
	login, key string

	turn    chan struct{}
	current *backendSession
	failure error
	failed  time.Time
	renewed time.Time
}

func (s *sessionSlot) lock(ctx context.Context) error {
	select {
	case s.turn <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (s *sessionSlot) unlock() { <-s.turn }

// sessionLogin opens backend sessions: one for each user and login of ours.
type sessionLogin struct {
	cfg    LoginConfig
	site   string
	scope  string // changes with the configuration, so that a reload starts anew
	path   template
	body   template
	header map[string]template // by canonical name
	cookie template            // the Cookie header to add; nil for none
	taken  map[string]bool     // names of the cookies that are ours to keep
	names  map[string]string   // the tenant's name at the backend
	users  accounts
	jar    *Jar
}

func (l *sessionLogin) slot(id *access.Identity) *sessionSlot {
	return l.jar.slot(id.LoginID, bind("session", l.site, l.scope, id.Tenant.String(), id.Subject, id.LoginID))
}

// session gives the user's backend session, opening one if there is none.
func (l *sessionLogin) session(ctx context.Context, g *passage) (*backendSession, error) {
	slot := l.slot(g.ex.Identity)
	if err := slot.lock(ctx); err != nil {
		return nil, err
	}
	defer slot.unlock()
	return l.sessionLocked(ctx, g, slot)
}

func (l *sessionLogin) sessionLocked(ctx context.Context, g *passage, slot *sessionSlot) (*backendSession, error) {
	now := l.jar.now()
	if slot.current != nil && now.Sub(slot.current.made) < l.cfg.Keep.Duration() {
		return slot.current, nil
	}
	if slot.failure != nil && now.Sub(slot.failed) < loginPause {
		return nil, slot.failure
	}
	// Others wait for this login: the client that began it must not take it along when it leaves.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), loginTimeout)
	defer cancel()
	values, err := l.logIn(ctx, g)
	slot.current, slot.failure = nil, nil
	if err != nil {
		if !dialFailed(err) { // nobody was asked, so another upstream may be
			slot.failure, slot.failed = err, l.jar.now()
		}
		return nil, err
	}
	slot.current = &backendSession{values, l.jar.now()}
	return slot.current, nil
}

// renew replaces a session that the backend has called ended. Another request may have done
// so already; then that one's session is given.
func (l *sessionLogin) renew(ctx context.Context, g *passage, ended *backendSession) (*backendSession, error) {
	slot := l.slot(g.ex.Identity)
	if err := slot.lock(ctx); err != nil {
		return nil, err
	}
	defer slot.unlock()
	if slot.current == ended {
		now := l.jar.now()
		if !slot.renewed.IsZero() && now.Sub(slot.renewed) < loginPause {
			return nil, errLoginPause
		}
		slot.current, slot.renewed = nil, now
	}
	return l.sessionLocked(ctx, g, slot)
}

// replace notes that the backend has changed a cookie of the session that we hold.
func (l *sessionLogin) replace(ctx context.Context, g *passage, used *backendSession, cookie, value string) {
	slot := l.slot(g.ex.Identity)
	if slot.lock(ctx) != nil {
		return
	}
	defer slot.unlock()
	if slot.current == nil || slot.current.made != used.made {
		return
	}
	next := &backendSession{values: map[string]string{}, made: slot.current.made}
	for name, v := range slot.current.values {
		next.values[name] = v
	}
	for name, from := range l.cfg.Take {
		if from == "cookie."+cookie {
			next.values[name] = value
		}
	}
	slot.current = next
}

// logIn asks the backend for a session. The request tells who asks like any other.
func (l *sessionLogin) logIn(ctx context.Context, g *passage) (map[string]string, error) {
	account, ok := l.users.of(g.ex.Identity)
	if !ok {
		return nil, noAccount()
	}
	tenant := g.who.tenant
	if name, ok := l.names[tenant]; ok {
		tenant = name
	}
	values := map[string]string{"user": account.user, "tenant": tenant, "password": account.secret.Reveal()}
	escape := jsonText
	if l.cfg.Type == "application/x-www-form-urlencoded" {
		escape = url.QueryEscape
	}
	body := l.body.expand(values, escape)
	path := l.path.expand(values, url.PathEscape)
	delete(values, "password")
	r := &http.Request{Method: http.MethodPost, Host: g.ex.Request.Host, Header: http.Header{}, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		URL:  &url.URL{Scheme: g.target.url.Scheme, Host: g.target.url.Host, Opaque: path},
		Body: io.NopCloser(strings.NewReader(body)), ContentLength: int64(len(body)),
		GetBody: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }}
	g.inject(r.Header)
	r.Header.Set("Content-Type", l.cfg.Type)
	r.Header.Set("Accept", "*/*")
	r.Header.Set("Referer", "https://"+g.ex.Request.Host+path) // old applications compare it with Host
	res, err := g.at.transport.RoundTrip(r.WithContext(ctx))
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxLoginAnswer+1))
	switch {
	case err != nil:
		return nil, err
	case len(answer) > maxLoginAnswer:
		return nil, loginFailed(fmt.Errorf("%w: the answer is larger than %d bytes", errLogin, maxLoginAnswer))
	case res.StatusCode < 200 || res.StatusCode > 399:
		return nil, loginFailed(fmt.Errorf("%w: status %d", errLogin, res.StatusCode))
	}
	if err := l.take(values, answer, res.Header); err != nil {
		return nil, loginFailed(err)
	}
	return values, nil
}

// take picks from the answer what the file asks for. One value that is missing is a failed
// login: many backends say so with 200.
func (l *sessionLogin) take(values map[string]string, answer []byte, h http.Header) error {
	var doc any
	for name, from := range l.cfg.Take {
		kind, path, _ := strings.Cut(from, ".")
		var value string
		var ok bool
		switch kind {
		case "cookie":
			value, ok = takeCookie(h, path)
		case "json":
			if doc == nil {
				d := json.NewDecoder(bytes.NewReader(answer))
				d.UseNumber()
				if d.Decode(&doc) != nil {
					return fmt.Errorf("%w: the answer is not JSON", errLogin)
				}
			}
			value, ok = takeJSON(doc, path)
		}
		if !ok || value == "" || !printable(value) {
			return fmt.Errorf("%w: the answer has no usable %s", errLogin, from)
		}
		values[name] = value
	}
	return nil
}

func takeCookie(h http.Header, name string) (value string, ok bool) {
	for _, line := range h["Set-Cookie"] {
		if c, valid := parseSetCookie(line, time.Time{}); valid && c.name == name {
			value, ok = c.value, true
		}
	}
	return value, ok
}

func takeJSON(doc any, path string) (string, bool) {
	for _, step := range strings.Split(path, ".") {
		switch at := doc.(type) {
		case map[string]any:
			doc = at[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(at) {
				return "", false
			}
			doc = at[i]
		default:
			return "", false
		}
	}
	switch value := doc.(type) {
	case string:
		return value, true
	case json.Number:
		return value.String(), true
	}
	return "", false
}

// printable says whether a text may stand in a header: no control characters.
func printable(s string) bool {
	return !slices.ContainsFunc([]byte(s), func(c byte) bool { return c < ' ' || c == 0x7f })
}

func jsonText(s string) string {
	quoted, err := json.Marshal(s)
	if err != nil { // a string always marshals
		return ""
	}
	return string(quoted[1 : len(quoted)-1])
}

func loginFailed(err error) error {
	return access.Refuse(http.StatusBadGateway, "upstream_login_failed", "The application did not let the gateway log in for you.",
		"Tell your administrator the request id.").Because(err)
}

func noAccount() error {
	return access.Refuse(http.StatusForbidden, "no_backend_account", "You have no account in this application.",
		"Ask your administrator for one.").Because(errNoAccount)
}
