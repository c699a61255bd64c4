package authn

import (
	"context"
	"crypto/ed25519"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/secret"
)

// memoryKeys is a KeyStore of the tests.
type memoryKeys struct{ keys []Key }

func (m *memoryKeys) Keys(context.Context, string) ([]Key, error) { return m.keys, nil }
func (m *memoryKeys) AddKey(_ context.Context, k Key) error {
	m.keys = append(m.keys, k)
	return nil
}
func (m *memoryKeys) DropKey(_ context.Context, _, id string) error {
	kept := []Key{}
	for _, k := range m.keys {
		if k.ID != id {
			kept = append(kept, k)
		}
	}
	m.keys = kept
	return nil
}

// noStore is a database that was never there.
type noStore struct{}

var errNoStore = errors.New("there is no store")

func (noStore) Create(context.Context, access.TenantID, Record) error { return errNoStore }
func (noStore) Rotate(context.Context, access.TenantID, Rotation) (Record, error) {
	return Record{}, errNoStore
}
func (noStore) Find(context.Context, access.TenantID, string, time.Time) (Record, error) {
	return Record{}, errNoStore
}
func (noStore) Revoke(context.Context, access.TenantID, Scope, time.Time) ([]Ended, error) {
	return nil, errNoStore
}
func (noStore) Ended(context.Context, time.Time) ([]Ended, error) { return nil, nil }
func (noStore) Prune(context.Context, time.Time) error            { return nil }

