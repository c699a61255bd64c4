package authn_test

import (
	"testing"

	"github.com/sallyport/sallyport/access"
)

func BenchmarkAuthenticateKnownToken(b *testing.B) {
	gw := newWorld(b).running()
	jar := newBrowser()
	gw.login(jar, "crm", alice(b))
	header := jar.header()
	line := header["Cookie"]
	ex := request("crm", access.App, header)
	b.ReportAllocs()
	for b.Loop() {
		header["Cookie"] = line // the gate has taken ours out
		if err := gw.Authenticate(ex); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAssertionKnownSession(b *testing.B) {
	gw := newWorld(b).running()
	jar := newBrowser()
	gw.login(jar, "crm", alice(b))
	ex, err := gw.visit(jar, "crm")
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := gw.Assertion(b.Context(), ex); err != nil {
			b.Fatal(err)
		}
	}
}
