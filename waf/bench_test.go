package waf

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkHeadOfAPage(b *testing.B) {
	e := shared(b, Config{})
	ex := request{target: "/contacts?page=2&sort=name&q=smith",
		header: map[string]string{"Cookie": "__Host-sallyport=" + sessionToken + "; theme=dark"}}.exchange(b)
	for b.Loop() {
		if err := e.InspectHead(ex); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkBodyOfAKilobyteOfJSON(b *testing.B) {
	e := shared(b, Config{})
	var record strings.Builder
	for i := range 24 {
		fmt.Fprintf(&record, `,"field_%d":"a value of the record %d"`, i, i)
	}
	q := jsonRequest("{" + record.String()[1:] + "}")
	for b.Loop() {
		ex := q.exchange(b)
		if err := e.InspectBody(ex); err != nil {
			b.Fatal(err)
		}
	}
}
