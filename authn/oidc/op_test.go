package oidc

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"maps"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
)

// op is a scripted OpenID provider: it does everything right, unless told otherwise.
type op struct {
	*httptest.Server
	clock *clock

	mu    sync.Mutex
	calls map[string]int
	codes map[string]url.Values // code → the authorization request
	n     int

	signer   testKey
	kid      string         // in the token's header; "-" for none
	keys     []any          // the published JWKs
	discover map[string]any // changes of the discovery document
	header   map[string]any // changes of the ID token's header
	claims   map[string]any // changes of the ID token's claims; nil removes
	raw      func(good string) any
	token    func(w http.ResponseWriter, form url.Values) bool // answers instead
	userinfo map[string]any
	down     map[string]int // path → status
	lastForm url.Values
	lastAuth string
}

type testKey struct {
	alg     string
	private crypto.Signer
	secret  []byte
}

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }
func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

var rsaKey = sync.OnceValue(func() *rsa.PrivateKey { k, _ := rsa.GenerateKey(rand.Reader, 2048); return k })
var otherRSAKey = sync.OnceValue(func() *rsa.PrivateKey { k, _ := rsa.GenerateKey(rand.Reader, 2048); return k })

func b64(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

func jwk(kid string, pub crypto.PublicKey) map[string]any {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return map[string]any{"kty": "RSA", "kid": kid, "use": "sig", "n": b64(k.N.Bytes()), "e": b64(big.NewInt(int64(k.E)).Bytes())}
	case *ecdsa.PublicKey:
		point, _ := k.Bytes()
		return map[string]any{"kty": "EC", "kid": kid, "crv": "P-256", "x": b64(point[1:33]), "y": b64(point[33:])}
	case ed25519.PublicKey:
		return map[string]any{"kty": "OKP", "kid": kid, "crv": "Ed25519", "x": b64(k)}
	}
	panic("no such key")
}

func newOP(t *testing.T, c *clock) *op {
	t.Helper()
	o := &op{clock: c, calls: map[string]int{}, codes: map[string]url.Values{}, kid: "k1", down: map[string]int{},
		signer: testKey{alg: "RS256", private: rsaKey()}, keys: []any{jwk("k1", rsaKey().Public())}}
	mux := http.NewServeMux()
	mux.HandleFunc("/.well-known/openid-configuration", func(w http.ResponseWriter, _ *http.Request) { reply(w, o.document()) })
	mux.HandleFunc("/jwks", func(w http.ResponseWriter, _ *http.Request) { reply(w, map[string]any{"keys": o.keys}) })
	mux.HandleFunc("/token", o.serveToken)
	mux.HandleFunc("/userinfo", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer access-token" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		reply(w, o.userinfo)
	})
	o.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.calls[r.URL.Path]++
		if status := o.down[r.URL.Path]; status != 0 {
			w.WriteHeader(status)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	o.Config.ErrorLog = log.New(io.Discard, "", 0)
	o.StartTLS()
	t.Cleanup(o.Close)
	return o
}

func (o *op) document() map[string]any {
	d := map[string]any{
		"issuer": o.URL, "authorization_endpoint": o.URL + "/authorize?keep=1", "token_endpoint": o.URL + "/token", "jwks_uri": o.URL + "/jwks",
		"userinfo_endpoint": o.URL + "/userinfo", "end_session_endpoint": o.URL + "/logout",
		"id_token_signing_alg_values_supported": []string{"RS256", "ES256", "PS256", "EdDSA", "HS256", "none"},
	}
	maps.Copy(d, o.discover)
	return d
}

func reply(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(v)
}

// authorize plays the person at the provider: it gives the callback's query.
func (o *op) authorize(t *testing.T, address string) []access.Pair {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || !strings.HasPrefix(address, o.URL+"/authorize?") {
		t.Fatalf("sent to %q: %v", address, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.n++
	code := fmt.Sprintf("code-%d", o.n)
	o.codes[code] = u.Query()
	return []access.Pair{{Name: "code", Value: code}, {Name: "state", Value: u.Query().Get("state")}}
}

func (o *op) serveToken(w http.ResponseWriter, r *http.Request) {
	r.ParseForm()
	o.lastForm, o.lastAuth = r.PostForm, r.Header.Get("Authorization")
	if o.token != nil && o.token(w, r.PostForm) {
		return
	}
	asked, ok := o.codes[r.PostForm.Get("code")]
	delete(o.codes, r.PostForm.Get("code"))
	sum := sha256.Sum256([]byte(r.PostForm.Get("code_verifier")))
	if !ok || asked.Get("code_challenge_method") != "S256" || asked.Get("code_challenge") != b64(sum[:]) || asked.Get("redirect_uri") != r.PostForm.Get("redirect_uri") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusBadRequest)
		io.WriteString(w, `{"error":"invalid_grant","error_description":"code-secret-in-the-body"}`)
		return
	}
	now := o.clock.now()
	half := sha256.Sum256([]byte("access-token"))
	claims := map[string]any{"iss": o.URL, "aud": asked.Get("client_id"), "sub": "alice-1", "exp": now.Add(time.Hour).Unix(), "iat": now.Unix(),
		"nonce": asked.Get("nonce"), "email": "alice@acme.test", "email_verified": true, "name": "Alice", "groups": []string{"crm-admins", "all"}, "amr": []string{"pwd"}}
	if o.signer.alg != "EdDSA" {
		claims["at_hash"] = b64(half[:16])
	}
	change(claims, o.claims)
	header := map[string]any{"alg": o.signer.alg, "typ": "JWT", "kid": o.kid}
	if o.kid == "-" {
		delete(header, "kid")
	}
	change(header, o.header)
	answer := map[string]any{"access_token": "access-token", "token_type": "Bearer", "expires_in": 3600}
	answer["id_token"] = o.sign(header, claims)
	if o.raw != nil {
		answer["id_token"] = o.raw(answer["id_token"].(string))
	}
	reply(w, answer)
}

