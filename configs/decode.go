package configs

import (
	"encoding"
	"fmt"
	"reflect"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// Bounds of the document beyond the file's size.
const (
	maxDepth = 24
	maxItems = 10_000 // elements of one list or keys of one mapping
)

// decode fills a struct from a mapping: unknown and duplicate keys, wrong kinds and values
// that do not parse are each reported where they stand, and the rest goes on.
func (r *reader) decode(root *yaml.Node, into any) {
	r.value(root, reflect.ValueOf(into).Elem(), "", 0)
}

func (r *reader) value(n *yaml.Node, v reflect.Value, path string, depth int) {
	if path != "" {
		r.nodes[path] = place{n.Line, n.Column}
	}
	if depth > maxDepth || len(n.Content) > 2*maxItems {
		r.at(place{n.Line, n.Column}, path, "this is nested too deep, or too long", "", false)
		return
	}
	if n.Kind == yaml.AliasNode || n.Anchor != "" {
		r.at(place{n.Line, n.Column}, path, "anchors and aliases are not used here", "write the value out", false)
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return // "key:" without a value is the default
	}
	if text, ok := v.Addr().Interface().(encoding.TextUnmarshaler); ok {
		r.text(n, text, path)
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		r.mapping(n, v, path, depth)
	case reflect.Map:
		r.table(n, v, path, depth)
	case reflect.Slice:
		r.list(n, v, path, depth)
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		r.value(n, v.Elem(), path, depth+1)
	default:
		r.scalar(n, v, path)
	}
}

func (r *reader) wrongKind(n *yaml.Node, path, want string) {
	kinds := map[yaml.Kind]string{yaml.ScalarNode: "a single value", yaml.SequenceNode: "a list", yaml.MappingNode: "a mapping"}
	r.at(place{n.Line, n.Column}, path, fmt.Sprintf("this is %s, want %s", kinds[n.Kind], want), "", false)
}

func (r *reader) text(n *yaml.Node, into encoding.TextUnmarshaler, path string) {
	if n.Kind != yaml.ScalarNode {
		r.wrongKind(n, path, "a single value")
		return
	}
	if err := into.UnmarshalText([]byte(n.Value)); err != nil {
		r.at(place{n.Line, n.Column}, path, err.Error(), "", false)
	}
}

func (r *reader) scalar(n *yaml.Node, v reflect.Value, path string) {
	if n.Kind != yaml.ScalarNode {
		r.wrongKind(n, path, "a single value")
		return
	}
	fail := func(want string) {
		r.at(place{n.Line, n.Column}, path, fmt.Sprintf("%q is not %s", n.Value, want), "", false)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(n.Value)
	case reflect.Bool:
		if n.Value != "true" && n.Value != "false" {
			fail("true or false")
			return
		}
		v.SetBool(n.Value == "true")
	case reflect.Int, reflect.Int64:
		i, err := strconv.ParseInt(n.Value, 10, 64)
		if err != nil {
			fail("a whole number")
			return
		}
		v.SetInt(i)
	default:
		panic(fmt.Sprintf("configs: a Config type has a field of kind %s at %s", v.Kind(), path)) // found by the tests
	}
}

func (r *reader) list(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		r.wrongKind(n, path, "a list")
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content)))
	for i, item := range n.Content {
		r.value(item, v.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
	}
}

func (r *reader) table(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		r.wrongKind(n, path, "a mapping")
		return
	}
	v.Set(reflect.MakeMap(v.Type()))
	r.pairs(n, path, func(key, value *yaml.Node, path string) {
		item := reflect.New(v.Type().Elem()).Elem()
		r.value(value, item, path, depth+1)
		v.SetMapIndex(reflect.ValueOf(key.Value).Convert(v.Type().Key()), item)
	})
}

func (r *reader) mapping(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		r.wrongKind(n, path, "a mapping")
		return
	}
	fields := map[string]reflect.Value{}
	collect(v, fields)
	r.pairs(n, path, func(key, value *yaml.Node, path string) {
		field, ok := fields[key.Value]
		if !ok {
			hint := "the keys here are " + strings.Join(sortedKeys(fields), ", ")
			if near := nearest(key.Value, sortedKeys(fields)); near != "" {
				hint = fmt.Sprintf("did you mean %s?", near)
			}
			r.at(place{key.Line, key.Column}, path, fmt.Sprintf("unknown key %q", key.Value), hint, false)
			return
		}
		r.value(value, field, path, depth+1)
		r.nodes[path] = place{key.Line, key.Column}
		if value.Kind == yaml.ScalarNode {
			r.nodes[path] = place{value.Line, value.Column}
		}
	})
}

// pairs calls each with every key once, and reports keys that stand twice or are not text.
func (r *reader) pairs(n *yaml.Node, path string, each func(key, value *yaml.Node, path string)) {
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		at := key.Value
		if path != "" {
			at = path + "." + key.Value
		}
		if key.Kind != yaml.ScalarNode || key.Tag == "!!merge" {
			r.at(place{key.Line, key.Column}, path, "a key is a plain text", "", false)
			continue
		}
		if line, twice := seen[key.Value]; twice {
			r.at(place{key.Line, key.Column}, at, fmt.Sprintf("key %q stands on line %d already", key.Value, line), "keep one", false)
			continue
		}
		seen[key.Value] = key.Line
		each(key, value, at)
	}
}

// collect maps yaml names to fields, those of inlined structs included.
func collect(v reflect.Value, fields map[string]reflect.Value) {
	for i := range v.NumField() {
		name, options, _ := strings.Cut(v.Type().Field(i).Tag.Get("yaml"), ",")
		if options == "inline" {
			collect(v.Field(i), fields)
		} else if name != "" && name != "-" {
			fields[name] = v.Field(i)
		}
	}
}
