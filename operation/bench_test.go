package operation

import (
	"fmt"
	"strings"
	"testing"
)

func BenchmarkJSON1KB(b *testing.B) {
	var s strings.Builder
	s.WriteString(`{"id":1`)
	for i := range 24 {
		fmt.Fprintf(&s, `,"field_%d":"a value of some length %d"`, i, i)
	}
	s.WriteString(`}`)
	benchmark(b, typeJSON, s.String())
}

func BenchmarkForm1KB(b *testing.B) {
	benchmark(b, typeForm, strings.Repeat("field_name=some+value%21&", 40)+"last=1")
}

func BenchmarkMultipart64KB(b *testing.B) {
	benchmark(b, typeMult, form(`name="a"|1`, `name="f"; filename="x"|`+strings.Repeat("F", 64<<10)))
}

func benchmark(b *testing.B, contentType, body string) {
	r, _ := newReader(b, Config{})
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	ex := exchange(b, contentType, strings.NewReader(body))
	fresh := *ex
	req := *ex.Request
	for b.Loop() {
		*ex, *ex.Request = fresh, req
		ex.Request.Body = readCloser{strings.NewReader(body)}
		if err := pass(r, ex); err != nil {
			b.Fatal(err)
		}
		ex.Body.Release()
	}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }
