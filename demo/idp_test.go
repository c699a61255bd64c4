package demo

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

const (
	callback  = "https://crm.test/.sallyport/oidc/callback"
	loggedout = "https://crm.test/.sallyport/loggedout"
	verifier  = "verifier-verifier-verifier-verifier-verifier"
)

// provider is an IdP with a clock, and a browser that follows nothing.
type provider struct {
	*IdP
	srv *httptest.Server
	mu  sync.Mutex
	at  time.Time
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{at: time.Now().Truncate(time.Second)}
	p.srv = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.IdP.ServeHTTP(w, r) }))
	p.srv.Start()
	t.Cleanup(p.srv.Close)
	var err error
	p.IdP, err = NewIdP(p.srv.URL, func() time.Time { p.mu.Lock(); defer p.mu.Unlock(); return p.at })
	if err != nil {
		t.Fatal(err)
	}
	p.Register([]string{callback}, []string{loggedout})
	return p
}

func (p *provider) pass(d time.Duration) { p.mu.Lock(); defer p.mu.Unlock(); p.at = p.at.Add(d) }

func (p *provider) send(t *testing.T, method, target string, form url.Values, header http.Header) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, target, strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range header {
		r.Header[k] = v
	}
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	res, err := p.srv.Client().Transport.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, _ := io.ReadAll(res.Body)
	return res, string(b)
}

func (p *provider) user(tenant, role string) User {
	all := p.Users()
	return all[slices.IndexFunc(all, func(u User) bool { return u.Tenant == tenant && u.Role == role })]
}

func question(p *provider, tenant string, changes ...string) url.Values {
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"client_id": {p.Client(tenant).ID}, "redirect_uri": {callback}, "response_type": {"code"}, "scope": {"openid email"}, "state": {"st&te"}, "nonce": {"n-1"},
		"code_challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}, "code_challenge_method": {"S256"}}
	for i := 0; i < len(changes); i += 2 {
		q.Del(changes[i])
		if changes[i+1] != "" {
			q.Set(changes[i], changes[i+1])
		}
	}
	return q
}

// code logs somebody in by the form.
func (p *provider) code(t *testing.T, u User) string {
	t.Helper()
	res, page := p.send(t, "GET", p.Client(u.Tenant).Issuer+"/authorize?"+question(p, u.Tenant).Encode(), nil, nil)
	action := regexp.MustCompile(`<form method="post" action="([^"]+)"`).FindStringSubmatch(page)
	if res.StatusCode != 200 || action == nil {
		t.Fatalf("authorize: %d %s", res.StatusCode, page)
	}
	res, _ = p.send(t, "POST", p.srv.URL+html.UnescapeString(action[1]), url.Values{"username": {u.Email}, "password": {u.Password}}, nil)
	to, err := res.Location()
	if err != nil || !strings.HasPrefix(to.String(), callback+"?") || to.Query().Get("state") != "st&te" || to.Query().Get("iss") != p.Client(u.Tenant).Issuer {
		t.Fatalf("the login led to %v, %v", to, err)
	}
	return to.Query().Get("code")
}

func (p *provider) redeemForm(t *testing.T, tenant string, form url.Values) (int, map[string]any) {
	t.Helper()
	c := p.Client(tenant)
	if !form.Has("grant_type") {
		form.Set("grant_type", "authorization_code")
	}
	header := http.Header{}
	if !form.Has("client_id") {
		header.Set("Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte(url.QueryEscape(c.ID)+":"+url.QueryEscape(c.Secret))))
	}
	res, body := p.send(t, "POST", c.Issuer+"/token", form, header)
	var answer map[string]any
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		t.Fatalf("%d %s", res.StatusCode, body)
	}
	return res.StatusCode, answer
}

func goodForm(code string) url.Values {
	return url.Values{"code": {code}, "redirect_uri": {callback}, "code_verifier": {verifier}}
}

