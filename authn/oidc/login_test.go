package oidc

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
)

func TestLoginGivesTheIdentityOfTheProvidersTenant(t *testing.T) {
	c := newClock()
	_, edKey, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	ec := ecKey(t)
	for _, k := range []testKey{{alg: "RS256", private: rsaKey()}, {alg: "PS256", private: rsaKey()}, {alg: "ES256", private: ec}, {alg: "EdDSA", private: edKey}} {
		t.Run(k.alg, func(t *testing.T) {
			o := newOP(t, c)
			o.signer, o.keys = k, []any{jwk("k1", k.private.Public())}
			o.claims = map[string]any{"tenant": "globex", "tid": "globex", "auth_time": c.now().Add(-time.Hour).Unix(), "sid": "op-session"}
			h, j := newHouse(t, c, settings(t, o, "acme-sso", "acme")), jar{}
			back := "/contacts?page=2"
			done, err := h.finish(t, j, o.authorize(t, h.begin(t, j, "acme-sso", back)))
			if err != nil {
				t.Fatal(err)
			}
			got := done.Login
			if got.Tenant.String() != "acme" || got.Email != "alice@acme.test" || got.Name != "Alice" || got.Provider != "acme-sso" || got.ProviderSession != "op-session" ||
				!slices.Equal(got.Roles, []string{"admin"}) || !slices.Equal(got.Groups, []string{"crm-admins", "all"}) || !slices.Equal(got.AMR, []string{"pwd"}) ||
				!got.AuthTime.Equal(c.now().Add(-time.Hour)) || len(got.Subject) != 26 || done.Return != back {
				t.Errorf("got %+v, return %q", got, done.Return)
			}
			if len(j) != 0 {
				t.Errorf("the attempt's cookie is still there: %v", j)
			}
		})
	}
}

