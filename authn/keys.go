package authn

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// The life of a signing key. A new one is published before it signs, so that every
// instance and every backend's copy of the key set knows it by then; the old one
// verifies until the last token that it signed has run out.
const (
	keyPeriod  = 30 * 24 * time.Hour
	keyPublish = time.Hour
	jwksMaxAge = 5 * time.Minute
)

// keyring is what is known about signing keys at one moment. It is immutable.
type keyring struct {
	keys  map[string]*signingKey // by kid
	byUse map[string][]*signingKey
	jwks  []byte
}

type signingKey struct {
	Key
	private ed25519.PrivateKey
	public  ed25519.PublicKey
	retired time.Time // verifies until then; zero while it has no successor
}

// newKeyring makes a keyring of stored keys. sessionLife is how long a session token
// may live, which is how long its key must outlive its successor's first day.
func newKeyring(stored []Key, sessionLife time.Duration) (*keyring, error) {
	ring := &keyring{keys: map[string]*signingKey{}, byUse: map[string][]*signingKey{}}
	for _, k := range stored {
		if len(k.Seed) != ed25519.SeedSize || k.ID == "" {
			return nil, fmt.Errorf("signing key %q is damaged", k.ID)
		}
		private := ed25519.NewKeyFromSeed(k.Seed)
		key := &signingKey{Key: k, private: private, public: private.Public().(ed25519.PublicKey)}
		ring.keys[k.ID] = key
		ring.byUse[k.Purpose] = append(ring.byUse[k.Purpose], key)
	}
	for use, list := range ring.byUse {
		slices.SortFunc(list, func(a, b *signingKey) int { return int(a.Generation - b.Generation) })
		life := sessionLife
		if use == useAssertion {
			life = assertionLife + 2*jwksMaxAge
		}
		for i, next := range list[1:] {
			list[i].retired = next.ActiveFrom.Add(life + leeway)
		}
	}
	jwks, err := publicSet(ring.byUse[useAssertion])
	if err != nil {
		return nil, err
	}
	ring.jwks = jwks
	return ring, nil
}

// verifier gives the public key of a kid, while it still counts.
func (r *keyring) verifier(use, kid string, now time.Time) (ed25519.PublicKey, bool) {
	if r == nil {
		return nil, false
	}
	key, ok := r.keys[kid]
	if !ok || key.Purpose != use || !key.retired.IsZero() && !now.Before(key.retired) {
		return nil, false
	}
	return key.public, true
}

// signer is the newest key that is active, or the oldest when none is yet: a clock
// that is behind is no reason to sign nothing.
func (r *keyring) signer(use string, now time.Time) *signingKey {
	if r == nil || len(r.byUse[use]) == 0 {
		return nil
	}
	chosen := r.byUse[use][0]
	for _, k := range r.byUse[use] {
		if !k.ActiveFrom.After(now) {
			chosen = k
		}
	}
	return chosen
}

func (r *keyring) sign(use string, c claims, now time.Time) (string, error) {
	key := r.signer(use, now)
	if key == nil {
		return "", errors.New("the signing keys are not loaded")
	}
	t := jwt.NewWithClaims(jwt.SigningMethodEdDSA, c)
	t.Header["kid"], t.Header["typ"] = key.ID, typeOf(use)
	return t.SignedString(key.private)
}

// publicSet is the JWK set (RFC 7517; OKP keys by RFC 8037) of the assertion keys.
// Session keys are never in it: a backend that checks too little could otherwise take
// a user's own session token for an assertion of ours.
func publicSet(keys []*signingKey) ([]byte, error) {
	type jwk struct {
		Type      string `json:"kty"`
		Curve     string `json:"crv"`
		X         string `json:"x"`
		KeyID     string `json:"kid"`
		Use       string `json:"use"`
		Algorithm string `json:"alg"`
	}
	set := struct {
		Keys []jwk `json:"keys"`
	}{Keys: []jwk{}}
	for _, k := range keys {
		set.Keys = append(set.Keys, jwk{"OKP", "Ed25519", base64.RawURLEncoding.EncodeToString(k.public), k.ID, "sig", "EdDSA"})
	}
	return json.Marshal(set)
}

// loadKeys reads the keys, makes the ones that are due and drops the ones that nothing
// is verified with any more. Called by Sync alone.
func (s *Sessions) loadKeys(ctx context.Context) error {
	now := s.now()
	ring, err := s.readKeys(ctx)
	if err != nil {
		return err
	}
	added := false
	for _, use := range []string{useSession, useAssertion} {
		next, due := ring.due(use, now)
		if !due {
			continue
		}
		next.Environment = s.environment
		if err := s.keyStore.AddKey(ctx, next); err != nil {
			return fmt.Errorf("store a signing key: %w", err)
		}
		added = true
	}
	if added { // read again: another instance may have been faster
		if ring, err = s.readKeys(ctx); err != nil {
			return err
		}
	}
	for _, use := range []string{useSession, useAssertion} {
		if ring.signer(use, now) == nil {
			return fmt.Errorf("there is no signing key for the %s", use)
		}
	}
	s.keys.Store(ring)
	for _, k := range ring.keys {
		if !k.retired.IsZero() && now.After(k.retired.Add(keyPublish)) {
			if err := s.keyStore.DropKey(ctx, s.environment, k.ID); err != nil {
				return fmt.Errorf("drop a retired signing key: %w", err)
			}
		}
	}
	return nil
}

func (s *Sessions) readKeys(ctx context.Context) (*keyring, error) {
	stored, err := s.keyStore.Keys(ctx, s.environment)
	if err != nil {
		return nil, fmt.Errorf("read the signing keys: %w", err)
	}
	return newKeyring(stored, s.access)
}

// due gives the key to add now, if one is: the first, or the successor of one that is
// near the end of its time.
func (r *keyring) due(use string, now time.Time) (Key, bool) {
	next := Key{ID: newID(), Purpose: use, Generation: 1, Created: now, ActiveFrom: now, Seed: make([]byte, ed25519.SeedSize)}
	if list := r.byUse[use]; len(list) > 0 {
		last := list[len(list)-1]
		if now.Before(last.ActiveFrom.Add(keyPeriod - keyPublish)) {
			return Key{}, false
		}
		next.Generation, next.ActiveFrom = last.Generation+1, now.Add(keyPublish)
	}
	rand.Read(next.Seed) // never fails: crypto/rand ends the process instead
	return next, true
}
