package operation

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/strictjson"
)

// maxValues bounds what one body gives to policy, WAF and audit.
const maxValues = strictjson.DefaultLeaves

// valuesPage is how many bytes of values may be held without being charged.
const valuesPage = 8 << 10

// member is one name at the top of a body: a form field or a member of the JSON object.
type member struct {
	name, text string
	field      bool            // of a form, with a text
	kind       strictjson.Kind // of a JSON member
	escaped    bool            // a JSON name written with an escape
}

// judge gathers what one body says and refuses what it may not say.
type judge struct {
	ex      *access.Exchange
	guard   guard
	memory  *claim // what the values cost
	owed    int64  // of it, not yet charged
	members []member
	values  []access.Value
}

// add keeps a value.
func (j *judge) add(path, text string) error {
	if len(j.values) == maxValues {
		return bodyTooComplex(j.ex, fmt.Errorf("more than %d values", maxValues))
	}
	// Charged by the page, since the budget is shared and a value is small.
	if j.owed += int64(len(path) + len(text)); j.owed >= valuesPage {
		if err := j.memory.grow(j.owed); err != nil {
			return spoolUnavailable(err)
		}
		j.owed = 0
	}
	j.values = append(j.values, access.Value{Path: path, Text: text})
	return nil
}

// field judges and keeps one form field.
func (j *judge) field(name, text string) error {
	if err := j.guard.field(name, text); err != nil {
		return tenantMismatch(j.ex, err)
	}
	return j.keepField(name, text)
}

// keepField keeps a field whose name was judged, and judges what its text may hide.
func (j *judge) keepField(name, text string) error {
	if err := j.hidden(text); err != nil {
		return err
	}
	j.members = append(j.members, member{name: name, text: text, field: true})
	return j.add(name, text)
}

// file judges the name of a file part.
func (j *judge) file(name string) error {
	if hit, _ := j.guard.form.Find(name); hit != "" {
		return tenantMismatch(j.ex, errTenantFile)
	}
	j.members = append(j.members, member{name: name})
	return nil
}

// hidden judges a field whose content is a JSON document, as some APIs have it. Free text
// that only begins like one passes; what some reader would accept and ours does not is refused.
func (j *judge) hidden(text string) error {
	if begins, _ := beginsLikeJSON(text); !begins || j.guard.json.Empty() {
		return nil
	}
	text = strings.TrimLeft(text, notContent)
	err := strictjson.Walk(text, strictjson.Limits{}, j.guardValue)
	if _, refused := errors.AsType[*strictjson.Error](err); refused && !json.Valid([]byte(text)) {
		return nil
	}
	return notJSON(j.ex, err)
}

func (j *judge) guardValue(v strictjson.Value) error {
	if err := j.guard.value(v); err != nil {
		return tenantMismatch(j.ex, err)
	}
	return nil
}

// document judges and keeps a whole JSON document; prefix is the path of what holds
// it, "" for the body itself.
func (j *judge) document(text, prefix string) error {
	err := strictjson.Walk(text, strictjson.Limits{}, func(v strictjson.Value) error {
		if err := j.guardValue(v); err != nil {
			return err
		}
		if prefix == "" && v.Depth == 1 && v.Index < 0 {
			j.members = append(j.members, member{name: v.Name, text: v.Text, kind: v.Kind, escaped: v.Escaped})
		}
		if !v.Kind.Leaf() {
			return nil
		}
		return j.add(below(prefix, v.Path()), v.Text)
	})
	return notJSON(j.ex, err)
}

// below joins two paths, either of which may be empty.
func below(prefix, path string) string {
	if prefix == "" || path == "" {
		return prefix + path
	}
	return prefix + "." + path
}

// notContent is what some reader skips before a document: white space, NULs and byte
// order marks of UTF-8 and UTF-16.
const notContent = " \t\r\n\v\f\x00\ufeff"

// beginsLikeJSON says whether the first byte that counts opens an object or array.
// undecided means that there was no such byte.
func beginsLikeJSON[T string | []byte](text T) (begins, undecided bool) {
	for i := range len(text) {
		switch c := text[i]; c {
		case ' ', '\t', '\r', '\n', '\v', '\f', 0, 0xef, 0xbb, 0xbf, 0xfe, 0xff:
		default:
			return c == '{' || c == '[', false
		}
	}
	return false, true
}