func TestAuthorizationRequestHasStateNonceAndChallengeOfItsOwn(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	o.discover = map[string]any{"code_challenge_methods_supported": []string{"plain"}}
	h, j := newHouse(t, c, settings(t, o, "acme-sso", "acme")), jar{}
	var seen []url.Values
	for range 2 {
		begun, err := h.set.Begin(t.Context(), Start{Address: crm(), Provider: "acme-sso", Return: "/", Hint: "alice@acme.test", Again: true})
		if err != nil {
			t.Fatal(err)
		}
		u, err := url.Parse(begun.URL)
		if err != nil {
			t.Fatal(err)
		}
		seen = append(seen, u.Query())
		cookie := begun.Cookies[len(begun.Cookies)-1]
		if !cookie.Secure || !cookie.HttpOnly || cookie.SameSite != http.SameSiteNoneMode || cookie.Path != "/" || cookie.Domain != "" || cookie.MaxAge != 600 || !strings.HasPrefix(cookie.Name, "__Host-") {
			t.Errorf("cookie %+v", cookie)
		}
		if !strings.HasPrefix(u.Query().Get("state"), strings.TrimPrefix(cookie.Name, CookiePrefix)+".") {
			t.Error("the state does not name the attempt's cookie")
		}
	}
	for name, want := range map[string]string{"response_type": "code", "client_id": "gw", "scope": "openid email profile", "code_challenge_method": "S256",
		"redirect_uri": "https://crm.example.com/.sallyport/oidc/callback", "login_hint": "alice@acme.test", "prompt": "login", "keep": "1"} {
		if got := seen[0].Get(name); got != want {
			t.Errorf("%s = %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"state", "nonce", "code_challenge"} {
		if a, b := seen[0].Get(name), seen[1].Get(name); len(a) < 22 || a == b {
			t.Errorf("%s: %q and %q", name, a, b)
		}
	}
	q := o.authorize(t, h.begin(t, j, "acme-sso", "/"))
	if _, err := h.finish(t, j, q); err != nil {
		t.Fatal(err)
	}
	if user, _, _ := (&http.Request{Header: http.Header{"Authorization": {o.lastAuth}}}).BasicAuth(); user != "gw" || o.lastForm.Has("client_secret") {
		t.Error("the client did not authenticate by client_secret_basic")
	}
	o.discover["token_endpoint_auth_methods_supported"] = []string{"client_secret_post"}
	c.add(2 * metadataLife)
	if _, err := h.login(t, o, "acme-sso"); err != nil || o.lastForm.Get("client_secret") != "client-s3cret" || o.lastAuth != "" {
		t.Errorf("client_secret_post: %v, form %v", err, o.lastForm)
	}
}

func TestBadIDTokensAreRefused(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		small = nil // a toolchain that makes no such keys needs no test of them
	}
	public, err := x509.MarshalPKIXPublicKey(rsaKey().Public())
	if err != nil {
		t.Fatal(err)
	}
	at := func(d time.Duration) int64 { return c.now().Add(d).Unix() }
	type m = map[string]any
	for _, b := range []struct {
		name   string
		script func()
	}{
		{"no nonce", func() { o.claims = m{"nonce": nil} }},
		{"an empty nonce", func() { o.claims = m{"nonce": ""} }},
		{"another nonce", func() { o.claims = m{"nonce": "another"} }},
		{"another issuer", func() { o.claims = m{"iss": "https://evil.test"} }},
		{"the issuer with a slash", func() { o.claims = m{"iss": o.URL + "/"} }},
		{"no issuer", func() { o.claims = m{"iss": nil} }},
		{"another audience", func() { o.claims = m{"aud": "other"} }},
		{"no audience", func() { o.claims = m{"aud": nil} }},
		{"several audiences", func() { o.claims = m{"aud": []string{"gw", "other"}} }},
		{"several audiences with azp", func() { o.claims = m{"aud": []string{"gw", "other"}, "azp": "gw"} }},
		{"another authorized party", func() { o.claims = m{"azp": "other"} }},
		{"an empty authorized party", func() { o.claims = m{"azp": ""} }},
		{"expired", func() { o.claims = m{"exp": at(-time.Second)} }},
		{"no expiry", func() { o.claims = m{"exp": nil} }},
		{"issued an hour ahead", func() { o.claims = m{"iat": at(time.Hour)} }},
		{"issued before the attempt", func() { o.claims = m{"iat": at(-time.Hour)} }},
		{"no time of issue", func() { o.claims = m{"iat": nil} }},
		{"valid from two minutes ahead", func() { o.claims = m{"nbf": at(2 * time.Minute)} }},
		{"no subject", func() { o.claims = m{"sub": nil} }},
		{"an endless subject", func() { o.claims = m{"sub": strings.Repeat("x", 256)} }},
		{"the hash of another access token", func() { o.claims = m{"at_hash": "AAAAAAAAAAAAAAAAAAAAAA"} }},
		{"a logout token", func() { o.claims = m{"events": m{"http://schemas.openid.net/event/backchannel-logout": m{}}} }},
		{"an access token by its type", func() { o.header = m{"typ": "at+jwt"} }},
		{"a logout token by its type", func() { o.header = m{"typ": "logout+jwt"} }},
		{"an unknown critical header", func() { o.header = m{"crit": []string{"x"}, "x": 1} }},
		{"alg none", func() { o.signer.alg, o.header = "", m{"alg": "none"} }},
		{"alg None", func() { o.signer.alg, o.header = "", m{"alg": "None"} }},
		{"HS256 by the client secret", func() { o.signer = testKey{alg: "HS256", secret: []byte("client-s3cret")} }},
		{"HS256 by the public key", func() { o.signer = testKey{alg: "HS256", secret: public} }},
		{"RS256 called RS512", func() { o.header = m{"alg": "RS512"} }},
		{"RS256 called PS256", func() { o.header = m{"alg": "PS256"} }},
		{"another key under the same id", func() { o.signer.private = otherRSAKey() }},
		{"another key under an unknown id", func() { o.signer.private, o.kid = otherRSAKey(), "k9" }},
		{"a key sent along in the header", func() {
			o.signer.private, o.header = otherRSAKey(), m{"jwk": jwk("k1", otherRSAKey().Public()), "kid": nil}
		}},
		{"no token", func() { o.raw = func(string) any { return nil } }},
		{"a token that is a number", func() { o.raw = func(string) any { return 7 } }},
		{"an empty token", func() { o.raw = func(string) any { return "" } }},
		{"a cut token", func() { o.raw = func(good string) any { return good[:len(good)-8] } }},
		{"without a signature", func() { o.raw = func(good string) any { return good[:strings.LastIndex(good, ".")+1] } }},
		{"an endless token", func() { o.raw = func(good string) any { return good + strings.Repeat("A", maxTokenLen) } }},
		{"JSON serialisation", func() {
			o.raw = func(good string) any {
				p := strings.Split(good, ".")
				b, _ := json.Marshal(m{"payload": p[1], "signatures": []m{{"protected": p[0], "signature": p[2]}}})
				return string(b)
			}
		}},
		{"groups that are no list", func() { o.claims = m{"groups": m{"a": 1}} }},
		{"too many groups", func() { o.claims = m{"groups": slices.Repeat([]string{"g"}, maxGroups+1)} }},
		{"a small RSA key", func() {
			if small == nil {
				o.kid = "gone"
				return
			}
			o.kid, o.signer.private = "small", small
			o.keys = append(o.keys, jwk("small", small.Public()))
		}},
	} {
		t.Run(b.name, func(t *testing.T) {
			o.claims, o.header, o.raw, o.kid, o.signer, o.keys = nil, nil, nil, "k1", testKey{alg: "RS256", private: rsaKey()}, []any{jwk("k1", rsaKey().Public())}
			if _, err := h.login(t, o, "acme-sso"); err != nil {
				t.Fatalf("without the change: %v", err)
			}
			b.script()
			c.add(keysAgain) // so that the keys may be asked for
			done, err := h.login(t, o, "acme-sso")
			if codeOf(err) != "login_invalid" {
				t.Errorf("got %v, want login_invalid", err)
			}
			if done.Login.Subject != "" || done.Return != "" {
				t.Errorf("a refused login gives %+v", done)
			}
		})
	}
}

func TestKeyIDIsNeededWhenThereIsAChoice(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	o.kid = "-"
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Errorf("one key: %v", err)
	}
	o.keys = append(o.keys, jwk("k2", otherRSAKey().Public()))
	c.add(keysLife)
	if _, err := h.login(t, o, "acme-sso"); codeOf(err) != "login_invalid" {
		t.Errorf("two keys: %v", err)
	}
}

