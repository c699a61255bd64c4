package authn

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"
)

func TestKeysRotateWithOverlapAndThenAreRefused(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, stored := signing(t, &now)
	later := func(d time.Duration) {
		t.Helper()
		now = now.Add(d)
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	old := s.keys.Load().signer(useSession, now).ID
	oldAssertion := s.keys.Load().signer(useAssertion, now).ID

	later(keyPeriod - keyPublish - time.Minute)
	if len(stored.keys) != 2 {
		t.Fatalf("%d keys before it is time, want 2", len(stored.keys))
	}
	later(2 * time.Minute)
	if len(stored.keys) != 4 {
		t.Fatalf("%d keys when it is time, want 4", len(stored.keys))
	}
	if got := s.keys.Load().signer(useSession, now).ID; got != old {
		t.Error("the new key signs before every instance can know it")
	}
	if !strings.Contains(string(s.JWKS()), stored.keys[3].ID) || !strings.Contains(string(s.JWKS()), oldAssertion) {
		t.Errorf("the key set is to hold the next key before it signs, and the old one: %s", s.JWKS())
	}

	later(keyPublish + time.Second)
	token, err := s.sessionToken(testRecord(t, now), now, now.Add(s.access), s.keys.Load())
	if err != nil {
		t.Fatal(err)
	}
	fresh := s.keys.Load().signer(useSession, now).ID
	if fresh == old {
		t.Fatal("the old key signs on")
	}
	before := now
	now = now.Add(-2 * time.Second) // a token of the old key's last seconds
	oldToken, err := s.sessionToken(testRecord(t, now), now, now.Add(s.access), s.keys.Load())
	if err != nil {
		t.Fatal(err)
	}
	now = before
	verify := func(token string) error { _, _, err := s.verify(token, "crm", s.keys.Load()); return err }
	if err := errors.Join(verify(token), verify(oldToken)); err != nil {
		t.Errorf("both are to be good during the overlap: %v", err)
	}
	later(s.access - 3*time.Second)
	if err := verify(oldToken); err != nil {
		t.Errorf("the old key's last token is refused before its end: %v", err)
	}
	later(time.Minute)
	if _, ok := s.keys.Load().verifier(useSession, old, now); ok {
		t.Error("the old key verifies after its last token has run out")
	}
	if _, ok := s.keys.Load().verifier(useSession, fresh, now); !ok {
		t.Error("the new key does not verify")
	}
	later(2 * keyPublish)
	later(wholeEvery + time.Second)
	for _, k := range stored.keys {
		if k.ID == old {
			t.Error("the retired key is still stored")
		}
	}
	if len(stored.keys) != 2 {
		t.Errorf("%d keys are stored, want 2", len(stored.keys))
	}
}

func TestKeySetShowsAssertionKeysAlone(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, stored := signing(t, &now)
	var set struct {
		Keys []map[string]string `json:"keys"`
	}
	if err := json.Unmarshal(s.JWKS(), &set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || set.Keys[0]["kid"] != s.keys.Load().signer(useAssertion, now).ID {
		t.Fatalf("the set is %s", s.JWKS())
	}
	for name := range set.Keys[0] {
		if !strings.Contains(" kty crv x kid use alg ", " "+name+" ") {
			t.Errorf("the set shows %q", name)
		}
	}
	if strings.Contains(string(s.JWKS()), stored.keys[0].ID) {
		t.Error("the session key is published: a user's session token would pass for an assertion")
	}
}

func TestDamagedKeysAreAnError(t *testing.T) {
	for _, k := range []Key{{ID: "a", Seed: []byte("short")}, {Seed: make([]byte, 32)}} {
		if _, err := newKeyring([]Key{k}, time.Hour); err == nil {
			t.Errorf("a keyring of %+v", k)
		}
	}
}

func TestEmptyKeyringSignsAndVerifiesNothing(t *testing.T) {
	var none *keyring
	if _, ok := none.verifier(useSession, "", time.Now()); ok {
		t.Error("it verifies")
	}
	if token, err := none.sign(useSession, claims{}, time.Now()); err == nil || token != "" {
		t.Error("it signs")
	}
}

func TestEndedSessionsAreForgottenWhenTheirTokensAreDead(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, _ := signing(t, &now)
	s.revoked.add(s.forget(), Ended{SessionID: "s1", LoginID: "l1"})
	s.revoked.addLogin(s.forget(), "l1")
	for _, step := range []struct {
		pass time.Duration
		want int
	}{{s.access + leeway, 2}, {overlap + time.Second, 0}} {
		now = now.Add(step.pass)
		if err := s.Sync(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := len(s.revoked.ended); got != step.want {
			t.Errorf("%v later %d ids are remembered, want %d", step.pass, got, step.want)
		}
	}
}