func TestALoginGivesAnIDTokenThatVerifies(t *testing.T) {
	p := newProvider(t)
	u := p.user("acme", "admin")
	status, answer := p.redeemForm(t, "acme", goodForm(p.code(t, u)))
	if status != 200 {
		t.Fatalf("got %d %v", status, answer)
	}
	_, body := p.send(t, "GET", p.Client("acme").Issuer+"/jwks", nil, nil)
	var set struct{ Keys []struct{ Kid, X, Y string } }
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		t.Fatal(err)
	}
	number := func(s string) *big.Int {
		b, _ := base64.RawURLEncoding.DecodeString(s)
		return new(big.Int).SetBytes(b)
	}
	key := &ecdsa.PublicKey{Curve: elliptic.P256(), X: number(set.Keys[0].X), Y: number(set.Keys[0].Y)}
	claims := jwt.MapClaims{}
	_, err := jwt.ParseWithClaims(answer["id_token"].(string), claims, func(tok *jwt.Token) (any, error) {
		if tok.Header["kid"] != set.Keys[0].Kid {
			t.Errorf("kid %v is not in the set", tok.Header["kid"])
		}
		return key, nil
	}, jwt.WithValidMethods([]string{"ES256"}), jwt.WithIssuer(p.Client("acme").Issuer), jwt.WithAudience(p.Client("acme").ID), jwt.WithExpirationRequired())
	if err != nil {
		t.Fatal(err)
	}
	half := sha256.Sum256([]byte(answer["access_token"].(string)))
	for name, want := range map[string]any{"nonce": "n-1", "email": "admin@acme.example", "email_verified": true, "name": "Adam Keller", "at_hash": base64.RawURLEncoding.EncodeToString(half[:16])} {
		if claims[name] != want {
			t.Errorf("claim %s is %v, want %v", name, claims[name], want)
		}
	}
	if groups, ok := claims["groups"].([]any); !ok || len(groups) != 1 || groups[0] != "admin" {
		t.Errorf("groups are %v", claims["groups"])
	}
	bearer := http.Header{"Authorization": {"Bearer " + answer["access_token"].(string)}}
	if res, body := p.send(t, "GET", p.Client("acme").Issuer+"/userinfo", nil, bearer); res.StatusCode != 200 || !strings.Contains(body, claims["sub"].(string)) {
		t.Errorf("userinfo: %d %s", res.StatusCode, body)
	}
	if res, _ := p.send(t, "GET", p.Client("globex").Issuer+"/userinfo", nil, bearer); res.StatusCode != 401 {
		t.Errorf("another issuer's userinfo took the token: %d", res.StatusCode)
	}
	p.pass(tokenLife)
	if res, _ := p.send(t, "GET", p.Client("acme").Issuer+"/userinfo", nil, bearer); res.StatusCode != 401 {
		t.Errorf("a token that has ended works: %d", res.StatusCode)
	}
}

func TestNobodyIsSentToAnAddressThatIsNotRegistered(t *testing.T) {
	p := newProvider(t)
	for _, c := range []struct{ name, key, value string }{
		{"another host", "redirect_uri", "https://evil.example/cb"},
		{"a longer path", "redirect_uri", callback + "/x"},
		{"a query at its end", "redirect_uri", callback + "?x=1"},
		{"no address", "redirect_uri", ""},
		{"another tenant's client", "client_id", p.Client("globex").ID},
		{"no client", "client_id", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, body := p.send(t, "GET", p.Client("acme").Issuer+"/authorize?"+question(p, "acme", c.key, c.value).Encode(), nil, nil)
			if res.StatusCode != 400 || res.Header.Get("Location") != "" || strings.Contains(body, "<form") {
				t.Errorf("got %d to %q", res.StatusCode, res.Header.Get("Location"))
			}
		})
	}
	q := question(p, "acme")
	q.Add("redirect_uri", "https://evil.example/cb")
	if res, _ := p.send(t, "GET", p.Client("acme").Issuer+"/authorize?"+q.Encode(), nil, nil); res.StatusCode != 400 || res.Header.Get("Location") != "" {
		t.Errorf("an address given twice: %d", res.StatusCode)
	}
}

