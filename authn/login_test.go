package authn

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/secret"
)

func TestLoginIsRefusedWhenABackendCouldMisreadIt(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	good := Login{Tenant: mustTenant(t, "acme"), Subject: "u1", Email: "a@acme.example", Provider: "idp", Roles: []string{"member"}, Groups: []string{"Sales, North"}}
	if _, err := good.admissible(now); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*Login){
		"no tenant":                   func(l *Login) { l.Tenant = access.TenantID{} },
		"no subject":                  func(l *Login) { l.Subject = "" },
		"no provider":                 func(l *Login) { l.Provider = "" },
		"a subject with a line break": func(l *Login) { l.Subject = "u1\r\nX-Tenant-ID: globex" },
		"a subject with a NUL":        func(l *Login) { l.Subject = "u1\x00" },
		"a subject of blanks around":  func(l *Login) { l.Subject = " u1" },
		"a long subject":              func(l *Login) { l.Subject = strings.Repeat("u", 256) },
		"an email that is no UTF-8":   func(l *Login) { l.Email = "a\xff@acme.example" },
		"an email of a megabyte":      func(l *Login) { l.Email = strings.Repeat("a", 1<<20) },
		"a role that reads as two":    func(l *Login) { l.Roles = []string{"member,owner"} },
		"a role with a blank":         func(l *Login) { l.Roles = []string{"member owner"} },
		"an empty role":               func(l *Login) { l.Roles = []string{""} },
		"too many roles":              func(l *Login) { l.Roles = slices.Repeat([]string{"r"}, 65) },
		"too many groups":             func(l *Login) { l.Groups = slices.Repeat([]string{"g"}, 1025) },
		"a group with an escape":      func(l *Login) { l.Groups = []string{"\x1b[31m"} },
		"a long method":               func(l *Login) { l.AMR = []string{strings.Repeat("m", 257)} },
		"a long provider session":     func(l *Login) { l.ProviderSession = strings.Repeat("s", 257) },
	} {
		l := good
		change(&l)
		if got, err := l.admissible(now); err == nil {
			t.Errorf("%s: admitted as %+v", name, got)
		}
	}
}

func TestLoginIsTidied(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	l, err := Login{
		Tenant: mustTenant(t, "acme"), Subject: "u1", Provider: "idp", AuthTime: now.Add(time.Hour),
		Name: " \x1b[31mAlice\r\n\u202eŁ " + strings.Repeat("é", 300), IDToken: secret.New(strings.Repeat("x", maxIDToken+1)),
	}.admissible(now)
	if err != nil {
		t.Fatal(err)
	}
	if !l.AuthTime.Equal(now) {
		t.Errorf("a login of the future: %v", l.AuthTime)
	}
	if !strings.HasPrefix(l.Name, "[31mAliceŁ é") || len(l.Name) > maxName || strings.ContainsAny(l.Name, "\x1b\r\n\u202e") {
		t.Errorf("the name became %q, of %d bytes", l.Name, len(l.Name))
	}
	if !l.IDToken.IsZero() {
		t.Error("an ID token larger than the bound is kept")
	}
}
