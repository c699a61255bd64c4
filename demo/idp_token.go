package demo

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// token redeems a code (RFC 6749, section 4.1.3; RFC 7636, section 4.6).
func (p *IdP) token(w http.ResponseWriter, r *http.Request, i *issuer) {
	w.Header().Set("Pragma", "no-cache") // RFC 6749, section 5.1
	deny := func(status int, code string) { reply(w, status, map[string]string{"error": code}) }
	if r.ParseForm() != nil || twice(r.PostForm) {
		deny(http.StatusBadRequest, "invalid_request")
		return
	}
	if !i.authenticates(r) {
		w.Header().Set("WWW-Authenticate", `Basic realm="token endpoint"`)
		deny(http.StatusUnauthorized, "invalid_client")
		return
	}
	if r.PostForm.Get("grant_type") != "authorization_code" {
		deny(http.StatusBadRequest, "unsupported_grant_type")
		return
	}
	g, access, err := p.redeem(i, r.PostForm)
	if err != nil {
		deny(http.StatusBadRequest, "invalid_grant")
		return
	}
	signed, err := p.idToken(g, access)
	if err != nil {
		deny(http.StatusInternalServerError, "server_error")
		return
	}
	reply(w, http.StatusOK, map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": int(tokenLife / time.Second), "id_token": signed, "scope": "openid email profile",
	})
}

func twice(form url.Values) bool {
	for _, values := range form {
		if len(values) != 1 {
			return true
		}
	}
	return false
}

// authenticates checks the client's secret, from the header or from the form, never both
// (RFC 6749, section 2.3).
func (i *issuer) authenticates(r *http.Request) bool {
	id, key, inHeader := r.BasicAuth()
	if inHeader {
		if r.PostForm.Has("client_secret") || r.PostForm.Has("client_id") && r.PostForm.Get("client_id") != i.client.ID {
			return false
		}
		var errID, errKey error // both are form-encoded first (section 2.3.1)
		id, errID = url.QueryUnescape(id)
		key, errKey = url.QueryUnescape(key)
		if errID != nil || errKey != nil {
			return false
		}
	} else {
		id, key = r.PostForm.Get("client_id"), r.PostForm.Get("client_secret")
	}
	return same(id, i.client.ID) && same(key, i.client.Secret)
}

func same(a, b string) bool {
	x, y := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(x[:], y[:]) == 1
}

var errGrant = errors.New("the code is not good")

// redeem uses a code up. When it comes twice, somebody has stolen it: what was given for
// it ends (RFC 6749, section 4.1.2).
func (p *IdP) redeem(i *issuer, form url.Values) (*grant, string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	g := p.codes[form.Get("code")]
	if g == nil || g.issuer != i {
		return nil, "", errGrant
	}
	if g.used {
		delete(p.tokens, g.token)
		return nil, "", errGrant
	}
	g.used = true // a failed attempt uses it up as well
	verifier := form.Get("code_verifier")
	sum := sha256.Sum256([]byte(verifier))
	switch {
	case !p.now().Before(g.ends), form.Get("redirect_uri") != g.redirectURI, len(verifier) < 43, len(verifier) > 128, !unreserved(verifier),
		!same(base64.RawURLEncoding.EncodeToString(sum[:]), g.challenge):
		return nil, "", errGrant
	}
	access := rand.Text()
	issued := *g
	issued.ends = p.now().Add(tokenLife)
	if !p.keep(p.tokens, access, &issued) {
		return nil, "", errGrant
	}
	g.token = access
	return g, access, nil
}

// idToken is OpenID Connect Core 1.0, section 2.
func (p *IdP) idToken(g *grant, access string) (string, error) {
	now := p.now()
	half := sha256.Sum256([]byte(access))
	claims := jwt.MapClaims{
		"iss": g.issuer.url, "aud": g.issuer.client.ID, "iat": now.Unix(), "exp": now.Add(tokenLife).Unix(), "auth_time": g.at.Unix(),
		"amr": []string{"pwd"}, "at_hash": base64.RawURLEncoding.EncodeToString(half[:16]),
	}
	for name, value := range g.user.claims() {
		claims[name] = value
	}
	if g.nonce != "" {
		claims["nonce"] = g.nonce
	}
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["kid"] = p.keyID
	return t.SignedString(p.key)
}

// claims say who the user is.
func (u User) claims() map[string]any {
	return map[string]any{"sub": u.subject, "email": u.Email, "email_verified": true, "name": u.Name, "groups": []string{u.Role}}
}

// userinfo is OpenID Connect Core 1.0, section 5.3; the token comes in the header alone.
func (p *IdP) userinfo(w http.ResponseWriter, r *http.Request, i *issuer) {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	p.mu.Lock()
	g := p.tokens[token]
	p.mu.Unlock()
	if !strings.EqualFold(scheme, "Bearer") || g == nil || g.issuer != i || !p.now().Before(g.ends) {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		reply(w, http.StatusUnauthorized, map[string]string{"error": "invalid_token"})
		return
	}
	reply(w, http.StatusOK, g.user.claims())
}

// endSession is OpenID Connect RP-Initiated Logout 1.0. There is no session to end; the
// person is sent back to a registered address, if a client of this issuer asks.
func (p *IdP) endSession(w http.ResponseWriter, r *http.Request, i *issuer) {
	q := r.URL.Query()
	if r.Method == http.MethodPost {
		if r.ParseForm() != nil {
			p.refuse(w, errors.New("the request cannot be read"))
			return
		}
		q = r.PostForm
	}
	back := q.Get("post_logout_redirect_uri")
	p.mu.Lock()
	registered := slices.Contains(p.returns, back)
	p.mu.Unlock()
	if back == "" || !registered || twice(q) || !p.asksToLeave(i, q) {
		p.page(w, http.StatusOK, "idp_message.html", message{Title: "You are signed out", Text: "This sign-in service keeps no session. You can close this page."})
		return
	}
	to, err := url.Parse(back)
	if err != nil {
		p.refuse(w, errRedirect)
		return
	}
	if state := q.Get("state"); state != "" {
		values := to.Query()
		values.Set("state", state)
		to.RawQuery = values.Encode()
	}
	http.Redirect(w, r, to.String(), http.StatusSeeOther)
}

// asksToLeave says whether the request names this issuer's client: by an ID token that we
// signed, be it expired (section 2), or by its id.
func (p *IdP) asksToLeave(i *issuer, q url.Values) bool {
	id := q.Get("client_id")
	hint := q.Get("id_token_hint")
	if hint == "" {
		return id == i.client.ID
	}
	var claims jwt.RegisteredClaims
	_, err := jwt.ParseWithClaims(hint, &claims, func(*jwt.Token) (any, error) { return &p.key.PublicKey, nil },
		jwt.WithValidMethods([]string{"ES256"}), jwt.WithoutClaimsValidation())
	return err == nil && claims.Issuer == i.url && slices.Contains(claims.Audience, i.client.ID) && (id == "" || id == i.client.ID)
}
