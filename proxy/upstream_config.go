package proxy

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/units"
)

const (
	defaultKeep = time.Hour
	defaultHSTS = 365 * 24 * time.Hour
)

func (c UpstreamConfig) withDefaults() UpstreamConfig {
	if c.Dial == 0 {
		c.Dial = units.Span(5 * time.Second)
	}
	if c.Header == 0 {
		c.Header = units.Span(310 * time.Second)
	}
	if c.MaxConns == 0 {
		c.MaxConns = 512
	}
	return c
}

func (c UpstreamConfig) check(path string, problem, warn func(path, what, hint string)) {
	if c.CA != "" && !strings.HasPrefix(c.CA, "/") {
		problem(path+".ca", "the path of the root certificates is not absolute", "such as /etc/sallyport/backend-ca.pem")
	}
	if c.ServerName != "" && !validHost(c.ServerName) {
		problem(path+".server_name", fmt.Sprintf("%q is not a host name", c.ServerName), "the name in the backend's certificate, such as crm.internal")
	}
	if c.MaxConns < 0 || c.MaxConns > 65_535 {
		problem(path+".max_conns", "not a number of connections", "1 to 65535; the default is 512")
	}
	if d := c.Dial.Duration(); d > time.Minute {
		warn(path+".dial", "an address that is down will hold requests for more than a minute", "5s is the default")
	}
	if c.HealthPath != "" && (!plainTarget(c.HealthPath) || len(c.HealthPath) > 1024) {
		problem(path+".health_path", "not a path", "such as /health")
	}
}

func (c CookiesConfig) check(path string, problem, _ func(path, what, hint string)) {
	for key, names := range map[string][]string{"script": c.Script, "prelogin": c.Prelogin} {
		for i, name := range names {
			at := fmt.Sprintf("%s.%s[%d]", path, key, i)
			switch {
			case name == "" || !printable(name) || strings.ContainsAny(name, " =;,\""):
				problem(at, fmt.Sprintf("%q is not a cookie's name", name), "the exact name, without a wildcard")
			case ownCookie(name):
				problem(at, "this is a cookie of the gateway itself", "remove it: the application never gets the gateway's cookies")
			}
		}
	}
}

func (c ResponseConfig) check(path string, problem, warn func(path, what, hint string)) {
	oneOf(problem, path+".frame", c.Frame, "", "sameorigin", "deny", "off")
	oneOf(problem, path+".referrer", c.Referrer, "", "same-origin", "strict-origin", "strict-origin-when-cross-origin", "origin",
		"origin-when-cross-origin", "no-referrer-when-downgrade", "unsafe-url")
	if c.Frame == "off" {
		warn(path+".frame", "other sites may show this one in a frame (clickjacking)", "sameorigin lets only the site itself")
	}
	if c.Referrer == "unsafe-url" || c.Referrer == "no-referrer-when-downgrade" {
		warn(path+".referrer", "full addresses of the application are told to other sites", "same-origin tells them nothing")
	}
}

func (c UpstreamAuth) check(path string, problem, warn func(path, what, hint string)) {
	oneOf(problem, path+".kind", c.Kind, "header", "bearer", "login")
	switch c.Kind {
	case "header":
		if c.Header != "" && (!validToken(c.Header) || decisive(strings.ToLower(c.Header))) {
			problem(path+".header", fmt.Sprintf("%q cannot name the user", c.Header), "a header of its own, such as X-Remote-User")
		}
		oneOf(problem, path+".value", c.Value, "", "email", "id")
		if len(c.Users) > 0 {
			problem(path+".users", "kind header needs no credentials", "remove users, or choose bearer or login")
		}
	case "bearer", "login":
		c.checkUsers(path, problem, warn)
	}
	switch {
	case c.Kind == "login" && c.Login == nil:
		problem(path+".login", "kind login does not know how to log in", "add login with path, type, body and take")
	case c.Kind != "login" && c.Login != nil:
		problem(path+".login", "only kind login logs in", "remove login, or choose kind: login")
	case c.Login != nil:
		c.Login.check(path+".login", problem)
	}
}