func TestTwoTabsLogInSideBySide(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h, j := newHouse(t, c, settings(t, o, "acme-sso", "acme")), jar{}
	first := o.authorize(t, h.begin(t, j, "acme-sso", "/one"))
	second := o.authorize(t, h.begin(t, j, "acme-sso", "/two"))
	for _, tab := range []struct {
		q    []access.Pair
		want string
	}{{second, "/two"}, {first, "/one"}} {
		if done, err := h.finish(t, j, tab.q); err != nil || done.Return != tab.want {
			t.Errorf("tab %s: %q, %v", tab.want, done.Return, err)
		}
	}
}

func TestBrowserKeepsABoundedNumberOfAttempts(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h, j := newHouse(t, c, settings(t, o, "acme-sso", "acme")), jar{}
	j[CookiePrefix+"AAAAAAAAAAAAAAAA"] = &http.Cookie{Name: CookiePrefix + "AAAAAAAAAAAAAAAA", Value: "forged"}
	var tabs [][]access.Pair
	for range MaxAttempts + 3 {
		c.add(time.Second)
		tabs = append(tabs, o.authorize(t, h.begin(t, j, "acme-sso", "/")))
		if len(j) > MaxAttempts {
			t.Fatalf("%d cookies", len(j))
		}
	}
	if _, forged := j[CookiePrefix+"AAAAAAAAAAAAAAAA"]; forged {
		t.Error("a dead cookie was kept")
	}
	for i, q := range tabs {
		if _, err := h.finish(t, j, q); (err == nil) != (i >= 3) {
			t.Errorf("attempt %d of %d: %v; the oldest go first", i+1, len(tabs), err)
		}
	}
}

