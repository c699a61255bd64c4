package proxy

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/units"
)

func (c UpstreamAuth) withDefaults() UpstreamAuth {
	if c.Kind == "header" {
		if c.Header == "" {
			c.Header = "X-Remote-User"
		}
		if c.Value == "" {
			c.Value = "email"
		}
	}
	if c.Login != nil {
		login := *c.Login
		if login.Keep == 0 {
			login.Keep = units.Span(defaultKeep)
		}
		if len(login.Renew) == 0 {
			login.Renew = []int{http.StatusUnauthorized}
		}
		c.Login = &login
	}
	return c
}

// account is one user's at the backend. The secret is a password or a token.
type account struct {
	user   string
	secret secret.String
}

// accounts finds a user's account. Keys are "tenant/e-mail", "tenant/*", "e-mail" and "*",
// tried in that order; e-mails are compared in lower case.
type accounts map[string]account

func (a accounts) of(id *access.Identity) (account, bool) {
	email, tenant := strings.ToLower(id.Email), id.Tenant.String()
	for _, key := range [...]string{tenant + "/" + email, tenant + "/*", email, "*"} {
		if found, ok := a[key]; ok && (email != "" || strings.HasSuffix(key, "*")) {
			if found.user == "" {
				found.user = email
			}
			return found, found.user != ""
		}
	}
	return account{}, false
}

// newAccounts fetches the secrets. Errors name the place in the file, never a secret.
func newAccounts(path string, users map[string]Credential, kind string) (accounts, error) {
	all := accounts{}
	for key, c := range users {
		ref, name := c.Password, "password"
		if kind == "bearer" {
			ref, name = c.Token, "token"
		}
		text, err := ref.Resolve()
		if err != nil {
			return nil, fmt.Errorf("%s.users.%s.%s: %w", path, key, name, err)
		}
		if !printable(text.Reveal()) {
			return nil, fmt.Errorf("%s.users.%s.%s: the secret holds control characters", path, key, name)
		}
		all[strings.ToLower(key)] = account{c.User, text}
	}
	return all, nil
}

// upstreamAuth is how requests to one site's backend are logged in there.
type upstreamAuth struct {
	kind   string
	header string // canonical
	byID   bool
	tokens accounts
	login  *sessionLogin
}

func newUpstreamAuth(path string, s *site, jar *Jar) (*upstreamAuth, error) {
	if s.cfg.UpstreamAuth == nil {
		return nil, nil
	}
	cfg := s.cfg.UpstreamAuth.withDefaults()
	auth := &upstreamAuth{kind: cfg.Kind}
	var err error
	switch cfg.Kind {
	case "header":
		auth.header, auth.byID = http.CanonicalHeaderKey(cfg.Header), cfg.Value == "id"
		return auth, nil
	case "bearer":
		auth.tokens, err = newAccounts(path, cfg.Users, cfg.Kind)
		return auth, err
	case "login":
		auth.login, err = newSessionLogin(path, s, cfg, jar)
		return auth, err
	}
	return nil, fmt.Errorf("%s.kind: %q is none of header, bearer, login", path, cfg.Kind)
}

func newSessionLogin(path string, s *site, cfg UpstreamAuth, jar *Jar) (*sessionLogin, error) {
	if cfg.Login == nil {
		return nil, fmt.Errorf("%s.login: missing", path)
	}
	users, err := newAccounts(path, cfg.Users, cfg.Kind)
	if err != nil {
		return nil, err
	}
	l := &sessionLogin{cfg: *cfg.Login, site: s.Name, scope: cfg.Login.scope(), users: users, jar: jar, names: s.cfg.Tenant.PathNames,
		header: map[string]template{}, taken: map[string]bool{}}
	if l.path, err = parseTemplate(cfg.Login.Path, loginNames); err != nil {
		return nil, fmt.Errorf("%s.login.path: %w", path, err)
	}
	if l.body, err = parseTemplate(cfg.Login.Body, loginNames); err != nil {
		return nil, fmt.Errorf("%s.login.body: %w", path, err)
	}
	for name, text := range cfg.Login.Header {
		t, err := parseTemplate(text, cfg.Login.headerNames())
		if err != nil {
			return nil, fmt.Errorf("%s.login.header.%s: %w", path, name, err)
		}
		if name = http.CanonicalHeaderKey(name); name == "Cookie" {
			l.cookie = t
		} else {
			l.header[name] = t
		}
	}
	for _, from := range cfg.Login.Take {
		if name, ok := strings.CutPrefix(from, "cookie."); ok {
			l.taken[name] = true
		}
	}
	return l, nil
}

