package oidc

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// How long keys are believed, how soon an unknown key id may make us ask again, and how
// soon we ask again after a failure.
const (
	keysLife    = 5 * time.Minute
	keysAgain   = 10 * time.Second
	retryAfter  = 5 * time.Second
	maxKeys     = 100
	maxTokenLen = 32 << 10 // bytes of an ID token
)

var errUnknownKey = errors.New("signed by a key that the provider does not publish")

// algorithms are the signatures that we accept (RFC 7518, RFC 8037): asymmetric ones.
// With HMAC the client secret, or worse a public key, would sign; none is no signature.
func algorithms() []string { return []string{"RS256", "ES256", "PS256", "EdDSA"} }

// keySet verifies signatures for the library (it is an oidc.KeySet) with the issuer's
// published keys. Unlike the library's own it forgets withdrawn keys, within keysLife, and a
// flood of unknown key ids makes at most one call every keysAgain.
type keySet struct {
	issuer *issuer
	meta   *metadata
}

// VerifySignature implements the library's KeySet.
func (k *keySet) VerifySignature(ctx context.Context, token string) ([]byte, error) {
	allowed := make([]jose.SignatureAlgorithm, 0, len(k.meta.algorithms))
	for _, a := range k.meta.algorithms {
		allowed = append(allowed, jose.SignatureAlgorithm(a))
	}
	if len(token) > maxTokenLen {
		return nil, fmt.Errorf("token of %d bytes, at most %d", len(token), maxTokenLen)
	}
	jws, err := jose.ParseSignedCompact(token, allowed)
	if err != nil {
		return nil, fmt.Errorf("parse the token: %w", err)
	}
	head := jws.Signatures[0].Protected
	if typ, _ := head.ExtraHeaders[jose.HeaderType].(string); typ != "" && !strings.EqualFold(typ, "JWT") {
		return nil, fmt.Errorf("a token of type %.40q is not an ID token", typ) // RFC 8725, section 3.11
	}
	payload := []byte(nil)
	err = k.issuer.tryKeys(ctx, k.meta.JWKS, func(keys []jose.JSONWebKey) bool {
		for _, key := range candidates(keys, head.KeyID, head.Algorithm) {
			if p, err := jws.Verify(key.Key); err == nil {
				payload = p
				return true
			}
		}
		return false
	})
	return payload, err
}

// candidates are the keys that may have made a signature. A token without a key id is only
// believed when there is no choice (OpenID Connect Core 1.0, section 10.1).
func candidates(keys []jose.JSONWebKey, kid, alg string) []jose.JSONWebKey {
	var fit []jose.JSONWebKey
	for _, key := range keys {
		if (kid == "" || key.KeyID == kid) && (key.Algorithm == "" || key.Algorithm == alg) && fits(key.Key, alg) {
			fit = append(fit, key)
		}
	}
	if kid == "" && len(fit) > 1 {
		return nil
	}
	return fit
}

func fits(key any, alg string) bool {
	switch k := key.(type) {
	case *rsa.PublicKey:
		return (alg == "RS256" || alg == "PS256") && k.N.BitLen() >= 2048
	case *ecdsa.PublicKey:
		return alg == "ES256" && k.Curve.Params().Name == "P-256"
	case ed25519.PublicKey:
		return alg == "EdDSA"
	}
	return false
}

// parseKeys reads a JWK Set (RFC 7517). Keys of kinds that we do not know are passed
// over (section 5); symmetric and private ones are never used.
func parseKeys(b []byte) ([]jose.JSONWebKey, error) {
	var set struct {
		Keys []json.RawMessage `json:"keys"`
	}
	if err := json.Unmarshal(b, &set); err != nil {
		return nil, fmt.Errorf("parse the key set: %w", err)
	}
	if len(set.Keys) > maxKeys {
		return nil, fmt.Errorf("key set of %d keys, at most %d", len(set.Keys), maxKeys)
	}
	var keys []jose.JSONWebKey
	for _, raw := range set.Keys {
		var key jose.JSONWebKey
		if err := json.Unmarshal(raw, &key); err != nil || !key.Valid() || !key.IsPublic() || key.Use != "" && key.Use != "sig" {
			continue
		}
		keys = append(keys, key)
	}
	if len(keys) == 0 {
		return nil, errors.New("the key set holds no key to verify signatures with")
	}
	return keys, nil
}