func TestStatesThatAreNotThisBrowsersOwnAreRefused(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	pair := func(name, value string) access.Pair { return access.Pair{Name: name, Value: value} }
	for _, b := range []struct {
		name, want string
		spoil      func(j jar, cb *Callback)
	}{
		{"nothing is spoilt", "", func(jar, *Callback) {}},
		{"no state", "login_state", func(_ jar, cb *Callback) { cb.Query = cb.Query[:1] }},
		{"no query at all", "login_state", func(_ jar, cb *Callback) { cb.Query = nil }},
		{"an empty state", "login_state", func(_ jar, cb *Callback) { cb.Query[1].Value = "" }},
		{"a cut state", "login_state", func(_ jar, cb *Callback) { cb.Query[1].Value = cb.Query[1].Value[:20] }},
		{"another secret", "login_state", func(_ jar, cb *Callback) {
			cb.Query[1].Value = cb.Query[1].Value[:attemptIDLength+1] + strings.Repeat("A", 26)
		}},
		{"two states", "login_state", func(_ jar, cb *Callback) { cb.Query = append(cb.Query, cb.Query[1]) }},
		{"two codes", "login_state", func(_ jar, cb *Callback) { cb.Query = append(cb.Query, pair("code", "x")) }},
		{"another browser", "login_state", func(_ jar, cb *Callback) { cb.Cookies = nil }},
		{"another browser with an attempt of its own", "login_state", func(_ jar, cb *Callback) {
			other := jar{}
			h.begin(t, other, "acme-sso", "/")
			cb.Cookies = other.list()
		}},
		{"another's attempt under this cookie's name", "login_state", func(_ jar, cb *Callback) {
			other := jar{}
			h.begin(t, other, "acme-sso", "/")
			cb.Cookies[0].Value = other.list()[0].Value
		}},
		{"two cookies of the name", "login_state", func(_ jar, cb *Callback) { cb.Cookies = append(cb.Cookies, cb.Cookies[0]) }},
		{"a changed cookie", "login_state", func(_ jar, cb *Callback) {
			v := cb.Cookies[0].Value
			cb.Cookies[0].Value = v[:40] + map[bool]string{true: "B", false: "A"}[v[40] == 'A'] + v[41:]
		}},
		{"an endless cookie", "login_state", func(_ jar, cb *Callback) { cb.Cookies[0].Value = strings.Repeat("A", 100_000) }},
		{"another site", "login_state", func(_ jar, cb *Callback) { cb.Site = "wiki" }},
		{"another host of the site", "login_state", func(_ jar, cb *Callback) { cb.Origin = "https://t2.example.com" }},
		{"another provider's endpoint", "login_state", func(_ jar, cb *Callback) { cb.Endpoint = "oidc/callback/globex-sso" }},
		{"ten minutes and a second later", "login_expired", func(jar, *Callback) { c.add(AttemptLife + time.Second) }},
		{"made in the future", "login_expired", func(jar, *Callback) { c.add(-time.Hour) }},
		{"no code", "login_invalid", func(_ jar, cb *Callback) { cb.Query = cb.Query[1:] }},
		{"an endless code", "login_invalid", func(_ jar, cb *Callback) { cb.Query[0].Value = strings.Repeat("x", maxCode+1) }},
		{"a code of another attempt", "login_invalid", func(_ jar, cb *Callback) {
			cb.Query[0] = o.authorize(t, h.begin(t, jar{}, "acme-sso", "/"))[0]
		}},
	} {
		t.Run(b.name, func(t *testing.T) {
			began := c.now()
			t.Cleanup(func() { c.add(began.Add(time.Hour).Sub(c.now())) })
			j := jar{}
			q := o.authorize(t, h.begin(t, j, "acme-sso", "/"))
			cb := Callback{Address: crm(), Endpoint: "oidc/callback", Query: q, Cookies: j.list()}
			b.spoil(j, &cb)
			done, err := h.set.Finish(t.Context(), cb)
			if codeOf(err) != b.want {
				t.Errorf("got %v, want %q", err, b.want)
			}
			if err != nil && done.Login.Subject != "" {
				t.Errorf("a refused login gives %+v", done.Login)
			}
			if r, ok := err.(*access.Refusal); ok && (r.Status >= 500 || r.Detail == "" || r.Remedy == "" || r.Counted != (b.want == "login_state")) {
				t.Errorf("refusal %+v", r)
			}
		})
	}
}