// apply logs a request in, once the header is otherwise complete. The client's own
// Authorization is gone by then, on every site: it was meant for us.
func (a *upstreamAuth) apply(g *passage, h http.Header) error {
	switch a.kind {
	case "header":
		value := g.who.email
		if a.byID {
			value = g.who.id
		}
		if value == "" {
			return noAccount()
		}
		h[a.header] = []string{value}
	case "bearer":
		found, ok := a.tokens.of(g.ex.Identity)
		if !ok {
			return noAccount()
		}
		h["Authorization"] = []string{"Bearer " + found.secret.Reveal()}
	case "login":
		session, err := a.login.session(g.ctx, g)
		if err != nil {
			return err
		}
		a.login.wear(g, session, h)
	}
	return nil
}

// wear puts a backend session on a request. The Cookie header is rebuilt each time, for a
// renewed session must not stand beside the ended one.
func (l *sessionLogin) wear(g *passage, session *backendSession, h http.Header) {
	g.session = session
	plain := func(s string) string { return s }
	for name, t := range l.header {
		h[name] = []string{t.expand(session.values, plain)}
	}
	if l.cookie != nil {
		// A ';' would begin another cookie: a user's name must not choose one.
		text := l.cookie.expand(session.values, func(s string) string { return strings.ReplaceAll(s, ";", "%3B") })
		if g.cookies != "" {
			text = g.cookies + "; " + text
		}
		h["Cookie"] = []string{text}
	}
}

// template is a text with places for values.
type template []segment

type segment struct {
	literal string
	name    string   // a placeholder, when not ""
	base64  template // an enclosed text to encode, when not nil
}

// loginNames are the placeholders of a login request; headers know those that were taken.
var loginNames = map[string]bool{"user": true, "password": true, "tenant": true}

// parseTemplate reads a text in which {name} stands for a value and base64(...) encodes what
// it encloses. Braces around anything but a name are literal, as JSON has many.
func parseTemplate(text string, names map[string]bool) (template, error) {
	t := template{} // not nil, even if empty
	literal := func(s string) {
		if s != "" {
			t = append(t, segment{literal: s})
		}
	}
	for {
		i := strings.IndexAny(text, "{b")
		if i < 0 {
			literal(text)
			return t, nil
		}
		literal(text[:i])
		text = text[i:]
		if inner, rest, ok := enclosed(text, "base64(", ')'); ok {
			encoded, err := parseTemplate(inner, names)
			if err != nil {
				return nil, err
			}
			t, text = append(t, segment{base64: encoded}), rest
			continue
		}
		if name, rest, ok := enclosed(text, "{", '}'); ok && plainName(name) {
			if !names[name] {
				return nil, fmt.Errorf("{%s} stands for nothing here", name)
			}
			t, text = append(t, segment{name: name}), rest
			continue
		}
		literal(text[:1])
		text = text[1:]
	}
}

func enclosed(text, open string, end byte) (inner, rest string, ok bool) {
	if !strings.HasPrefix(text, open) {
		return "", "", false
	}
	return strings.Cut(text[len(open):], string(end))
}

func plainName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '_' {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

// expand gives the text with each value escaped for where it stands.
func (t template) expand(values map[string]string, escape func(string) string) string {
	var b strings.Builder
	for _, s := range t {
		switch {
		case s.name != "":
			b.WriteString(escape(values[s.name]))
		case s.base64 != nil:
			inner := s.base64.expand(values, func(v string) string { return v })
			b.WriteString(escape(base64.StdEncoding.EncodeToString([]byte(inner))))
		default:
			b.WriteString(s.literal)
		}
	}
	return b.String()
}
