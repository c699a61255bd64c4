package oidc

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestDeadProviderStopsNeitherTheStartNorTheOthers(t *testing.T) {
	c := newClock()
	dead, o := newOP(t, c), newOP(t, c)
	deadSettings := settings(t, dead, "globex-sso", "globex")
	dead.Close()
	h := newHouse(t, c, deadSettings, settings(t, o, "acme-sso", "acme"))
	if o.calls["/.well-known/openid-configuration"] != 0 {
		t.Error("building the set asks the providers")
	}
	if _, err := h.set.Begin(t.Context(), Start{Address: crm(), Provider: "globex-sso"}); err == nil {
		t.Error("a login at a dead provider begins")
	}
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Errorf("the living one: %v", err)
	}
}

func TestDiscoveryIsCachedRetriedAndKeptWhileTheProviderIsAway(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	const path = "/.well-known/openid-configuration"
	begin := func() error {
		_, err := h.set.Begin(t.Context(), Start{Address: crm(), Provider: "acme-sso"})
		return err
	}
	for _, step := range []struct {
		name  string
		wait  time.Duration
		down  int
		works bool
		calls int // altogether
	}{
		{"first it is down", 0, 500, false, 1},
		{"a failure is not repeated at once", time.Second, 0, false, 1},
		{"it is asked again after a while", retryAfter, 0, true, 2},
		{"then it is cached", metadataLife - time.Second, 500, true, 2},
		{"an old document serves while it is down", 2 * time.Second, 500, true, 3},
		{"which is not asked for at once again", time.Second, 500, true, 3},
		{"but not for ever", metadataStale, 500, false, 4},
		{"until it is back", retryAfter, 0, true, 5},
	} {
		c.add(step.wait)
		o.down[path] = step.down
		if err := begin(); (err == nil) != step.works {
			t.Errorf("%s: %v", step.name, err)
		}
		if o.calls[path] != step.calls {
			t.Errorf("%s: %d calls, want %d", step.name, o.calls[path], step.calls)
		}
	}
}

func TestReloadKeepsTheCaches(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	s := settings(t, o, "acme-sso", "acme")
	h := newHouse(t, c, s)
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Fatal(err)
	}
	h.set = h.build(t, s)
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Fatal(err)
	}
	if o.calls["/.well-known/openid-configuration"] != 1 || o.calls["/jwks"] != 1 {
		t.Errorf("calls %v", o.calls)
	}
}

func TestManyLoginsAtOnceMakeOneDiscovery(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	var group sync.WaitGroup
	for range 30 {
		group.Go(func() {
			if _, err := h.set.Begin(t.Context(), Start{Address: crm(), Provider: "acme-sso"}); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := o.calls["/.well-known/openid-configuration"]; got != 1 {
		t.Errorf("%d discoveries", got)
	}
}

func TestDiscoveryDocumentsThatAreNotBelieved(t *testing.T) {
	c := newClock()
	type m = map[string]any
	for name, doc := range map[string]m{
		"another issuer":                     {"issuer": "https://evil.test"},
		"no issuer":                          {"issuer": nil},
		"an authorization endpoint in clear": {"authorization_endpoint": "http://idp.example/authorize"},
		"a script as authorization endpoint": {"authorization_endpoint": "javascript:alert(1)"},
		"no token endpoint":                  {"token_endpoint": ""},
		"a token endpoint with a password":   {"token_endpoint": "https://u:p@idp.example/token"},
		"a key set in clear":                 {"jwks_uri": "http://idp.example/jwks"},
		"a file as userinfo":                 {"userinfo_endpoint": "file:///etc/passwd"},
		"a script as end of the session":     {"end_session_endpoint": "javascript:alert(1)"},
		"symmetric or no signatures alone":   {"id_token_signing_alg_values_supported": []string{"HS256", "none"}},
		"a document of two million bytes":    {"x": strings.Repeat("x", 2_000_000)},
		"endpoints that are not texts":       {"token_endpoint": 7},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOP(t, c)
			o.discover = doc
			h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
			_, err := h.set.Begin(t.Context(), Start{Address: crm(), Provider: "acme-sso"})
			if err == nil {
				t.Fatal("it is believed")
			}
			if len(err.Error()) > 1000 {
				t.Errorf("the error repeats %d bytes", len(err.Error()))
			}
		})
	}
}

func TestProviderInsideIsReachedOnlyWhenTheFileAllowsIt(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	s := settings(t, o, "acme-sso", "acme")
	s.Allow = nil
	h := newHouse(t, c, s)
	if _, err := h.set.Begin(t.Context(), Start{Address: crm(), Provider: "acme-sso"}); err == nil || len(o.calls) != 0 {
		t.Errorf("got %v, calls %v", err, o.calls)
	}
	// Discovery, too, could lead inside.
	o.discover = map[string]any{"token_endpoint": "https://169.254.169.254/token"}
	h = newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	if _, err := h.login(t, o, "acme-sso"); codeOf(err) != "provider_unavailable" {
		t.Errorf("a token endpoint inside: %v", err)
	}
}

func TestRotatedKeysAreLearntAndWithdrawnOnesForgotten(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Fatal(err)
	}
	old := o.signer
	o.signer.private, o.kid = otherRSAKey(), "k2"
	o.keys = []any{jwk("k2", otherRSAKey().Public())}
	c.add(keysAgain)
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Errorf("a new key: %v", err)
	}
	o.signer, o.kid = old, "k1"
	if _, err := h.login(t, o, "acme-sso"); codeOf(err) != "login_invalid" {
		t.Errorf("a withdrawn key: %v", err)
	}

	// Withdrawn without any new key in use: forgotten when the keys' life ends.
	o.keys = []any{jwk("k1", rsaKey().Public())}
	c.add(keysLife)
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Fatal(err)
	}
	o.keys = []any{jwk("k2", otherRSAKey().Public())}
	c.add(keysLife)
	if _, err := h.login(t, o, "acme-sso"); codeOf(err) != "login_invalid" {
		t.Errorf("a key withdrawn %s ago: %v", keysLife, err)
	}
}

