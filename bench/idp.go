package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"
)

// idp is the smallest OpenID provider that can log somebody in: it lets everybody in at once.
// The load needs a session, and the gateway gives none without a login.
type idp struct {
	issuer string
	key    *ecdsa.PrivateKey

	mu    sync.Mutex
	codes map[string]url.Values // code → the authorization request; at most one per login
}

// startIDP serves a provider on loopback until the process ends.
func startIDP() (*idp, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	p := &idp{issuer: "http://" + listener.Addr().String(), key: key, codes: map[string]url.Values{}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /jwks", p.keys)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	server := &http.Server{Handler: mux, ReadHeaderTimeout: 5 * time.Second}
	go server.Serve(listener)
	return p, nil
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v) // the only error is a client that has gone
}

func (p *idp) discovery(w http.ResponseWriter, _ *http.Request) {
	reply(w, map[string]any{
		"issuer": p.issuer, "authorization_endpoint": p.issuer + "/authorize", "token_endpoint": p.issuer + "/token", "jwks_uri": p.issuer + "/jwks",
		"response_types_supported": []string{"code"}, "subject_types_supported": []string{"public"}, "id_token_signing_alg_values_supported": []string{"ES256"},
	})
}

func (p *idp) keys(w http.ResponseWriter, _ *http.Request) {
	point, err := p.key.PublicKey.Bytes() // 4, x, y (SEC 1, section 2.3.3)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, map[string]any{"keys": []any{map[string]string{"kty": "EC", "kid": "1", "use": "sig", "alg": "ES256", "crv": "P-256", "x": base64url(point[1:33]), "y": base64url(point[33:])}}})
}

func (p *idp) authorize(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	back, err := url.Parse(q.Get("redirect_uri"))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	code := rand.Text()
	p.mu.Lock()
	p.codes[code] = q
	p.mu.Unlock()
	back.RawQuery = url.Values{"code": {code}, "state": {q.Get("state")}}.Encode()
	http.Redirect(w, r, back.String(), http.StatusSeeOther)
}

func (p *idp) token(w http.ResponseWriter, r *http.Request) {
	code := r.PostFormValue("code")
	p.mu.Lock()
	asked, known := p.codes[code]
	delete(p.codes, code)
	p.mu.Unlock()
	verifier := sha256.Sum256([]byte(r.PostFormValue("code_verifier")))
	if !known || base64url(verifier[:]) != asked.Get("code_challenge") {
		w.WriteHeader(http.StatusBadRequest)
		reply(w, map[string]string{"error": "invalid_grant"})
		return
	}
	now := time.Now().Unix()
	token, err := p.sign(map[string]any{
		"iss": p.issuer, "aud": asked.Get("client_id"), "nonce": asked.Get("nonce"), "iat": now, "exp": now + 300,
		"sub": "alice", "email": "alice@acme.test", "email_verified": true, "name": "Alice",
	})
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	reply(w, map[string]any{"access_token": rand.Text(), "token_type": "Bearer", "expires_in": 300, "id_token": token})
}

// sign makes a JWT with ES256 (RFC 7518, section 3.4).
func (p *idp) sign(claims map[string]any) (string, error) {
	body, err := json.Marshal(claims)
	if err != nil {
		return "", err
	}
	text := base64url([]byte(`{"alg":"ES256","kid":"1","typ":"JWT"}`)) + "." + base64url(body)
	digest := sha256.Sum256([]byte(text))
	r, s, err := ecdsa.Sign(rand.Reader, p.key, digest[:])
	if err != nil {
		return "", fmt.Errorf("sign the ID token: %w", err)
	}
	signature := make([]byte, 64)
	r.FillBytes(signature[:32])
	s.FillBytes(signature[32:])
	return text + "." + base64url(signature), nil
}

func base64url(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }
