package authn

import (
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

func testMAC() refreshMAC {
	return refreshMAC{key: []byte("a key of the tests, 32 bytes long"), environment: "test"}
}

func mustTenant(t testing.TB, name string) access.TenantID {
	t.Helper()
	id, err := access.ParseTenantID(name)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func TestRefreshTokenIsOfOneSiteTenantSessionAndEnvironment(t *testing.T) {
	mac := testMAC()
	want := refreshToken{mustTenant(t, "acme"), newID(), 41}
	text := mac.issue("crm", want)
	if got, err := mac.parse("crm", text); err != nil || got != want {
		t.Fatalf("parse = %+v, %v; want %+v", got, err, want)
	}
	parts := strings.Split(text, ".")
	swap := func(i int, s string) string {
		p := strings.Split(text, ".")
		p[i] = s
		return strings.Join(p, ".")
	}
	staging, stranger := mac, mac
	staging.environment = "staging"
	stranger.key = []byte("another key")
	for _, c := range []struct {
		name, site, token string
		mac               refreshMAC
	}{
		{"another site", "wiki", text, mac},
		{"another environment", "crm", text, staging},
		{"another key", "crm", text, stranger},
		{"another tenant", "crm", swap(0, "globex"), mac},
		{"another session", "crm", swap(1, newID()), mac},
		{"the next generation", "crm", swap(2, "42"), mac},
		{"the generation spelled otherwise", "crm", swap(2, "041"), mac},
		{"no MAC", "crm", strings.Join(parts[:3], ".") + ".", mac},
		{"empty", "crm", "", mac},
		{"dots", "crm", strings.Repeat(".", 100), mac},
		{"a megabyte", "crm", strings.Repeat("a", 1<<20), mac},
	} {
		if got, err := c.mac.parse(c.site, c.token); err == nil {
			t.Errorf("%s: accepted as %+v", c.name, got)
		}
	}
	for i := range len(text) { // every single character counts, the last one of the base64 too
		changed := []byte(text)
		changed[i] ^= 1
		if _, err := mac.parse("crm", string(changed)); err == nil {
			t.Errorf("still good with character %d changed: %s", i, changed)
		}
	}
	if len(text) > maxRefreshToken {
		t.Errorf("%d bytes, more than %d", len(text), maxRefreshToken)
	}
}

func TestLongestRefreshTokenFits(t *testing.T) {
	mac := testMAC()
	longest := refreshToken{mustTenant(t, strings.Repeat("t", access.MaxTenantID)), newID(), 1<<63 - 1}
	if got, err := mac.parse("crm", mac.issue("crm", longest)); err != nil || got != longest {
		t.Errorf("parse = %+v, %v", got, err)
	}
}

func FuzzRefreshToken(f *testing.F) {
	mac := testMAC()
	good := mac.issue("crm", refreshToken{mustTenant(f, "acme"), newID(), 1})
	for _, seed := range []string{good, good[:len(good)-1], "", "...", "acme.x.1.", strings.Repeat("a.", 60)} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, token string) {
		got, err := mac.parse("crm", token)
		if err == nil && mac.issue("crm", got) != token {
			t.Errorf("%q is accepted, and is not how it is issued", token)
		}
		if err != nil && got != (refreshToken{}) {
			t.Errorf("%q is refused and gives %+v all the same", token, got)
		}
	})
}