func (c UpstreamAuth) checkUsers(path string, problem, warn func(path, what, hint string)) {
	if len(c.Users) == 0 {
		problem(path+".users", "there is no credential for anybody", `add one by e-mail, or one for everybody under "*"`)
	}
	for _, key := range slices.Sorted(maps.Keys(c.Users)) {
		at, user := path+".users."+key, c.Users[key]
		if c.Kind == "bearer" && (user.Token.IsZero() || !user.Password.IsZero()) {
			problem(at, "kind bearer needs a token and nothing else", "token: env:NAME or file:/path")
		}
		if c.Kind == "login" && (user.Password.IsZero() || !user.Token.IsZero()) {
			problem(at, "kind login needs a password and nothing else", "password: env:NAME or file:/path")
		}
		if !printable(user.User) || len(user.User) > 256 {
			problem(at+".user", "not a user's name", "at most 256 bytes without control characters")
		}
		switch tenant, email, scoped := strings.Cut(key, "/"); {
		case scoped && (tenant == "" || email == ""):
			problem(at, "neither a user nor a tenant's user", `"tenant/e-mail", "tenant/*", "e-mail" or "*"`)
		case !scoped && key != "*":
			warn(at, "any tenant's identity provider can vouch for this e-mail", "write tenant/e-mail, so that only this tenant's user gets the credential")
		}
	}
}

func (c LoginConfig) check(path string, problem func(path, what, hint string)) {
	if !plainTarget(c.Path) {
		problem(path+".path", "not a path", "such as /login or /{tenant}/")
	}
	if c.Type != "application/json" && c.Type != "application/x-www-form-urlencoded" {
		problem(path+".type", fmt.Sprintf("%q is not a type that values can be escaped for", c.Type), "application/json or application/x-www-form-urlencoded")
	}
	if !strings.Contains(c.Body, "{password}") {
		problem(path+".body", "the login does not send the password", "put {user} and {password} where the backend wants them")
	}
	for key, text := range map[string]string{"path": c.Path, "body": c.Body} {
		if _, err := parseTemplate(text, loginNames); err != nil {
			problem(path+"."+key, err.Error(), "{user}, {password} or {tenant}")
		}
	}
	if len(c.Take) == 0 {
		problem(path+".take", "nothing is taken from the answer, so there is no session", "such as {token: json.result.1} or {sid: cookie.PHPSESSID}")
	}
	for name, from := range c.Take {
		kind, rest, _ := strings.Cut(from, ".")
		if rest == "" || kind != "json" && kind != "cookie" {
			problem(path+".take."+name, fmt.Sprintf("%q is no part of an answer", from), "json.PATH, such as json.result.1, or cookie.NAME")
		}
		if !plainName(name) || name == "password" {
			problem(path+".take."+name, "not a name for a value", "lower-case letters, digits and _; password is not one")
		}
	}
	if len(c.Header) == 0 {
		problem(path+".header", "the session is not sent with requests", "such as {Authorization: 'Bearer {token}'} or {Cookie: 'PHPSESSID={sid}'}")
	}
	for name, text := range c.Header {
		if lower := strings.ToLower(name); !validToken(name) || decisive(lower) && lower != "authorization" && lower != "cookie" {
			problem(path+".header."+name, "not a header that a session may be sent in", "Authorization, Cookie, or a header of the application's own")
		}
		if _, err := parseTemplate(text, c.headerNames()); err != nil || !printable(text) {
			problem(path+".header."+name, "the header's template cannot be filled in", "{user}, {tenant} or a name under take")
		}
	}
	for i, status := range c.Renew {
		if status < 400 || status > 499 {
			problem(fmt.Sprintf("%s.renew[%d]", path, i), fmt.Sprintf("%d does not say that nothing was done", status), "a status from 400 to 499, such as 401")
		}
	}
}

// headerNames are the placeholders of the headers: the password is none of them.
func (c LoginConfig) headerNames() map[string]bool {
	names := map[string]bool{"user": true, "tenant": true}
	for name := range c.Take {
		names[name] = true
	}
	delete(names, "password")
	return names
}

// scope names this way of logging in; sessions of another one are not used.
func (c LoginConfig) scope() string {
	text, err := json.Marshal(c)
	if err != nil { // strings, numbers and maps of them always marshal
		return ""
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}