func TestAttemptIsGoodForOneUse(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h, j := newHouse(t, c, settings(t, o, "acme-sso", "acme")), jar{}
	q := o.authorize(t, h.begin(t, j, "acme-sso", "/"))
	kept := j.list()
	if _, err := h.finish(t, j, q); err != nil {
		t.Fatal(err)
	}
	calls := o.calls["/token"]
	again := Callback{Address: crm(), Endpoint: "oidc/callback", Query: q, Cookies: kept}
	if _, err := h.set.Finish(t.Context(), again); codeOf(err) != "login_state" {
		t.Errorf("the second use: %v", err)
	}
	if o.calls["/token"] != calls {
		t.Error("the second use reached the provider")
	}
}

func TestUsedAttemptsThatCannotBeRememberedAreRefused(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h, j := newHouse(t, c, settings(t, o, "acme-sso", "acme")), jar{}
	h.once = brokenOnce{}
	if _, err := h.finish(t, j, o.authorize(t, h.begin(t, j, "acme-sso", "/"))); codeOf(err) != "login_unavailable" {
		t.Errorf("got %v", err)
	}
}

func TestProviderThatChangedMeanwhileIsRefused(t *testing.T) {
	c := newClock()
	o, o2 := newOP(t, c), newOP(t, c)
	for name, change := range map[string]func(*Settings){
		"another issuer":    func(s *Settings) { s.Issuer, s.CA = o2.URL, settings(t, o2, "x", "acme").CA },
		"another tenant":    func(s *Settings) { s.Tenant = "globex" },
		"another client":    func(s *Settings) { s.ClientID = "gw2" },
		"another name":      func(s *Settings) { s.Name = "acme-new" },
		"not for this site": func(s *Settings) { s.Sites = []string{"wiki"} },
	} {
		t.Run(name, func(t *testing.T) {
			s := settings(t, o, "acme-sso", "acme")
			h, j := newHouse(t, c, s), jar{}
			q := o.authorize(t, h.begin(t, j, "acme-sso", "/"))
			change(&s)
			h.set = h.build(t, s)
			if _, err := h.finish(t, j, q); codeOf(err) != "provider_changed" {
				t.Errorf("got %v", err)
			}
		})
	}
	t.Run("a reload that changes nothing of it", func(t *testing.T) {
		s := settings(t, o, "acme-sso", "acme")
		h, j := newHouse(t, c, s), jar{}
		q := o.authorize(t, h.begin(t, j, "acme-sso", "/"))
		s.Label = "Acme"
		h.set = h.build(t, s)
		if _, err := h.finish(t, j, q); err != nil {
			t.Errorf("got %v", err)
		}
	})
}

func TestAnswersInAnothersNameAreRefused(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	for _, b := range []struct {
		name, iss, want string
		sends, isError  bool
	}{
		{"no iss from a provider that sends none", "", "", false, false},
		{"the right iss", "own", "", true, false},
		{"the right iss though it announces none", "own", "", false, false},
		{"another iss", "https://evil.test", "login_invalid", true, false},
		{"another iss though it announces none", "https://evil.test", "login_invalid", false, false},
		{"no iss from a provider that sends one", "", "login_invalid", true, false},
		{"an error in another's name", "https://evil.test", "login_invalid", true, true},
	} {
		t.Run(b.name, func(t *testing.T) {
			o.discover = map[string]any{"authorization_response_iss_parameter_supported": b.sends}
			h, j := newHouse(t, c, settings(t, o, "acme-sso", "acme")), jar{}
			q := o.authorize(t, h.begin(t, j, "acme-sso", "/"))
			if b.iss == "own" {
				b.iss = o.URL
			}
			if b.iss != "" {
				q = append(q, access.Pair{Name: "iss", Value: b.iss})
			}
			if b.isError {
				q[0].Name = "error"
			}
			calls := o.calls["/token"]
			_, err := h.finish(t, j, q)
			if codeOf(err) != b.want {
				t.Errorf("got %v, want %q", err, b.want)
			}
			if reached := o.calls["/token"] != calls; reached != (b.want == "") {
				t.Errorf("the code was sent on: %v", reached)
			}
		})
	}
}

