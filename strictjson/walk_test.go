package strictjson

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// leaves lists "path=text" of every leaf, with the kind where the text does not tell it.
func leaves(text string, limits Limits) ([]string, error) {
	var got []string
	err := Walk(text, limits, func(v Value) error {
		switch {
		case v.Kind == String:
			got = append(got, fmt.Sprintf("%s=%q", v.Path(), v.Text))
		case v.Kind.Leaf():
			got = append(got, v.Path()+"="+v.Text)
		case v.Empty && v.Kind == Array:
			got = append(got, v.Path()+"=[]")
		case v.Empty:
			got = append(got, v.Path()+"={}")
		}
		return nil
	})
	return got, err
}

func TestLeavesComeInOrderWithTheirPaths(t *testing.T) {
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"a scalar is a document", ` "x" `, []string{`="x"`}},
		{"every kind", `{"a":null,"b":true,"c":false,"d":-1.5e+3,"e":"s","f":[],"g":{}}`,
			[]string{"a=null", "b=true", "c=false", "d=-1.5e+3", `e="s"`, "f=[]", "g={}"}},
		{"nesting", `{"items":[{"name":"x","tags":["p",["q"]]},2]}`,
			[]string{`items.0.name="x"`, `items.0.tags.0="p"`, `items.0.tags.1.0="q"`, "items.1=2"}},
		{"white space everywhere", "\r\n{ \"a\" :\t[ 1 ,\n2 ] , \"b\" : { } }\n", []string{"a.0=1", "a.1=2", "b={}"}},
		{"escapes are undone", `{"m\u0065thod":"\u00e4\n\"\\\/\ud83d\ude00"}`, []string{"method=\"ä\\n\\\"\\\\/😀\""}},
		{"one name in two objects", `[{"a":1},{"a":2}]`, []string{"0.a=1", "1.a=2"}},
		{"one name inside and outside", `{"a":{"b":1},"b":2,"c":{"a":3}}`, []string{"a.b=1", "b=2", "c.a=3"}},
		{"names that differ in case", `{"a":1,"A":2}`, []string{"a=1", "A=2"}},
		{"zeros", `[0,-0,0.0,10]`, []string{"0=0", "1=-0", "2=0.0", "3=10"}},
		{"DEL in a string", "\"\x7f\"", []string{`="\x7f"`}},
	} {
		got, err := leaves(c.text, Limits{})
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, %v; want %q", c.name, got, err, c.want)
		}
	}
}

func TestRefusals(t *testing.T) {
	many := func(n int) string {
		var b strings.Builder
		for i := range n {
			fmt.Fprintf(&b, `"k%d":%d,`, i, i)
		}
		return b.String()
	}
	for _, c := range []struct {
		name, text string
		want       Reason
	}{
		{"nothing", "", Syntax},
		{"white space alone", " \n", Syntax},
		{"two documents", `{} {}`, Syntax},
		{"a trailing comma in an array", `[1,]`, Syntax},
		{"a trailing comma in an object", `{"a":1,}`, Syntax},
		{"a missing comma", `[1 2]`, Syntax},
		{"a missing colon", `{"a" 1}`, Syntax},
		{"a bare name", `{a:1}`, Syntax},
		{"single quotes", `{'a':1}`, Syntax},
		{"a comment", `{/**/"a":1}`, Syntax},
		{"NaN", `NaN`, Syntax},
		{"infinity", `-Infinity`, Syntax},
		{"a leading zero", `01`, Syntax},
		{"a plus", `+1`, Syntax},
		{"a dot without digits", `1.`, Syntax},
		{"an exponent without digits", `1e`, Syntax},
		{"a hexadecimal number", `0x1`, Syntax},
		{"half a literal", `tru`, Syntax},
		{"a literal in capitals", `True`, Syntax},
		{"a raw line break in a string", "\"a\nb\"", Syntax},
		{"an unknown escape", `"\x41"`, Syntax},
		{"an unfinished escape", `"\u00`, Syntax},
		{"an escape with a bad digit", `"\u00g0"`, Syntax},
		{"an open string", `"abc`, Syntax},
		{"an open array", `[1`, Syntax},
		{"an open object", `{"a":1`, Syntax},
		{"the wrong bracket", `[1}`, Syntax},
		{"a byte order mark", "\ufeff{}", Syntax},
		{"a NUL", "\x00", Syntax},
		{"a form feed as space", "\f{}", Syntax},
		{"UTF-16", "{\x00}\x00", Syntax},
		{"invalid UTF-8", "\"\xff\"", Encoding},
		{"overlong UTF-8", "\"\xc0\xaf\"", Encoding},
		{"a surrogate in UTF-8", "\"\xed\xa0\x80\"", Encoding},
		{"a lone high surrogate", `"\ud800"`, Encoding},
		{"a high surrogate before an ordinary escape", `"\ud800\n"`, Encoding},
		{"a high surrogate twice", `"\ud800\ud800"`, Encoding},
		{"a lone low surrogate", `"\udc00"`, Encoding},
		{"a duplicate name", `{"method":"a","method":"b"}`, Duplicate},
		{"a duplicate by escape", `{"method":"a","m\u0065thod":"b"}`, Duplicate},
		{"a duplicate deep inside", `{"a":[{"b":{"c":1,"c":1}}]}`, Duplicate},
		{"a duplicate among many names", `{` + many(100) + `"k3":1}`, Duplicate},
		{"a duplicate of a late name among many", `{` + many(100) + `"k99":1}`, Duplicate},
		{"a duplicate after a nested object with many names", `{"x":{` + many(40) + `"y":1},"x":1}`, Duplicate},
		{"NUL in a name", `{"tenant\u0000":1}`, Name},
		{"DEL in a name", "{\"tenant\x7f\":1}", Name},
		{"100,000 open arrays", strings.Repeat("[", 100_000), TooDeep},
		{"65 levels", strings.Repeat("[", 65) + strings.Repeat("]", 65), TooDeep},
		{"100,000 empty arrays", "[" + strings.Repeat("[],", 100_000) + "1]", TooMany},
		{"5,001 leaves", "[" + strings.Repeat("1,", 5_000) + "1]", TooMany},
		{"a long name", `{"` + strings.Repeat("a", MaxPath) + `":1}`, TooLong},
		{"a long path of short names", strings.Repeat(`{"`+strings.Repeat("a", 40)+`":`, 30) + "1" + strings.Repeat("}", 30), TooLong},
		{"a number of a megabyte", strings.Repeat("9", 1<<20), TooLong},
	} {
		_, err := leaves(c.text, Limits{})
		var got *Error
		if !errors.As(err, &got) || got.Reason != c.want {
			t.Errorf("%s: got %v, want %v", c.name, err, c.want)
		}
		if got != nil && got.Excessive() != (c.want >= TooDeep) {
			t.Errorf("%s: Excessive is %v", c.name, got.Excessive())
		}
	}
}