func change(m, changes map[string]any) {
	for k, v := range changes {
		if v == nil {
			delete(m, k)
		} else {
			m[k] = v
		}
	}
}

func (o *op) sign(header, claims map[string]any) string {
	h, _ := json.Marshal(header)
	c, _ := json.Marshal(claims)
	input := b64(h) + "." + b64(c)
	digest := sha256.Sum256([]byte(input))
	var sig []byte
	switch o.signer.alg {
	case "RS256":
		sig, _ = o.signer.private.Sign(rand.Reader, digest[:], crypto.SHA256)
	case "PS256":
		sig, _ = o.signer.private.Sign(rand.Reader, digest[:], &rsa.PSSOptions{SaltLength: 32, Hash: crypto.SHA256})
	case "ES256":
		r, s, _ := ecdsa.Sign(rand.Reader, o.signer.private.(*ecdsa.PrivateKey), digest[:])
		sig = append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	case "EdDSA":
		sig, _ = o.signer.private.Sign(rand.Reader, []byte(input), crypto.Hash(0))
	case "HS256":
		mac := hmac.New(sha256.New, o.signer.secret)
		mac.Write([]byte(input))
		sig = mac.Sum(nil)
	}
	return input + "." + b64(sig)
}

func ecKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// domainMap is a directory of e-mail domains.
type domainMap map[string]string

func (m domainMap) ByDomain(d string) (access.TenantID, bool) {
	id, err := access.ParseTenantID(m[d])
	return id, err == nil
}

// house is a Runtime with providers, and a browser's cookies.
type house struct {
	*Runtime
	set   *Set
	clock *clock
}

func newClock() *clock { return &clock{t: time.Now().Truncate(time.Second)} }

func newHouse(t *testing.T, c *clock, list ...Settings) *house {
	t.Helper()
	rt, err := NewRuntime(Options{Sealer: secret.NewMasterKey().Sealer("authn/oidc"), Now: c.now})
	if err != nil {
		t.Fatal(err)
	}
	h := &house{Runtime: rt, clock: c}
	h.set = h.build(t, list...)
	return h
}

func (h *house) build(t *testing.T, list ...Settings) *Set {
	t.Helper()
	set, err := h.Build(list, domainMap{"acme.test": "acme", "globex.test": "globex"})
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func settings(t *testing.T, o *op, name, tenant string) Settings {
	t.Helper()
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: o.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("SALLYPORT_TEST_CLIENT_SECRET", "client-s3cret")
	ref, err := secret.ParseRef("env:SALLYPORT_TEST_CLIENT_SECRET")
	if err != nil {
		t.Fatal(err)
	}
	return Settings{Name: name, Tenant: tenant, Issuer: o.URL, ClientID: "gw", ClientSecret: ref, CA: ca,
		Allow: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}, Roles: Roles{Map: map[string]string{"crm-admins": "admin"}}}
}

func crm() Address {
	return Address{Site: "crm", Origin: "https://crm.example.com", Prefix: "/.sallyport"}
}

// jar is a browser's cookies.
type jar map[string]*http.Cookie

func (j jar) take(cookies []*http.Cookie) {
	for _, c := range cookies {
		if c.MaxAge < 0 {
			delete(j, c.Name)
		} else {
			j[c.Name] = c
		}
	}
}

func (j jar) list() []*http.Cookie {
	var list []*http.Cookie
	for _, c := range j {
		list = append(list, &http.Cookie{Name: c.Name, Value: c.Value})
	}
	return list
}

func (h *house) begin(t *testing.T, j jar, provider, back string) string {
	t.Helper()
	begun, err := h.set.Begin(t.Context(), Start{Address: crm(), Provider: provider, Return: back, Cookies: j.list()})
	if err != nil {
		t.Fatal(err)
	}
	j.take(begun.Cookies)
	return begun.URL
}

func (h *house) finish(t *testing.T, j jar, q []access.Pair) (Finished, error) {
	t.Helper()
	done, err := h.set.Finish(t.Context(), Callback{Address: crm(), Endpoint: "oidc/callback", Query: q, Cookies: j.list()})
	j.take(done.Cookies)
	return done, err
}

// login is a whole login.
func (h *house) login(t *testing.T, o *op, provider string) (Finished, error) {
	t.Helper()
	j := jar{}
	return h.finish(t, j, o.authorize(t, h.begin(t, j, provider, "/")))
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	r, ok := err.(*access.Refusal)
	if !ok {
		return fmt.Sprintf("not a refusal: %v", err)
	}
	return r.Code
}