func TestUnknownKeyFloodMakesFewCalls(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Fatal(err)
	}
	meta, err := h.set.byName["acme-sso"].issuer.metadata(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	keys := &keySet{issuer: h.set.byName["acme-sso"].issuer, meta: meta}
	o.kid = "unknown"
	token := o.sign(map[string]any{"alg": "RS256", "kid": "unknown"}, map[string]any{})
	before := o.calls["/jwks"]
	for range 100 {
		c.add(time.Second)
		if _, err := keys.VerifySignature(t.Context(), token); err == nil {
			t.Fatal("an unknown key verifies")
		}
	}
	if got := o.calls["/jwks"] - before; got < 1 || got > 10 {
		t.Errorf("%d calls in 100 s, want 1 to 10", got)
	}
}

func TestKeysThatCannotBeRenewedAreNotUsed(t *testing.T) {
	c := newClock()
	o := newOP(t, c)
	h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Fatal(err)
	}
	o.down["/jwks"] = http.StatusBadGateway
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Errorf("within their life: %v", err)
	}
	c.add(keysLife)
	if _, err := h.login(t, o, "acme-sso"); codeOf(err) != "provider_unavailable" {
		t.Errorf("after it: %v", err)
	}
	o.down["/jwks"] = 0
	c.add(retryAfter)
	if _, err := h.login(t, o, "acme-sso"); err != nil {
		t.Errorf("back again: %v", err)
	}
}

func TestKeySetsThatAreNotBelieved(t *testing.T) {
	c := newClock()
	type m = map[string]any
	encryption := jwk("k1", rsaKey().Public())
	encryption["use"] = "enc"
	other := jwk("k1", rsaKey().Public())
	other["alg"] = "PS256"
	many := make([]any, maxKeys+1)
	for i := range many {
		many[i] = jwk("k1", rsaKey().Public())
	}
	for name, keys := range map[string][]any{
		"no keys":                     {},
		"a symmetric key":             {m{"kty": "oct", "kid": "k1", "k": b64([]byte("client-s3cret"))}},
		"a key for encryption":        {encryption},
		"a key for another algorithm": {other},
		"too many keys":               many,
		"a key that is none":          {"x"},
		"another kind of key":         {jwk("k1", ecKey(t).Public())},
		"half a key":                  {m{"kty": "RSA", "kid": "k1", "n": "AQAB"}},
	} {
		t.Run(name, func(t *testing.T) {
			o := newOP(t, c)
			o.keys = keys
			h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
			if _, err := h.login(t, o, "acme-sso"); err == nil {
				t.Error("it is believed")
			}
		})
	}
	t.Run("strange keys beside a good one are passed over", func(t *testing.T) {
		o := newOP(t, c)
		o.keys = []any{m{"kty": "OKP", "crv": "Ed448", "x": "AA", "kid": "k0"}, m{"kty": "new"}, jwk("k1", rsaKey().Public())}
		h := newHouse(t, c, settings(t, o, "acme-sso", "acme"))
		if _, err := h.login(t, o, "acme-sso"); err != nil {
			t.Error(err)
		}
	})
}