func TestWhatIsJustWithinTheLimitsPasses(t *testing.T) {
	for name, text := range map[string]string{
		"64 levels":         strings.Repeat("[", 64) + strings.Repeat("]", 64),
		"5,000 leaves":      "[" + strings.Repeat("1,", 4_999) + "1]",
		"a path of 1,023":   `{"` + strings.Repeat("a", MaxPath-1) + `":1}`,
		"a number of 1,024": strings.Repeat("9", MaxNumber),
		"a string of 1 MiB": `"` + strings.Repeat("a", 1<<20) + `"`,
		"100 different names": `{"a":1` + func() (s string) { // more than are compared one by one
			for i := range 100 {
				s += fmt.Sprintf(`,"k%d":1`, i)
			}
			return
		}() + `}`,
	} {
		if err := Walk(text, Limits{}, nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := Walk("[[1,2]]", Limits{Depth: 1}, nil); err == nil {
		t.Error("Limits.Depth does not bind")
	}
	if err := Walk("[[1,2]]", Limits{Leaves: 1}, nil); err == nil {
		t.Error("Limits.Leaves does not bind")
	}
}

func TestValuesTellTheirName(t *testing.T) {
	var got []string
	err := Walk(`{"a":{"b":[1,[2,{"c":3}]]},"\u0064":[]}`, Limits{}, func(v Value) error {
		got = append(got, fmt.Sprintf("%s|%v|%q|%v|%d|%d|%v", v.Path(), v.Named, v.Name, v.Escaped, v.Depth, v.Index, v.Empty))
		return nil
	})
	want := []string{
		`|false|""|false|0|-1|false`,
		`a|true|"a"|false|1|-1|false`,
		`a.b|true|"b"|false|2|-1|false`,
		`a.b.0|true|"b"|false|3|0|false`,
		`a.b.1|true|"b"|false|3|1|false`,
		`a.b.1.0|true|"b"|false|4|0|false`,
		`a.b.1.1|true|"b"|false|4|1|false`,
		`a.b.1.1.c|true|"c"|false|5|-1|false`,
		`d|true|"d"|true|1|-1|true`,
	}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("got %v\n%s\nwant\n%s", err, strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestVisitEndsTheWalkWithItsOwnError(t *testing.T) {
	stop := errors.New("stop")
	for _, text := range []string{`1`, `[1]`, `{"a":1}`, `{}`} {
		if err := Walk(text, Limits{}, func(Value) error { return stop }); err != stop {
			t.Errorf("%s: got %v", text, err)
		}
	}
}

func TestErrorsHoldNoPartOfTheDocument(t *testing.T) {
	_, err := leaves(`{"s3cret":1,"s3cret":2}`, Limits{})
	if err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("got %v", err)
	}
}

func TestAPlainDocumentCostsFewAllocations(t *testing.T) {
	text := `{"name":"ACME","city":"Ulm","tags":["a","b"],"deal":{"amount":1000,"open":true}}`
	n := testing.AllocsPerRun(100, func() {
		if err := Walk(text, Limits{}, func(Value) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
	if n > 10 {
		t.Errorf("%v allocations for 6 leaves, want at most 10", n)
	}
}

func BenchmarkWalk1KB(b *testing.B) {
	var s strings.Builder
	s.WriteString(`{"id":1`)
	for i := range 24 {
		fmt.Fprintf(&s, `,"field_%d":"a value of some length %d"`, i, i)
	}
	s.WriteString(`}`)
	text := s.String()
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		if err := Walk(text, Limits{}, func(Value) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
