package authn_test

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/sallyport/sallyport/access"
)

// backend verifies an assertion as a backend would: by the published key set alone.
func backend(t *testing.T, jwks []byte, token, audience string, now time.Time) (jwt.MapClaims, error) {
	t.Helper()
	var set struct {
		Keys []struct{ Kty, Crv, X, Kid, Alg, Use string }
	}
	if err := json.Unmarshal(jwks, &set); err != nil {
		t.Fatal(err)
	}
	c := jwt.MapClaims{}
	_, err := jwt.NewParser(jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithAudience(audience), jwt.WithIssuer("urn:sallyport:test"),
		jwt.WithExpirationRequired(), jwt.WithTimeFunc(func() time.Time { return now })).ParseWithClaims(token, c, func(tok *jwt.Token) (any, error) {
		for _, k := range set.Keys {
			if k.Kid == tok.Header["kid"] && k.Kty == "OKP" && k.Crv == "Ed25519" && k.Alg == "EdDSA" && k.Use == "sig" {
				x, err := base64.RawURLEncoding.DecodeString(k.X)
				return ed25519.PublicKey(x), err
			}
		}
		return nil, jwt.ErrTokenUnverifiable
	})
	return c, err
}

func TestABackendVerifiesTheAssertion(t *testing.T) { // H17, H18
	gw := newWorld(t).running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	ex, err := gw.visit(b, "crm")
	if err != nil {
		t.Fatal(err)
	}
	token, err := gw.Assertion(t.Context(), ex)
	if err != nil {
		t.Fatal(err)
	}
	now := gw.w.clock.Now()
	got, err := backend(t, gw.JWKS(), token, "crm", now)
	if err != nil {
		t.Fatal(err)
	}
	want := jwt.MapClaims{
		"iss": "urn:sallyport:test", "sub": "u-alice", "aud": []any{"crm"}, "iat": float64(now.Unix()), "exp": float64(now.Unix() + 60),
		"token_use": "assertion", "tenant": "acme", "email": "alice@acme.example", "roles": []any{"member"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
	if _, err := backend(t, gw.JWKS(), token, "wiki", now); err == nil {
		t.Error("another site's backend takes it")
	}
	if _, err := backend(t, gw.JWKS(), token, "crm", now.Add(61*time.Second)); err == nil {
		t.Error("it is good after a minute")
	}
	if _, err := backend(t, gw.JWKS(), b.jar[sessionName], "crm", now); err == nil {
		t.Error("a user's own session token passes for an assertion")
	}
	for _, h := range []http.Header{{"Authorization": {"Bearer " + token}}, {"Cookie": {sessionName + "=" + token}}} {
		if err := gw.Authenticate(request("crm", access.App, h)); err == nil {
			t.Error("an assertion, which every backend holds, opens a session")
		}
	}
}

func TestAssertionsAreReusedForThirtySecondsAndNoLonger(t *testing.T) {
	gw := newWorld(t).running()
	b := newBrowser()
	gw.login(b, "crm", alice(t))
	sign := func(site string) string {
		t.Helper()
		ex, err := gw.visit(b, "crm")
		if err != nil {
			t.Fatal(err)
		}
		ex.Site = &access.Site{Name: site}
		token, err := gw.Assertion(t.Context(), ex)
		if err != nil {
			t.Fatal(err)
		}
		return token
	}
	first := sign("crm")
	if sign("wiki") == first {
		t.Error("one assertion for two sites")
	}
	gw.later(30*time.Second - time.Nanosecond)
	if sign("crm") != first {
		t.Error("signed again before it is time")
	}
	gw.later(time.Nanosecond)
	if sign("crm") == first {
		t.Error("one assertion for more than 30 s")
	}
}

func TestAssertionSpeaksOfTheIdentityOfToday(t *testing.T) {
	gw := newWorld(t).running()
	ex := request("crm", access.App, nil)
	ex.Identity = &access.Identity{SessionID: "s", Tenant: alice(t).Tenant, Subject: "u", Roles: []string{"owner"}}
	owner, err := gw.Assertion(t.Context(), ex)
	if err != nil {
		t.Fatal(err)
	}
	ex.Identity = &access.Identity{SessionID: "s", Tenant: alice(t).Tenant, Subject: "u", Roles: []string{"viewer"}}
	viewer, err := gw.Assertion(t.Context(), ex)
	if err != nil || viewer == owner {
		t.Errorf("the roles of yesterday are asserted: %v", err)
	}
}

func TestNobodyIsAsserted(t *testing.T) {
	w := newWorld(t)
	gw := w.running()
	acme := alice(t).Tenant
	for name, change := range map[string]func(*access.Exchange){
		"no identity": func(ex *access.Exchange) { ex.Identity = nil },
		"no tenant":   func(ex *access.Exchange) { ex.Identity = &access.Identity{SessionID: "s", Subject: "u"} },
		"no site":     func(ex *access.Exchange) { ex.Site = nil },
	} {
		ex := request("crm", access.App, nil)
		ex.Identity = &access.Identity{SessionID: "s", Tenant: acme, Subject: "u"}
		change(ex)
		if token, err := gw.Assertion(t.Context(), ex); err == nil || token != "" {
			t.Errorf("%s: %q", name, token)
		}
	}
	ex := request("crm", access.App, nil)
	ex.Identity = &access.Identity{SessionID: "s", Tenant: acme, Subject: "u"}
	if token, err := w.start().Assertion(t.Context(), ex); err == nil || token != "" {
		t.Errorf("without keys: %q", token)
	}
}

func TestKeySetEndpoint(t *testing.T) {
	w := newWorld(t)
	gw := w.running()
	list := gw.Endpoints()
	if len(list) != 1 || list[0].Path != "jwks.json" || list[0].Method != "GET" || list[0].Class != access.Portal || !list[0].ReadOnly {
		t.Fatalf("%+v", list)
	}
	serve := list[0].Serve
	answer := httptest.NewRecorder()
	if err := serve(answer, request("crm", access.Portal, nil)); err != nil {
		t.Fatal(err)
	}
	if answer.Body.String() != string(gw.JWKS()) || answer.Header().Get("Content-Type") != "application/jwk-set+json" || answer.Header().Get("Cache-Control") != "public, max-age=300" {
		t.Errorf("%v %s", answer.Header(), answer.Body)
	}
	if strings.Contains(answer.Body.String(), `"d"`) {
		t.Error("the set has a private key")
	}
	renewed := request("crm", access.Portal, nil)
	renewed.SetCookies = []*http.Cookie{{Name: "x"}}
	answer = httptest.NewRecorder()
	if err := serve(answer, renewed); err != nil || answer.Header().Get("Cache-Control") != "private, no-store" {
		t.Errorf("%v; with cookies it is %q", err, answer.Header().Get("Cache-Control"))
	}
	answer = httptest.NewRecorder()
	err := w.start().Endpoints()[0].Serve(answer, request("crm", access.Portal, nil))
	wantRefusal(t, err, 503, "keys_unavailable")
	if answer.Body.Len() != 0 {
		t.Error("something was written before the refusal")
	}
}