func TestOwnCallbackBindsAnAnswerToItsProvider(t *testing.T) {
	c := newClock()
	o, evil := newOP(t, c), newOP(t, c)
	own, other := settings(t, o, "acme-sso", "acme"), settings(t, evil, "globex-sso", "globex")
	own.OwnCallback = true
	h := newHouse(t, c, own, other)
	if got := h.set.CallbackPaths(); !slices.Equal(got, []string{"oidc/callback", "oidc/callback/acme-sso"}) {
		t.Errorf("callback paths %v", got)
	}
	for endpoint, want := range map[string]string{"oidc/callback/acme-sso": "", "oidc/callback": "login_state"} {
		j := jar{}
		address := h.begin(t, j, "acme-sso", "/")
		if !strings.Contains(address, url.QueryEscape("/.sallyport/oidc/callback/acme-sso")) {
			t.Errorf("redirect URI in %s", address)
		}
		_, err := h.set.Finish(t.Context(), Callback{Address: crm(), Endpoint: endpoint, Query: o.authorize(t, address), Cookies: j.list()})
		if codeOf(err) != want {
			t.Errorf("at %s: %v, want %q", endpoint, err, want)
		}
	}
}

func TestErrorsOfTheProviderAreNotRepeated(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	for code, want := range map[string]string{"access_denied": "login_denied", "login_required": "login_denied", "<script>": "login_denied", "": "login_denied",
		"server_error": "provider_unavailable", "temporarily_unavailable": "provider_unavailable"} {
		j := jar{}
		q := o.authorize(t, h.begin(t, j, "acme-sso", "/"))
		q[0] = access.Pair{Name: "error", Value: code}
		q = append(q, access.Pair{Name: "error_description", Value: "call 0800-EVIL"})
		_, err := h.finish(t, j, q)
		r, ok := err.(*access.Refusal)
		if !ok || r.Code != want {
			t.Errorf("%q: %v, want %s", code, err, want)
			continue
		}
		if shown := r.Detail + r.Remedy; strings.Contains(shown, "EVIL") || strings.Contains(shown, "<") || shown == "" {
			t.Errorf("%q shows %q", code, shown)
		}
		if len(j) != 0 {
			t.Errorf("%q leaves the attempt's cookie", code)
		}
	}
}

func TestTokenEndpointThatFails(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	for name, b := range map[string]struct {
		want   string
		answer func(w http.ResponseWriter, form url.Values) bool
	}{
		"it says no": {"login_invalid", func(_ http.ResponseWriter, form url.Values) bool { form.Set("code", "spoilt"); return false }},
		"it is broken": {"provider_unavailable", func(w http.ResponseWriter, _ url.Values) bool {
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, "code-secret-in-the-body")
			return true
		}},
		"it hangs up": {"provider_unavailable", func(http.ResponseWriter, url.Values) bool { panic(http.ErrAbortHandler) }},
		"it answers what is not JSON": {"login_invalid", func(w http.ResponseWriter, _ url.Values) bool {
			io.WriteString(w, "code-secret-in-the-body")
			return true
		}},
		"it redirects to another place": {"provider_unavailable", func(w http.ResponseWriter, _ url.Values) bool {
			w.Header().Set("Location", "https://169.254.169.254/")
			w.WriteHeader(http.StatusTemporaryRedirect)
			return true
		}},
		"it gives no access token": {"login_invalid", func(w http.ResponseWriter, _ url.Values) bool { reply(w, map[string]any{"id_token": "x"}); return true }},
	} {
		t.Run(name, func(t *testing.T) {
			o.token = b.answer
			_, err := h.login(t, o, "acme-sso")
			if codeOf(err) != b.want {
				t.Errorf("got %v, want %s", err, b.want)
			}
			for _, hidden := range []string{"code-secret", "client-s3cret", "code-1"} {
				if err != nil && strings.Contains(err.Error(), hidden) {
					t.Errorf("the error shows %q: %v", hidden, err)
				}
			}
		})
	}
}

