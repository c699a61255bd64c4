package authn

import (
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
)

func TestStripCookiesLeavesTheOthersByteForByte(t *testing.T) {
	for _, c := range []struct {
		name       string
		have, want []string
	}{
		{"none", nil, nil},
		{"only others, however odd", []string{`a=1;b="2;;  c = 3 `, "\xff=\x01"}, []string{`a=1;b="2;;  c = 3 `, "\xff=\x01"}},
		{"ours alone", []string{"__Host-sallyport-session=x; __Host-sallyport-refresh=y"}, nil},
		{"ours first", []string{"__Host-sallyport-session=x; a=1;b=2"}, []string{"a=1;b=2"}},
		{"ours in the middle", []string{"a=1; __Host-sallyport-session=x;b=2"}, []string{"a=1;b=2"}},
		{"ours last", []string{"a=1; b=2; __Host-sallyport-refresh=y"}, []string{"a=1; b=2"}},
		{"twice", []string{"__Host-sallyport-session=x; a=1; __Host-sallyport-session=z"}, []string{"a=1"}},
		{"in another case", []string{"__HOST-Sallyport-Session=x; a=1"}, []string{"a=1"}},
		{"of a login attempt", []string{"__Host-sallyport-login-abc=x; a=1"}, []string{"a=1"}},
		{"without a value", []string{"__Host-sallyport-session; a=1"}, []string{"a=1"}},
		{"on several lines, as HTTP/2 sends them", []string{"a=1", "__Host-sallyport-session=x", "b=2"}, []string{"a=1", "b=2"}},
		{"a name that only ends alike", []string{"x__Host-sallyport-session=x"}, []string{"x__Host-sallyport-session=x"}},
		{"a value that looks like ours", []string{"a=__Host-sallyport-session=x"}, []string{"a=__Host-sallyport-session=x"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := http.Header{}
			if c.have != nil {
				h["Cookie"] = slices.Clone(c.have)
			}
			StripCookies(h)
			if !slices.Equal(h["Cookie"], c.want) {
				t.Errorf("got %q, want %q", h["Cookie"], c.want)
			}
		})
	}
}

func TestReadCookiesSeesWhatOthersDropInSilence(t *testing.T) {
	for _, c := range []struct {
		name string
		have []string
		want cookies
	}{
		{"both", []string{"a=1; __Host-sallyport-session=x; __Host-sallyport-refresh=y"}, cookies{session: "x", refresh: "y", found: true}},
		{"empty is found", []string{"__Host-sallyport-session="}, cookies{found: true}},
		{"without an equals sign is found", []string{"__Host-sallyport-session"}, cookies{found: true}},
		{"not UTF-8", []string{"__Host-sallyport-session=\xff\xfe"}, cookies{session: "\xff\xfe", found: true}},
		{"twice on one line", []string{"__Host-sallyport-session=x; __Host-sallyport-session=y"}, cookies{session: "y", found: true, repeated: true}},
		{"twice on two lines", []string{"__Host-sallyport-refresh=x", "__Host-sallyport-refresh=x"}, cookies{refresh: "x", found: true, repeated: true}},
		{"another case is not ours", []string{"__host-sallyport-session=x"}, cookies{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := readCookies(http.Header{"Cookie": c.have}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func TestCookieFlags(t *testing.T) {
	set := newCookie(sessionCookie, "v", time.Hour).String()
	if want := "__Host-sallyport-session=v; Path=/; Max-Age=3600; HttpOnly; Secure; SameSite=Lax"; set != want {
		t.Errorf("got %s, want %s", set, want)
	}
	gone := newCookie(sessionCookie, "", 0).String()
	if want := "__Host-sallyport-session=; Path=/; Max-Age=0; HttpOnly; Secure; SameSite=Lax"; gone != want {
		t.Errorf("got %s, want %s", gone, want)
	}
}

func TestSetCookiesReplacesByName(t *testing.T) {
	ex := &access.Exchange{SetCookies: []*http.Cookie{{Name: "other", Value: "1"}}}
	clearCookies(ex)
	setCookies(ex, newCookie(sessionCookie, "new", time.Hour))
	var got []string
	for _, c := range ex.SetCookies {
		got = append(got, c.Name+"="+c.Value)
	}
	if want := []string{"other=1", refreshCookie + "=", sessionCookie + "=new"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestReadBearer(t *testing.T) {
	for _, c := range []struct {
		name string
		have []string
		want bearer
	}{
		{"none", nil, bearer{}},
		{"a bearer", []string{"Bearer abc"}, bearer{token: "abc", found: true}},
		{"in any case, with blanks", []string{"bEARER   abc "}, bearer{token: "abc", found: true}},
		{"a tab is seen, and stays in to be refused", []string{"Bearer\tabc"}, bearer{token: "\tabc", found: true}},
		{"no token", []string{"Bearer"}, bearer{found: true}},
		{"another scheme", []string{"Basic abc"}, bearer{}},
		{"a scheme that begins alike", []string{"BearerX abc"}, bearer{}},
		{"two of them", []string{"Bearer a", "Bearer b"}, bearer{token: "b", found: true, ambiguous: true}},
		{"with another scheme", []string{"Bearer a", "Basic b"}, bearer{token: "a", found: true, ambiguous: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := readBearer(http.Header{"Authorization": c.have}); got != c.want {
				t.Errorf("got %+v, want %+v", got, c.want)
			}
		})
	}
}

func FuzzCookies(f *testing.F) {
	for _, seed := range []string{"", "a=1", "__Host-sallyport-session=x; a=1", "a=1;; ;__host-SALLYPORT-x", "\xff;\x00=__Host-sallyport-refresh=y"} {
		f.Add(seed, seed)
	}
	f.Fuzz(func(t *testing.T, one, two string) {
		h := http.Header{"Cookie": {one, two}}
		others := func(h http.Header) (list []string) {
			for _, line := range h["Cookie"] {
				for segment := range strings.SplitSeq(line, ";") {
					if trimmed := strings.TrimLeft(segment, " \t"); !ours(segment) && trimmed != "" {
						list = append(list, trimmed)
					}
				}
			}
			return list
		}
		before := others(h)
		found := readCookies(h)
		StripCookies(h)
		if !slices.Equal(others(h), before) {
			t.Errorf("%q, %q: other cookies changed from %q to %q", one, two, before, others(h))
		}
		if slices.ContainsFunc(h["Cookie"], mentionsOurs) || readCookies(h).found {
			t.Errorf("%q, %q: one of ours is left in %q", one, two, h["Cookie"])
		}
		if !found.found && (found.session != "" || found.refresh != "") {
			t.Errorf("%q, %q: a value without a cookie: %+v", one, two, found)
		}
	})
}