func TestTheClientIsToldWhatIsWrong(t *testing.T) {
	p := newProvider(t)
	for _, c := range []struct{ name, key, value, want string }{
		{"without PKCE", "code_challenge", "", "invalid_request"},
		{"PKCE in clear", "code_challenge_method", "plain", "invalid_request"},
		{"PKCE method left out, which means plain", "code_challenge_method", "", "invalid_request"},
		{"a challenge that is no SHA-256", "code_challenge", "short", "invalid_request"},
		{"implicit", "response_type", "id_token", "unsupported_response_type"},
		{"no openid", "scope", "email", "invalid_scope"},
		{"another response mode", "response_mode", "fragment", "invalid_request"},
		{"without a page, though there is no session", "prompt", "none", "login_required"},
		{"a request object", "request", "eyJ", "request_not_supported"},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, _ := p.send(t, "GET", p.Client("acme").Issuer+"/authorize?"+question(p, "acme", c.key, c.value).Encode(), nil, nil)
			to, err := res.Location()
			if err != nil || to.Query().Get("error") != c.want || to.Query().Get("state") != "st&te" || to.Query().Get("iss") != p.Client("acme").Issuer || to.Query().Has("code") {
				t.Errorf("got %d to %v, want error %s with state and iss", res.StatusCode, to, c.want)
			}
			u := p.user("acme", "owner")
			res, _ = p.send(t, "POST", p.Client("acme").Issuer+"/login?"+question(p, "acme", c.key, c.value).Encode(), url.Values{"username": {u.Email}, "password": {u.Password}}, nil)
			if to, err := res.Location(); err != nil || to.Query().Has("code") {
				t.Errorf("the form's own address skips the check: %v", to)
			}
		})
	}
}

func TestAWrongPasswordAndAnUnknownUserLookTheSame(t *testing.T) {
	p := newProvider(t)
	u, other := p.user("acme", "owner"), p.user("globex", "owner")
	var first string
	for _, c := range []struct{ email, password string }{
		{u.Email, "wrong"}, {u.Email, ""}, {"nobody@acme.example", u.Password}, {other.Email, other.Password}, {u.Email, p.user("acme", "admin").Password},
	} {
		res, body := p.send(t, "POST", p.Client("acme").Issuer+"/login?"+question(p, "acme").Encode(), url.Values{"username": {c.email}, "password": {c.password}}, nil)
		body = strings.ReplaceAll(body, c.email, "")
		if res.StatusCode != 401 || res.Header.Get("Location") != "" || first != "" && body != first {
			t.Errorf("%s with %q: got %d, or another page than for the others", c.email, c.password, res.StatusCode)
		}
		first = body
	}
}

func TestACodeIsGoodOnceForOneMinuteForItsClientAlone(t *testing.T) {
	p := newProvider(t)
	u := p.user("acme", "member")
	for _, c := range []struct {
		name   string
		tenant string
		wait   time.Duration
		change func(url.Values)
		want   string
	}{
		{"after a minute", "acme", codeLife, func(url.Values) {}, "invalid_grant"},
		{"another verifier", "acme", 0, func(f url.Values) { f.Set("code_verifier", strings.Repeat("x", 43)) }, "invalid_grant"},
		{"no verifier", "acme", 0, func(f url.Values) { f.Del("code_verifier") }, "invalid_grant"},
		{"another redirect_uri", "acme", 0, func(f url.Values) { f.Set("redirect_uri", callback+"2") }, "invalid_grant"},
		{"another tenant's client", "globex", 0, func(url.Values) {}, "invalid_grant"},
		{"another grant", "acme", 0, func(f url.Values) { f.Set("grant_type", "password") }, "unsupported_grant_type"},
		{"a wrong secret", "acme", 0, func(f url.Values) { f.Set("client_id", p.Client("acme").ID); f.Set("client_secret", "wrong") }, "invalid_client"},
		{"no secret", "acme", 0, func(f url.Values) { f.Set("client_id", p.Client("acme").ID) }, "invalid_client"},
		{"a parameter twice", "acme", 0, func(f url.Values) { f.Add("code", "x") }, "invalid_request"},
	} {
		t.Run(c.name, func(t *testing.T) {
			form := goodForm(p.code(t, u))
			p.pass(c.wait)
			c.change(form)
			if status, answer := p.redeemForm(t, c.tenant, form); status < 400 || answer["error"] != c.want || answer["id_token"] != nil {
				t.Errorf("got %d %v, want %s", status, answer, c.want)
			}
		})
	}
	code := p.code(t, u)
	bad := goodForm(code)
	bad.Set("code_verifier", strings.Repeat("x", 43))
	p.redeemForm(t, "acme", bad)
	if status, _ := p.redeemForm(t, "acme", goodForm(code)); status != 400 {
		t.Errorf("a code works after a failed attempt: %d", status)
	}
	code = p.code(t, u)
	status, answer := p.redeemForm(t, "acme", goodForm(code))
	if again, _ := p.redeemForm(t, "acme", goodForm(code)); status != 200 || again != 400 {
		t.Errorf("the code gave %d, then %d", status, again)
	}
	if res, _ := p.send(t, "GET", p.Client("acme").Issuer+"/userinfo", nil, http.Header{"Authorization": {"Bearer " + answer["access_token"].(string)}}); res.StatusCode != 401 {
		t.Errorf("the token of a code that came twice still works: %d", res.StatusCode)
	}
}