func TestUserInfoIsAskedForWhatTheTokenLacks(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	if _, err := h.login(t, o, "acme-sso"); err != nil || o.calls["/userinfo"] != 0 {
		t.Errorf("a token that has all: %v, %d calls", err, o.calls["/userinfo"])
	}
	o.claims = map[string]any{"groups": nil, "email": nil, "email_verified": nil, "name": "Signed"}
	o.userinfo = map[string]any{"sub": "alice-1", "groups": []string{"crm-admins"}, "email": "alice@acme.test", "email_verified": "true", "name": "Unsigned"}
	done, err := h.login(t, o, "acme-sso")
	if err != nil || done.Login.Email != "alice@acme.test" || !slices.Equal(done.Login.Roles, []string{"admin"}) || done.Login.Name != "Signed" {
		t.Errorf("got %+v, %v", done.Login, err)
	}
	for name, b := range map[string]struct {
		want string
		info map[string]any
		down int
	}{
		"another subject": {"login_invalid", map[string]any{"sub": "bob", "groups": []string{"crm-admins"}}, 0},
		"no subject":      {"login_invalid", map[string]any{"groups": []string{"crm-admins"}}, 0},
		"nothing":         {"login_invalid", nil, 0},
		"it is down":      {"provider_unavailable", nil, 500},
	} {
		o.userinfo, o.down["/userinfo"] = b.info, b.down
		if _, err := h.login(t, o, "acme-sso"); codeOf(err) != b.want {
			t.Errorf("%s: %v, want %s", name, err, b.want)
		}
	}
}

func TestEndSession(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	o.discover = map[string]any{"end_session_endpoint": o.URL + "/logout?x=1"}
	s := settings(t, o, "acme-sso", "acme")
	h := newHouse(t, c, s)
	if got, ok := h.set.EndSession(t.Context(), "acme-sso", "https://crm.example.com/out", secret.String{}); ok {
		t.Errorf("not asked for: %q", got)
	}
	s.Logout = true
	h.set = h.build(t, s)
	got, ok := h.set.EndSession(t.Context(), "acme-sso", "https://crm.example.com/out", secret.String{})
	if want := o.URL + "/logout?client_id=gw&post_logout_redirect_uri=https%3A%2F%2Fcrm.example.com%2Fout&x=1"; !ok || got != want {
		t.Errorf("got %q, %v; want %q", got, ok, want)
	}
	for token, want := range map[string]bool{"a.b.c": true, strings.Repeat("x", maxHint+1): false} {
		if got, _ := h.set.EndSession(t.Context(), "acme-sso", "https://crm.example.com/out", secret.New(token)); strings.Contains(got, "id_token_hint") != want {
			t.Errorf("with a hint of %d bytes: %q", len(token), got)
		}
	}
	if _, ok := h.set.EndSession(t.Context(), "gone", "https://crm.example.com/out", secret.String{}); ok {
		t.Error("an unknown provider has a logout")
	}
}

func TestBeginRefusesProvidersOfOtherSites(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	s := settings(t, o, "acme-sso", "acme")
	s.Sites = []string{"wiki"}
	h := newHouse(t, c, s)
	for _, name := range []string{"acme-sso", "nobody", ""} {
		if _, err := h.set.Begin(t.Context(), Start{Address: crm(), Provider: name}); !errors.Is(err, ErrNoProvider) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if len(h.set.Offers("crm")) != 0 || len(h.set.Offers("wiki")) != 1 {
		t.Error("Offers does not go by site")
	}
}