// signing makes Sessions that can sign and verify, and have no store of sessions.
func signing(t testing.TB, now *time.Time) (*Sessions, *memoryKeys) {
	t.Helper()
	keys := &memoryKeys{}
	s, err := New(Deps{
		Environment: "test", MasterKey: secret.NewMasterKey(), Store: noStore{}, Ends: noStore{}, Keys: keys,
		Admit: func(context.Context, Login) error { return nil },
		Log:   slog.New(slog.DiscardHandler), Meter: observe.Discard{}, Health: observe.Discard{},
		Now: func() time.Time { return *now },
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, keys
}

func testRecord(t testing.TB, now time.Time) Record {
	return Record{
		ID: newID(), LoginID: newID(), Site: "crm", Created: now, Expires: now.Add(DefaultRefresh),
		Login: Login{Tenant: mustTenant(t, "acme"), Subject: "u1", Email: "alice@acme.example", Name: "Alice", Roles: []string{"member"},
			Groups: []string{"sales"}, Provider: "idp", AuthTime: now, AMR: []string{"pwd"}},
	}
}

func TestForgedTokensAreRefused(t *testing.T) {
	now := time.Unix(1_800_000_000, 500_000_000)
	s, stored := signing(t, &now)
	record := testRecord(t, now)
	key := s.keys.Load().signer(useSession, now)
	assertionKey := s.keys.Load().signer(useAssertion, now)
	publicPEM, err := x509.MarshalPKIXPublicKey(key.public)
	if err != nil {
		t.Fatal(err)
	}
	_, foreign, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	if len(stored.keys) != 2 {
		t.Fatalf("%d keys are stored, want one for each use", len(stored.keys))
	}

	// mint makes a good token, but for what the case changes.
	mint := func(change func(jwt.MapClaims, map[string]any), method jwt.SigningMethod, with any) string {
		c := jwt.MapClaims{
			"iss": s.issuer, "sub": "u1", "aud": "crm", "iat": now.Unix(), "exp": now.Add(time.Hour).Unix(), "token_use": useSession,
			"tenant": "acme", "roles": []string{"member"}, "sid": record.ID, "lid": record.LoginID, "auth_time": now.Unix(), "provider": "idp",
		}
		token := jwt.NewWithClaims(method, c)
		token.Header["kid"], token.Header["typ"] = key.ID, "session+jwt"
		change(c, token.Header)
		text, err := token.SignedString(with)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	claim := func(name string, value any) func(jwt.MapClaims, map[string]any) {
		return func(c jwt.MapClaims, _ map[string]any) {
			if c[name] = value; value == nil {
				delete(c, name)
			}
		}
	}
	head := func(name string, value any) func(jwt.MapClaims, map[string]any) {
		return func(_ jwt.MapClaims, h map[string]any) {
			if h[name] = value; value == nil {
				delete(h, name)
			}
		}
	}
	same := func(jwt.MapClaims, map[string]any) {}
	eddsa := func(change func(jwt.MapClaims, map[string]any)) string {
		return mint(change, jwt.SigningMethodEdDSA, key.private)
	}
	good := eddsa(same)
	if _, _, err := s.verify(good, "crm", s.keys.Load()); err != nil {
		t.Fatalf("the token that the cases change is not good: %v", err)
	}
	parts := strings.Split(good, ".")
	none := func(alg string) string {
		header := base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"` + alg + `","kid":"` + key.ID + `","typ":"session+jwt"}`))
		return header + "." + parts[1] + "."
	}
	lastChanged := func() string { // the last character of an Ed25519 signature has 4 unused bits
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		i := strings.IndexByte(alphabet, good[len(good)-1])
		return good[:len(good)-1] + string(alphabet[i^1])
	}()

	for _, c := range []struct {
		name, token, site string
		want              error
	}{
		{"J01 alg none", none("none"), "crm", errToken},
		{"J01 alg None", none("None"), "crm", errToken},
		{"J01 alg nOnE", none("nOnE"), "crm", errToken},
		{"J01 alg empty", none(""), "crm", errToken},
		{"J01 none, signed by the library", mint(same, jwt.SigningMethodNone, jwt.UnsafeAllowNoneSignatureType), "crm", errToken},
		{"J02 HS256 with the public key's bytes", mint(same, jwt.SigningMethodHS256, []byte(key.public)), "crm", errToken},
		{"J02 HS256 with the public key's PEM", mint(same, jwt.SigningMethodHS256, pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: publicPEM})), "crm", errToken},
		{"J02 another key under our kid", mint(same, jwt.SigningMethodEdDSA, foreign), "crm", errToken},
		{"J03 kid is a path", eddsa(head("kid", "../../dev/null")), "crm", errTokenKey},
		{"J03 kid is SQL", eddsa(head("kid", "' or 1=1 --")), "crm", errTokenKey},
		{"J03 kid is an address", eddsa(head("kid", "https://evil.test/key")), "crm", errTokenKey},
		{"J03 kid is a list", eddsa(head("kid", []string{key.ID})), "crm", errTokenKey},
		{"J03 no kid", eddsa(head("kid", nil)), "crm", errToken},
		{"J03 jku beside it", eddsa(head("jku", "https://evil.test/jwks")), "crm", errToken},
		{"crit that nobody understands", eddsa(head("crit", []string{"exp"})), "crm", errToken},
		{"another typ", eddsa(head("typ", "JWT")), "crm", errToken},
		{"the typ of an assertion", eddsa(head("typ", "assertion+jwt")), "crm", errToken},
		{"J05 no exp", eddsa(claim("exp", nil)), "crm", errToken},
		{"J05 expired by a second", eddsa(claim("exp", now.Unix()-1)), "crm", errTokenExpired},
		{"J05 expired this very second", eddsa(claim("exp", now.Unix())), "crm", errTokenExpired},
		{"J05 expired long ago", eddsa(claim("exp", now.Unix()-100_000)), "crm", errTokenExpired},
		{"J05 far future", eddsa(claim("exp", now.Add(100*365*24*time.Hour).Unix())), "crm", errTokenExpired},
		{"J05 exp is no number", eddsa(claim("exp", "tomorrow")), "crm", errToken},
		{"J05 exp overflows", eddsa(claim("exp", 1e300)), "crm", errTokenExpired},
		{"J06 iat a minute ahead", eddsa(claim("iat", now.Unix()+60)), "crm", errToken},
		{"J06 no iat", eddsa(claim("iat", nil)), "crm", errToken},
		{"J06 nbf a minute ahead", eddsa(claim("nbf", now.Unix()+60)), "crm", errToken},
		{"J07 another audience", eddsa(claim("aud", "wiki")), "crm", errToken},
		{"J07 no audience", eddsa(claim("aud", nil)), "crm", errToken},
		{"J07 an empty audience", eddsa(claim("aud", "")), "crm", errToken},
		{"J07 two audiences, ours among them", eddsa(claim("aud", []string{"crm", "wiki"})), "crm", errToken},
		{"J07 another issuer", eddsa(claim("iss", "urn:sallyport:staging")), "crm", errToken},
		{"J07 no issuer", eddsa(claim("iss", nil)), "crm", errToken},
		{"J07 expired, and of another issuer", eddsa(func(c jwt.MapClaims, _ map[string]any) { c["iss"], c["exp"] = "x", now.Unix()-100 }), "crm", errToken},
		{"J07 expired, and of another audience", eddsa(func(c jwt.MapClaims, _ map[string]any) { c["aud"], c["exp"] = "x", now.Unix()-100 }), "crm", errToken},
		{"J09 on another site", good, "wiki", errToken},
		{"J09 on no site", good, "", errToken},
		{"an assertion offered as a session", mint(claim("token_use", useAssertion), jwt.SigningMethodEdDSA, key.private), "crm", errToken},
		{"signed by the key of assertions", mint(head("kid", assertionKey.ID), jwt.SigningMethodEdDSA, assertionKey.private), "crm", errTokenKey},
		{"no tenant", eddsa(claim("tenant", nil)), "crm", errToken},
		{"a tenant that is none", eddsa(claim("tenant", "ACME/../globex")), "crm", errToken},
		{"no subject", eddsa(claim("sub", nil)), "crm", errToken},
		{"no session id", eddsa(claim("sid", nil)), "crm", errToken},
		{"no login id", eddsa(claim("lid", nil)), "crm", errToken},
		{"no auth_time", eddsa(claim("auth_time", nil)), "crm", errToken},
		{"roles of another shape", eddsa(claim("roles", map[string]string{"a": "b"})), "crm", errToken},
		{"J10 a megabyte of dots", strings.Repeat(".", 1<<20), "crm", errToken},
		{"J10 a large header", base64.RawURLEncoding.EncodeToString([]byte(`{"a":"`+strings.Repeat("x", 1<<20)+`"}`)) + "." + parts[1] + "." + parts[2], "crm", errToken},
		{"J10 deep JSON", base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("[", 1000))) + "." + parts[1] + "." + parts[2], "crm", errToken},
		{"J10 four parts", good + ".x", "crm", errToken},
		{"J11 the last character changed", lastChanged, "crm", errToken},
		{"J11 padding", good + "=", "crm", errToken},
		{"J11 a line break inside", parts[0] + "." + parts[1] + "." + parts[2][:10] + "\n" + parts[2][10:], "crm", errToken},
		{"J11 a line break in the header", "\r" + good, "crm", errToken},
		{"the claims of one under the signature of another", parts[0] + "." + strings.Split(eddsa(claim("tenant", "globex")), ".")[1] + "." + parts[2], "crm", errToken},
		{"no signature", parts[0] + "." + parts[1] + ".", "crm", errToken},
		{"empty", "", "crm", errToken},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims, _, err := s.verify(c.token, c.site, s.keys.Load())
			if !errors.Is(err, c.want) || claims != nil {
				t.Errorf("verify = %+v, %v; want %v", claims, err, c.want)
			}
			if err != nil && len(c.token) > 20 && strings.Contains(err.Error(), c.token[len(c.token)-20:]) {
				t.Errorf("the error repeats the token: %v", err)
			}
		})
	}
}

func TestTokenSaysWhatTheRecordSays(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, _ := signing(t, &now)
	record := testRecord(t, now)
	token, err := s.sessionToken(record, now, now.Add(s.access), s.keys.Load())
	if err != nil {
		t.Fatal(err)
	}
	c, kid, err := s.verify(token, "crm", s.keys.Load())
	if err != nil {
		t.Fatal(err)
	}
	got, want := c.identity(), record.identity(now.Add(s.access))
	for _, f := range [][2]any{
		{got.Subject, want.Subject}, {got.Email, want.Email}, {got.Name, want.Name}, {got.Tenant, want.Tenant}, {got.Provider, want.Provider},
		{got.SessionID, want.SessionID}, {got.LoginID, want.LoginID}, {got.AuthTime.Unix(), want.AuthTime.Unix()}, {got.Expires.Unix(), want.Expires.Unix()},
		{strings.Join(got.Roles, "|"), "member"}, {strings.Join(got.Groups, "|"), "sales"}, {strings.Join(got.AMR, "|"), "pwd"}, {kid, s.keys.Load().signer(useSession, now).ID},
	} {
		if f[0] != f[1] {
			t.Errorf("got %v, want %v", f[0], f[1])
		}
	}
}

func TestTokenOfAnotherEnvironmentIsRefused(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	production, keys := signing(t, &now)
	staging, _ := signing(t, &now)
	staging.issuer = issuer("staging")
	ring, err := newKeyring(keys.keys, staging.access) // the same keys, by a copied database
	if err != nil {
		t.Fatal(err)
	}
	token, err := production.sessionToken(testRecord(t, now), now, now.Add(time.Hour), production.keys.Load())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := staging.verify(token, "crm", ring); !errors.Is(err, errToken) {
		t.Errorf("staging takes production's token: %v", err)
	}
}

func TestParserIsNotMadeWithoutItsChecks(t *testing.T) {
	for _, c := range []struct{ issuer, audience string }{{"", "crm"}, {"urn:sallyport:test", ""}, {"", ""}} {
		if p, err := newParser(c.issuer, c.audience, time.Now); err == nil || p != nil {
			t.Errorf("a parser for issuer %q and audience %q", c.issuer, c.audience)
		}
	}
}

func TestShorterAccessCountsForTokensThatAreOut(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	s, _ := signing(t, &now)
	token, err := s.sessionToken(testRecord(t, now), now, now.Add(s.access), s.keys.Load())
	if err != nil {
		t.Fatal(err)
	}
	s.access = 10 * time.Minute
	if _, _, err := s.verify(token, "crm", s.keys.Load()); !errors.Is(err, errTokenExpired) {
		t.Errorf("a token of an hour is good where tokens live ten minutes: %v", err)
	}
}

func TestAKeyThatIsGoneCountsForTokensThatAreRemembered(t *testing.T) { // J13
	now := time.Unix(1_800_000_000, 0)
	s, stored := signing(t, &now)
	token, err := s.sessionToken(testRecord(t, now), now, now.Add(s.access), s.keys.Load())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.check(t.Context(), "crm", token); err != nil {
		t.Fatal(err)
	}
	if err := stored.DropKey(t.Context(), "test", s.keys.Load().signer(useSession, now).ID); err != nil {
		t.Fatal(err)
	}
	now = now.Add(wholeEvery)
	if err := s.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := s.check(t.Context(), "crm", token); !errors.Is(err, errTokenKey) {
		t.Errorf("its key was withdrawn, and it is good by the cache: %v", err)
	}
}

func FuzzToken(f *testing.F) {
	// Everything is fixed: the fuzzer's processes must agree on which token is good, and
	// on what each input covers.
	now := time.Unix(1_800_000_000, 0)
	s, _ := signing(f, &now)
	ring, err := newKeyring([]Key{{ID: "fixed", Purpose: useSession, Generation: 1, ActiveFrom: now, Seed: []byte("0123456789abcdef0123456789abcdef")}}, s.access)
	if err != nil {
		f.Fatal(err)
	}
	record := testRecord(f, now)
	record.ID, record.LoginID = strings.Repeat("s", idSize), strings.Repeat("l", idSize)
	good, err := s.sessionToken(record, now, now.Add(s.access), ring)
	if err != nil {
		f.Fatal(err)
	}
	if _, _, err := s.verify(good, "crm", ring); err != nil {
		f.Fatalf("the one good token is not good: %v", err)
	}
	parts := strings.Split(good, ".")
	for _, seed := range []string{good, good[:len(good)-1], "a.b.c", "..", "", "eyJhbGciOiJub25lIn0.e30.", parts[0] + ".e30." + parts[2], parts[0] + "." + parts[1] + "."} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		c, _, err := s.verify(token, "crm", ring)
		if err == nil && token != good {
			t.Errorf("%q is accepted as %+v", token, c)
		}
		if err != nil && !errors.Is(err, errToken) && !errors.Is(err, errTokenKey) && !errors.Is(err, errTokenExpired) {
			t.Errorf("an error of no kind: %v", err)
		}
	})
}

func BenchmarkVerifyTokenInFull(b *testing.B) {
	now := time.Unix(1_800_000_000, 0)
	s, _ := signing(b, &now)
	token, err := s.sessionToken(testRecord(b, now), now, now.Add(s.access), s.keys.Load())
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.verify(token, "crm", s.keys.Load()); err != nil {
			b.Fatal(err)
		}
	}
}
