package waf

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strconv"
	"unicode/utf8"
)

// json judges a body that claims to be JSON: one value, in UTF-8 (RFC 8259,
// sections 2 and 8.1), and nothing after it.
func (p *payload) json(body []byte) error {
	if !utf8.Valid(body) {
		return breachJSON
	}
	return p.leaves(body)
}

// level is one object or array that is open.
type level struct {
	prefix int // length of the path up to and without the current key
	object bool
	isKey  bool // the next token of an object is a key
	index  int
}

// leaves hands over every scalar of a JSON text under its path ("json.items.0.name",
// as CRS's exclusions expect), and every empty object and array under an empty value,
// since its key would not be judged otherwise. Members with the same key all count.
func (p *payload) leaves(body []byte) error {
	dec := json.NewDecoder(bytes.NewReader(trimBOM(body)))
	dec.UseNumber()
	path := []byte("json")
	before := p.n
	var open []level
	for {
		token, err := dec.Token()
		if errors.Is(err, io.EOF) && len(open) == 0 && p.n > before {
			return nil
		}
		if err != nil {
			return breachJSON
		}
		var top *level
		if len(open) > 0 {
			top = &open[len(open)-1]
		} else if p.n > before {
			return breachJSON // a second value
		}
		switch t := token.(type) {
		case json.Delim:
			if t == '}' || t == ']' {
				if err := p.closeLevel(top, string(path[:top.prefix])); err != nil {
					return err
				}
				path = path[:top.prefix]
				open = open[:len(open)-1]
				continue
			}
			path = step(path, top)
			if open = append(open, level{prefix: len(path), object: t == '{', isKey: t == '{'}); len(open) > p.limits.Depth {
				return breachDepth
			}
			continue
		case string:
			if top != nil && top.object && top.isKey {
				path = append(append(path[:top.prefix], '.'), t...)
				top.isKey = false
				top.index++
				continue
			}
		}
		path = step(path, top)
		if err := p.add(string(path), scalar(token)); err != nil {
			return err
		}
	}
}

// step brings the path to the next element of an array, and an object to its next
// key.
func step(path []byte, top *level) []byte {
	switch {
	case top == nil:
	case top.object:
		top.isKey = true
	default:
		path = strconv.AppendInt(append(path[:top.prefix], '.'), int64(top.index), 10)
		top.index++
	}
	return path
}

// closeLevel makes an empty container visible.
func (p *payload) closeLevel(l *level, path string) error {
	if l.index > 0 {
		return nil
	}
	return p.add(path, "")
}

func scalar(token json.Token) string {
	switch t := token.(type) {
	case string:
		return t
	case json.Number:
		return t.String()
	case bool:
		return strconv.FormatBool(t)
	}
	return "null"
}

// trimBOM takes off a byte order mark, which some clients of Microsoft's put there
// and some parsers accept.
func trimBOM(body []byte) []byte { return bytes.TrimPrefix(body, []byte("\xef\xbb\xbf")) }
