package oidc

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
)

// FuzzCallback: whatever comes to the callback without an attempt of this browser is a refusal
// of the client's mistake, and the provider is never asked.
func FuzzCallback(f *testing.F) {
	f.Add("state", "AAAAAAAAAAAAAAAA.BBBB", "code", "x", "AAAAAAAAAAAAAAAA", "AAAA")
	f.Add("state", ".", "state", ".", "", "")
	f.Add("error", "access_denied", "iss", "https://x", "x", "\x00")
	rt, err := NewRuntime(Options{Sealer: secret.NewMasterKey().Sealer("authn/oidc")})
	if err != nil {
		f.Fatal(err)
	}
	set, err := rt.Build(Config{good()}, domainMap{})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, n1, v1, n2, v2, cookie, value string) {
		_, err := set.Finish(t.Context(), Callback{Address: crm(), Endpoint: "oidc/callback",
			Query:   []access.Pair{{Name: n1, Value: v1}, {Name: n2, Value: v2}},
			Cookies: []*http.Cookie{{Name: CookiePrefix + cookie, Value: value}}})
		if codeOf(err) != "login_state" {
			t.Errorf("got %v", err)
		}
	})
}

// FuzzEmail: an address that is given out fits in a header and has exactly one domain.
func FuzzEmail(f *testing.F) {
	for _, s := range []string{"a@b.c", "a@b@c.d", "a@b.c\r\n", "\"@\"@b.c", "@", "a@.", "a@xn--b.c"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		address, domain, ok := parseEmail(s)
		if !ok {
			if address != "" || domain != "" {
				t.Error("a refused address is given out")
			}
			return
		}
		if strings.Count(address, "@") != 1 || !strings.HasSuffix(address, "@"+domain) || strings.ContainsAny(address, "\r\n\x00, ;<>\"") || !strings.EqualFold(address, s) {
			t.Errorf("%q gives %q of %q", s, address, domain)
		}
		for _, c := range []byte(address) {
			if c <= ' ' || c >= 0x7f {
				t.Errorf("byte %#x in %q", c, address)
			}
		}
	})
}

// FuzzClaims: any claims make a login whose texts are plain, or a refusal; never a panic, and
// never another tenant.
func FuzzClaims(f *testing.F) {
	f.Add([]byte(`{"sub":"a","email":"a@b.c","email_verified":true,"groups":["g"],"amr":["x"],"auth_time":1e300}`))
	f.Add([]byte(`{"sub":{"a":[]},"groups":{"a":"b"}}`))
	p := &provider{Settings: Config{good()}.WithDefaults()[0]}
	p.tenant, _ = access.ParseTenantID("acme")
	f.Fuzz(func(t *testing.T, b []byte) {
		var claims map[string]json.RawMessage
		if json.Unmarshal(b, &claims) != nil {
			return
		}
		login, err := p.person(&proof{claims: claims}, domainMap{})
		if err != nil {
			return
		}
		if login.Tenant != p.tenant || len(login.Subject) != 26 || len(login.Roles) == 0 || login.AuthTime.Year() > 9999 {
			t.Errorf("got %+v", login)
		}
		for _, s := range append(append(login.Groups, login.AMR...), login.Name, login.Email, login.ProviderSession) {
			if strings.ContainsAny(s, "\r\n\x00") {
				t.Errorf("control characters in %q", s)
			}
		}
	})
}
