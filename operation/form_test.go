package operation

import (
	"fmt"
	"net/url"
	"strings"
	"testing"
)

func TestForms(t *testing.T) {
	r, _ := newReader(t, Config{})
	for _, c := range []struct{ name, body, want string }{
		{"pairs in their order", "b=2&a=1&b=3", "b=2;a=1;b=3;"},
		{"escapes", "n%61me=A%26B+C%2b", "name=A&B C+;"},
		{"no equals sign", "flag&x=1", "flag=;x=1;"},
		{"an equals sign in the value", "a=b=c", "a=b=c;"},
		{"empty pairs", "&&a=1&", "a=1;"},
		{"an empty name", "=x", "=x;"},
		{"Latin-1 in a value", "city=M%FCnchen", "city=M\xfcnchen;"},
		{"a line break in a value", "a=1%0d%0a2\n", "a=1\r\n2\n;"},
		{"a semicolon", "a=1;b=2", "400 body_malformed"},
		{"a bad escape", "a=%zz", "400 body_malformed"},
		{"half an escape", "a=%4", "400 body_malformed"},
		{"IIS's escape", "%u0074enant_id=globex", "400 body_malformed"},
		{"NUL in a value", "a=%00", "400 body_malformed"},
		{"a raw NUL", "a=\x00", "400 body_malformed"},
		{"NUL in a name", "tenant_id%00x=globex", "400 body_malformed"},
		{"a line break in a name", "a%0a=1", "400 body_malformed"},
		{"bad UTF-8 in a name", "tenant%ff_id=globex", "400 body_malformed"},
		{"5,000 pairs", strings.Repeat("a=1&", 5_000), ""},
		{"5,001 pairs", strings.Repeat("a=1&", 5_001), "413 body_too_complex"},
	} {
		ex := exchange(t, typeForm, unsized(c.body))
		got := verdict(pass(r, ex))
		if got == "passed" {
			got = valuesText(ex)
		}
		if got != c.want && c.want != "" || c.want == "" && len(ex.Body.Values) != 5_000 {
			t.Errorf("%s: got %.80q, want %q", c.name, got, c.want)
		}
	}
}

// FuzzForm holds two properties: what splitForm accepts, net/url reads alike; and a guarded
// field that net/url sees with another value never passes.
func FuzzForm(f *testing.F) {
	for _, seed := range []string{"a=1&b=2", "tenant_id=globex", "tenant%5fid=globex&x", "a=%zz", "a;b", "=&=", "%00", "+tenant_id=acme&tenant_id=acme",
		`{"tenant_id":"globex"}`, "a=%7B%22tenant_id%22%3A1%7D", "tenant_id[]=acme"} {
		f.Add(seed)
	}
	r, _ := newReader(f, Config{})
	f.Fuzz(func(t *testing.T, body string) {
		want, stdErr := url.ParseQuery(body)
		count := 0
		err := splitForm(body, func(name, text string) error {
			count++
			values := want[name]
			if len(values) == 0 || values[0] != text {
				return fmt.Errorf("%q=%q, net/url reads %q", name, text, values)
			}
			want[name] = values[1:]
			return nil
		})
		switch {
		case err == nil && stdErr != nil:
			t.Fatalf("accepted %q, which net/url refuses: %v", body, stdErr)
		case err != nil && err != errForm && err != errManyPairs:
			t.Fatalf("%q: %v", body, err)
		case err == nil:
			for name, values := range want {
				if len(values) > 0 {
					t.Fatalf("%q: net/url also reads %q=%q", body, name, values)
				}
			}
		}
		ex := exchange(t, typeForm, strings.NewReader(body))
		if pass(r, ex) != nil {
			return
		}
		seen, _ := url.ParseQuery(body)
		for name, values := range seen {
			if strings.EqualFold(strings.TrimSpace(name), "tenant_id") {
				for _, v := range values {
					if v != "acme" {
						t.Fatalf("%q passed with tenant_id %q", body, v)
					}
				}
			}
		}
		if string(forwarded(t, ex)) != body {
			t.Fatal("other bytes go out")
		}
	})
}
