package configs

import (
	"encoding"
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"

	"github.com/sallyport/sallyport/secret"
)

// Schema is the JSON Schema (draft 2020-12) of the file, generated from the types, for
// editors that check and complete.
func Schema() []byte {
	s := schemaOf(reflect.TypeFor[Tree]())
	s["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	s["title"] = "sallyport.yaml"
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // maps of strings always marshal
	}
	return append(text, '\n')
}

// patterned types know the pattern of their text form.
type patterned interface{ SchemaPattern() string }

func schemaOf(t reflect.Type) map[string]any {
	zero := reflect.New(t)
	if p, ok := zero.Interface().(patterned); ok {
		return map[string]any{"type": []string{"string", "integer"}, "pattern": p.SchemaPattern()}
	}
	switch t {
	case reflect.TypeFor[secret.Ref]():
		return map[string]any{"type": "string", "pattern": "^(env:.+|file:/.+)?$"}
	case reflect.TypeFor[netip.Prefix]():
		return map[string]any{"type": "string", "pattern": "^[0-9a-fA-F.:]+/[0-9]+$"}
	}
	if _, ok := zero.Interface().(encoding.TextUnmarshaler); ok {
		return map[string]any{"type": "string"}
	}
	switch t.Kind() {
	case reflect.Struct:
		properties := map[string]any{}
		addProperties(t, properties)
		return map[string]any{"type": []string{"object", "null"}, "properties": properties, "additionalProperties": false}
	case reflect.Map:
		return map[string]any{"type": []string{"object", "null"}, "additionalProperties": schemaOf(t.Elem())}
	case reflect.Slice:
		return map[string]any{"type": []string{"array", "null"}, "items": schemaOf(t.Elem())}
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return map[string]any{"type": "boolean"}
	case reflect.Int, reflect.Int64:
		return map[string]any{"type": "integer"}
	}
	return map[string]any{"type": []string{"string", "integer", "boolean"}} // YAML writes a text like 1 without quotes
}

func addProperties(t reflect.Type, properties map[string]any) {
	for i := range t.NumField() {
		f := t.Field(i)
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if options == "inline" {
			addProperties(f.Type, properties)
			continue
		}
		if name == "" || name == "-" {
			continue
		}
		s := schemaOf(f.Type)
		if doc := f.Tag.Get("doc"); doc != "" {
			s["description"] = doc
		}
		properties[name] = s
	}
}
