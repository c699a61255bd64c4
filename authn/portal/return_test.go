package portal

import (
	"net/url"
	"strings"
	"testing"
)

const prefix = "/.sallyport"

// ways are ways back with what becomes of them; the fuzz test starts from them.
func ways() []struct{ name, raw, want string } {
	same := func(name, raw string) struct{ name, raw, want string } {
		return struct{ name, raw, want string }{name, raw, raw}
	}
	home := func(name, raw string) struct{ name, raw, want string } {
		return struct{ name, raw, want string }{name, raw, "/"}
	}
	return []struct{ name, raw, want string }{
		same("the start page", "/"),
		same("a path", "/contacts/1"),
		same("a path with a query", "/contacts?page=2&sort=a%20b"),
		same("a query that holds an address", "/go?to=https://evil.test//x"),
		same("an encoded blank", "/a%20b"),
		same("an encoded letter beyond ASCII", "/caf%C3%A9"),
		same("an encoded percent sign", "/100%25"),
		same("a name that begins like the prefix", "/.sallyportal"),
		home("nothing", ""),
		home("another host", "https://evil.test"),
		home("another host without a scheme", "//evil.test"),
		home("three slashes", "///evil.test"),
		home("a scheme without slashes", "https:evil.test"),
		home("a scheme with one slash", "https:/evil.test"),
		home("a script", "javascript:alert(1)"),
		home("a relative path", "evil.test"),
		home("a relative path upwards", "../evil"),
		home("a user name", "@evil.test"),
		home("a backslash", `/\evil.test`),
		home("two backslashes", `\\evil.test`),
		home("a backslash later", `/a\..\..\\evil.test`),
		home("a slash and a backslash", `/\/evil.test`),
		home("a tab", "/\t/evil.test"),
		home("a line feed", "/\n/evil.test"),
		home("a carriage return", "/\r/evil.test"),
		home("a vertical tab", "/\v/evil.test"),
		home("a form feed", "/\f/evil.test"),
		home("a NUL", "/\x00/evil.test"),
		home("a leading blank", " /evil.test"),
		home("a leading tab", "\t//evil.test"),
		home("a header", "/a\r\nSet-Cookie: a=b"),
		home("an encoded tab", "/%09/evil.test"),
		home("an encoded line feed", "/%0a/evil.test"),
		home("an encoded vertical tab", "/%0B/evil.test"),
		home("an encoded carriage return", "/%0d/evil.test"),
		home("an encoded slash", "/%2fevil.test"),
		home("an encoded backslash", "/%5cevil.test"),
		home("a backslash encoded twice", "/%255cevil.test"),
		home("a slash encoded twice", "/%252fevil.test"),
		home("a dot segment", "/./evil"),
		home("two dots", "/a/../evil"),
		home("two dots before two slashes", "/..//evil.test"),
		home("encoded dots", "/a/%2e%2e/evil"),
		home("a bad encoding", "/%zz"),
		home("half an encoding", "/a%2"),
		home("a fragment", "/a#b"),
		home("a quote", `/"onload=x`),
		home("a raw letter beyond ASCII", "/café"),
		home("a full-width slash", "/／evil.test"),
		home("the prefix itself", "/.sallyport"),
		home("our own logout", "/.sallyport/logout"),
		home("our own login with a query", "/.sallyport/login?return=/"),
		home("our own login in capitals", "/.SallyPort/login"),
		home("our own login encoded", "/%2esallyport/login"),
		home("our own login encoded twice", "/%252esallyport/login"),
		home("an endless path", "/"+strings.Repeat("a", MaxReturn)),
	}
}

func TestReturnPath(t *testing.T) {
	for _, c := range ways() {
		t.Run(c.name, func(t *testing.T) {
			if got := ReturnPath(c.raw, prefix); got != c.want {
				t.Errorf("ReturnPath(%q) = %q, want %q", c.raw, got, c.want)
			}
		})
	}
}

// FuzzReturnPath reads the result as a browser does (WHATWG URL, section 4.4: backslashes are slashes,
// tabs and line breaks are dropped, blanks trimmed): it must stay on the site.
func FuzzReturnPath(f *testing.F) {
	for _, c := range ways() {
		f.Add(c.raw)
	}
	base, err := url.Parse("https://crm.example.com/.sallyport/oidc/callback")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, raw string) {
		got := ReturnPath(raw, prefix)
		if got != raw && got != "/" {
			t.Fatalf("%q was repaired to %q", raw, got)
		}
		seen := strings.NewReplacer("\t", "", "\n", "", "\r", "", `\`, "/").Replace(strings.Trim(got, "\x00\x01\x02\x03\x04\x05\x06\x07\x08\t\n\v\f\r\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1b\x1c\x1d\x1e\x1f "))
		to, err := base.Parse(seen)
		if err != nil {
			t.Fatalf("%q does not parse: %v", got, err)
		}
		if to.Scheme != "https" || to.Host != "crm.example.com" || to.User != nil || strings.HasPrefix(seen, "//") {
			t.Errorf("%q leads to %s", got, to)
		}
		if p := strings.ToLower(to.Path); p == prefix || strings.HasPrefix(p, prefix+"/") {
			t.Errorf("%q leads to our own %s", got, to.Path)
		}
		if strings.ContainsAny(got, "\r\n\x00") {
			t.Errorf("%q breaks the header", got)
		}
	})
}
