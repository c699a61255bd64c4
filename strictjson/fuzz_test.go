package strictjson

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"
)

// stdLeaves lists what encoding/json reads, in the form of leaves.
func stdLeaves(text string) ([]string, error) {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	var got []string
	var value func(path string) error
	join := func(path, name string) string {
		if path == "" {
			return name
		}
		return path + "." + name
	}
	value = func(path string) error {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		switch token := token.(type) {
		case json.Delim:
			n := 0
			for ; dec.More(); n++ {
				name := fmt.Sprint(n)
				if token == '{' {
					key, err := dec.Token()
					if err != nil {
						return err
					}
					name = key.(string)
				}
				if err := value(join(path, name)); err != nil {
					return err
				}
			}
			if n == 0 {
				got = append(got, path+"="+map[json.Delim]string{'{': "{}", '[': "[]"}[token])
			}
			_, err := dec.Token()
			return err
		case string:
			got = append(got, fmt.Sprintf("%s=%q", path, token))
		case nil:
			got = append(got, path+"=null")
		default:
			got = append(got, fmt.Sprintf("%s=%v", path, token))
		}
		return nil
	}
	if err := value(""); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, fmt.Errorf("trailing data: %v", err)
	}
	return got, nil
}

// stdDuplicate says whether some object of a valid document has a name twice.
func stdDuplicate(text string) bool {
	dec := json.NewDecoder(bytes.NewReader([]byte(text)))
	dec.UseNumber()
	twice := false
	var value func()
	value = func() {
		open, _ := dec.Token()
		if _, container := open.(json.Delim); !container {
			return
		}
		names := map[json.Token]bool{}
		for dec.More() {
			if open == json.Delim('{') {
				name, _ := dec.Token()
				twice = twice || names[name]
				names[name] = true
			}
			value()
		}
		dec.Token()
	}
	value()
	return twice
}

// FuzzAgainstEncodingJSON holds the package's promise: what is accepted here has the
// same values there, and what is refused here though valid there is refused for a
// stated reason, never for its syntax.
func FuzzAgainstEncodingJSON(f *testing.F) {
	for _, seed := range []string{
		`{"a":[1,-2.5e3,"x\u00e9\ud83d\ude00",null,true,false,{},[]]}`, `{"a":1,"a":2}`, `{"a":1,"\u0061":2}`, `"\ud800"`, "\"\xff\"",
		`[[[[1]]]]`, `01`, `1e999999`, `{"":{"":1}}`, "\ufeff1", ` 1 `, `[1,]`, `{"a\u0000":1}`, `{"a":{"b":1},"b":2}`, `"\u2028"`, `-`, `1.5E-7`,
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got, err := leaves(text, Limits{Depth: 8, Leaves: 50})
		if err == nil {
			want, err := stdLeaves(text)
			if err != nil {
				t.Fatalf("accepted %q, which encoding/json refuses: %v", text, err)
			}
			if !json.Valid([]byte(text)) {
				t.Fatalf("accepted %q, which json.Valid refuses", text)
			}
			if !slices.Equal(got, want) {
				t.Fatalf("%q: got %q, encoding/json reads %q", text, got, want)
			}
			return
		}
		var refused *Error
		if !errors.As(err, &refused) {
			t.Fatalf("%q: error of type %T", text, err)
		}
		if refused.Reason == Duplicate && json.Valid([]byte(text)) && !stdDuplicate(text) {
			t.Fatalf("%q is refused as %v, but encoding/json sees no duplicate", text, err)
		}
		if refused.Reason == Syntax && json.Valid([]byte(text)) {
			t.Fatalf("%q is valid JSON, refused as %v", text, err)
		}
	})
}