func TestGrantsAreBounded(t *testing.T) {
	p := newProvider(t)
	for len(p.codes) < maxGrants {
		p.codes[strings.Repeat("x", len(p.codes)+1)] = &grant{ends: p.at.Add(codeLife)}
	}
	u := p.user("acme", "owner")
	login := func() string {
		res, _ := p.send(t, "POST", p.Client("acme").Issuer+"/login?"+question(p, "acme").Encode(), url.Values{"username": {u.Email}, "password": {u.Password}}, nil)
		to, err := res.Location()
		if err != nil {
			t.Fatal(err)
		}
		return to.Query().Get("error")
	}
	if got := login(); got != "temporarily_unavailable" {
		t.Errorf("with the table full: %q", got)
	}
	p.pass(codeLife)
	if got := login(); got != "" {
		t.Errorf("when the others have ended: %q", got)
	}
}

func TestLogoutLeadsBackToRegisteredAddressesAlone(t *testing.T) {
	p := newProvider(t)
	_, answer := p.redeemForm(t, "acme", goodForm(p.code(t, p.user("acme", "viewer"))))
	hint := answer["id_token"].(string)
	p.pass(48 * time.Hour) // an old ID token still tells who asks
	for _, c := range []struct {
		name   string
		tenant string
		q      url.Values
		want   string
	}{
		{"with the ID token", "acme", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {loggedout}, "state": {"s"}}, loggedout + "?state=s"},
		{"with the client's id", "acme", url.Values{"client_id": {p.Client("acme").ID}, "post_logout_redirect_uri": {loggedout}}, loggedout},
		{"another address", "acme", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {"https://evil.example/"}}, ""},
		{"nobody asks", "acme", url.Values{"post_logout_redirect_uri": {loggedout}}, ""},
		{"another tenant's ID token", "globex", url.Values{"id_token_hint": {hint}, "post_logout_redirect_uri": {loggedout}}, ""},
		{"a forged ID token", "acme", url.Values{"id_token_hint": {hint[:len(hint)-8] + "AAAAAAAA"}, "post_logout_redirect_uri": {loggedout}}, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			res, _ := p.send(t, "GET", p.Client(c.tenant).Issuer+"/end_session?"+c.q.Encode(), nil, nil)
			if got := res.Header.Get("Location"); got != c.want {
				t.Errorf("got %d to %q, want %q", res.StatusCode, got, c.want)
			}
		})
	}
}

func TestDiscoveryTellsTheTruth(t *testing.T) {
	p := newProvider(t)
	for _, tenant := range Tenants() {
		issuer := p.Client(tenant.ID).Issuer
		_, body := p.send(t, "GET", issuer+"/.well-known/openid-configuration", nil, nil)
		var doc map[string]any
		if err := json.Unmarshal([]byte(body), &doc); err != nil || doc["issuer"] != issuer || doc["authorization_response_iss_parameter_supported"] != true {
			t.Errorf("%s: %v %s", tenant.ID, err, body)
		}
		for _, name := range []string{"authorization_endpoint", "userinfo_endpoint", "end_session_endpoint", "jwks_uri"} {
			if res, _ := p.send(t, "GET", doc[name].(string), nil, nil); res.StatusCode == 404 || res.StatusCode == 405 {
				t.Errorf("%s of %s: %d", name, tenant.ID, res.StatusCode)
			}
		}
	}
	if res, _ := p.send(t, "GET", p.srv.URL+"/hooli/.well-known/openid-configuration", nil, nil); res.StatusCode != 404 {
		t.Errorf("an issuer that does not exist: %d", res.StatusCode)
	}
}
