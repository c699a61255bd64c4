package demo

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

// request is an authorization request that may be answered (OpenID Connect Core 1.0,
// section 3.1.2.1).
type request struct {
	redirectURI, state, nonce, challenge, hint string
}

// oauthError is an error that the client is told by a redirect.
type oauthError struct{ code, text string }

func (e *oauthError) Error() string { return e.code + ": " + e.text }

var errRedirect = errors.New("the address to go back to is not registered, or the application is unknown")

// readRequest judges an authorization request. With errRedirect nobody may be sent
// anywhere: the address is not the client's (RFC 6749, section 4.1.2.1). With an
// *oauthError the client is told.
func (p *IdP) readRequest(i *issuer, q url.Values) (request, error) {
	for name, values := range q {
		if len(values) != 1 || len(values[0]) > maxIdPParam {
			if name == "redirect_uri" || name == "client_id" {
				return request{}, errRedirect
			}
		}
	}
	req := request{redirectURI: q.Get("redirect_uri"), state: q.Get("state"), nonce: q.Get("nonce"), challenge: q.Get("code_challenge"), hint: q.Get("login_hint")}
	p.mu.Lock()
	known := slices.Contains(p.redirects, req.redirectURI)
	p.mu.Unlock()
	if !known || q.Get("client_id") != i.client.ID {
		return request{}, errRedirect
	}
	for name, values := range q {
		if len(values) != 1 || len(values[0]) > maxIdPParam {
			return req, &oauthError{"invalid_request", "the parameter " + name + " is given twice or too long"}
		}
	}
	switch {
	case q.Has("request"):
		return req, &oauthError{"request_not_supported", "request objects are not supported"}
	case q.Has("request_uri"):
		return req, &oauthError{"request_uri_not_supported", "request objects are not supported"}
	case q.Get("response_type") != "code":
		return req, &oauthError{"unsupported_response_type", "only code is supported"}
	case q.Has("response_mode") && q.Get("response_mode") != "query":
		return req, &oauthError{"invalid_request", "only the response mode query is supported"}
	case !slices.Contains(strings.Fields(q.Get("scope")), "openid"):
		return req, &oauthError{"invalid_scope", "the scope openid is missing"}
	case q.Get("code_challenge_method") != "S256" || len(req.challenge) != 43 || !unreserved(req.challenge):
		return req, &oauthError{"invalid_request", "PKCE with S256 is required"}
	case slices.Contains(strings.Fields(q.Get("prompt")), "none"):
		return req, &oauthError{"login_required", "this provider keeps no session"}
	}
	return req, nil
}

// unreserved are the characters of a PKCE verifier (RFC 7636, section 4.1).
func unreserved(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && !strings.ContainsRune("-._~", r)
	})
}

// authorize shows the form.
func (p *IdP) authorize(w http.ResponseWriter, r *http.Request, i *issuer) {
	q := r.URL.Query()
	if r.Method == http.MethodPost {
		if r.ParseForm() != nil {
			p.refuse(w, errors.New("the request cannot be read"))
			return
		}
		q = r.PostForm
	}
	req, err := p.readRequest(i, q)
	if err != nil {
		p.fail(w, r, i, req, err)
		return
	}
	p.form(w, http.StatusOK, i, q, req.hint, "")
}

// login takes the form. The query holds the authorization request, which is judged anew.
func (p *IdP) login(w http.ResponseWriter, r *http.Request, i *issuer) {
	q := r.URL.Query()
	req, err := p.readRequest(i, q)
	if err != nil {
		p.fail(w, r, i, req, err)
		return
	}
	if r.ParseForm() != nil {
		p.refuse(w, errors.New("the form cannot be read"))
		return
	}
	if r.PostForm.Has("cancel") {
		p.fail(w, r, i, req, &oauthError{"access_denied", "the sign-in was cancelled"})
		return
	}
	email := strings.ToLower(strings.TrimSpace(r.PostForm.Get("username")))
	user, ok := i.check(email, r.PostForm.Get("password"))
	if !ok {
		p.form(w, http.StatusUnauthorized, i, q, email, "The e-mail address or the password is wrong.")
		return
	}
	now := p.now()
	code := rand.Text()
	p.mu.Lock()
	kept := p.keep(p.codes, code, &grant{
		issuer: i, user: user, redirectURI: req.redirectURI, nonce: req.nonce, challenge: req.challenge, at: now, ends: now.Add(codeLife),
	})
	p.mu.Unlock()
	if !kept {
		p.fail(w, r, i, req, &oauthError{"temporarily_unavailable", "too many logins at a time"})
		return
	}
	p.sendBack(w, r, i, req, url.Values{"code": {code}})
}

// check finds the user. It takes the same time for an unknown user as for a wrong password.
func (i *issuer) check(email, password string) (User, bool) {
	given := sha256.Sum256([]byte(password))
	var found User
	ok := 0
	for _, u := range i.users {
		want := sha256.Sum256([]byte(u.Password))
		match := subtle.ConstantTimeCompare(given[:], want[:]) & subtle.ConstantTimeCompare([]byte(u.Email), []byte(email))
		if match == 1 {
			found = u
		}
		ok |= match
	}
	return found, ok == 1
}

// fail tells the client, or the person when the client must not be told.
func (p *IdP) fail(w http.ResponseWriter, r *http.Request, i *issuer, req request, err error) {
	said := (*oauthError)(nil)
	if !errors.As(err, &said) {
		p.refuse(w, err)
		return
	}
	p.sendBack(w, r, i, req, url.Values{"error": {said.code}, "error_description": {said.text}})
}

// sendBack sends the person to the client with an answer, state and issuer (RFC 9207).
func (p *IdP) sendBack(w http.ResponseWriter, r *http.Request, i *issuer, req request, answer url.Values) {
	answer.Set("iss", i.url)
	if req.state != "" {
		answer.Set("state", req.state)
	}
	to, err := url.Parse(req.redirectURI)
	if err != nil {
		p.refuse(w, errRedirect)
		return
	}
	q := to.Query()
	for name, values := range answer {
		q[name] = values
	}
	to.RawQuery = q.Encode()
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// message is a page of text.
type message struct{ Title, Text string }

// loginForm is the page that asks for a password.
type loginForm struct {
	Tenant  Tenant
	Action  string
	Email   string
	Problem string
}

func (p *IdP) form(w http.ResponseWriter, status int, i *issuer, q url.Values, email, problem string) {
	p.page(w, status, "idp_login.html", loginForm{Tenant: i.Tenant, Action: "/" + i.ID + "/login?" + q.Encode(), Email: email, Problem: problem})
}

func (p *IdP) refuse(w http.ResponseWriter, err error) {
	p.page(w, http.StatusBadRequest, "idp_message.html", message{Title: "This sign-in cannot go on", Text: "The application asked in a way that is not allowed: " + err.Error() + "."})
}

// page has no scripts. There is no form-action in its policy, since browsers apply it to
// the redirect after the form as well.
func (p *IdP) page(w http.ResponseWriter, status int, name string, data any) {
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; frame-ancestors 'none'")
	h.Set("X-Frame-Options", "DENY")
	writePage(w, status, p.pages, name, data)
}
