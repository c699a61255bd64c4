package main

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"
)

// verifyAssertion does what a backend would do: fetch jwks.json and verify the signature
// (RFC 7515, RFC 8037), with the standard library alone.
func verifyAssertion(t *testing.T, g *wired, token string) map[string]any {
	t.Helper()
	resp, body := g.ask(t, "GET", "/.sallyport/jwks.json", "")
	if resp.StatusCode != 200 {
		t.Fatalf("jwks.json: %d %s", resp.StatusCode, body)
	}
	var set struct {
		Keys []struct{ Kid, Kty, Crv, X, D string }
	}
	if err := json.Unmarshal([]byte(body), &set); err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		t.Fatalf("the assertion is no JWT: %q", token)
	}
	decode := func(s string) []byte {
		b, err := base64.RawURLEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	var header struct{ Kid, Alg string }
	var claims map[string]any
	if json.Unmarshal(decode(parts[0]), &header) != nil || json.Unmarshal(decode(parts[1]), &claims) != nil {
		t.Fatal("the assertion does not decode")
	}
	for _, key := range set.Keys {
		if key.D != "" {
			t.Fatal("jwks.json shows a private key")
		}
		if key.Kid == header.Kid && header.Alg == "EdDSA" && ed25519.Verify(decode(key.X), []byte(parts[0]+"."+parts[1]), decode(parts[2])) {
			return claims
		}
	}
	t.Fatalf("no key verifies the assertion: %s", body)
	return nil
}

func audience(claims map[string]any, want string) bool {
	switch aud := claims["aud"].(type) {
	case string:
		return aud == want
	case []any:
		for _, a := range aud {
			if a == want {
				return true
			}
		}
	}
	return false
}
