package configs

import (
	"encoding"
	"errors"
	"flag"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/proxy"
	"github.com/sallyport/sallyport/secret"
	"github.com/sallyport/sallyport/units"
	"go.yaml.in/yaml/v4"
)

var update = flag.Bool("update", false, "write docs/reference/configuration.md anew")

const referenceFile = "../docs/reference/configuration.md"

// The reference is made of the types, so that it cannot say anything else than they do.
func TestReferenceSaysWhatTheTypesSay(t *testing.T) {
	want := reference()
	if *update {
		if err := os.WriteFile(referenceFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(referenceFile)
	if err != nil {
		t.Fatal(err)
	}
	got := string(text)
	if got == want {
		return
	}
	gotLines, wantLines := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(gotLines), len(wantLines)) {
		if gotLines[i] != wantLines[i] {
			t.Fatalf("%s:%d differs from the types; run `go test ./configs -run TestReference -update`\n got %s\nwant %s", referenceFile, i+1, gotLines[i], wantLines[i])
		}
	}
	t.Fatalf("%s has %d lines, the types make %d; run `go test ./configs -run TestReference -update`", referenceFile, len(gotLines), len(wantLines))
}

func TestEveryKeyIsExplained(t *testing.T) {
	for _, row := range rowsOf(reflect.TypeFor[Tree](), "") {
		if row.doc == "" || !strings.HasSuffix(row.doc, ".") {
			t.Errorf("%s: the explanation %q is no sentence", row.path, row.doc)
		}
	}
}

func reference() string {
	var b strings.Builder
	b.WriteString(`# Configuration

<!-- Made from the types by: go test ./configs -run TestReference -update. Do not edit. -->

One YAML file, ` + "`sallyport.yaml`" + `. Its top-level keys are the names of the folders that own them.

- Unknown keys are errors. ` + "`sallyport check`" + ` reports all errors at once, each with line and hint.
- A key that is left out has the default that its description names.
- ` + "`sallyport check --schema`" + ` prints the same as JSON Schema, for editors.
- ` + "`[]`" + ` stands for each element of a list, ` + "`NAME`" + ` for a name of your own.

| type | written as |
| --- | --- |
| duration | ` + "`300ms`, `90s`, `1h30m`, `90d`" + ` |
| size | ` + "`512KiB`, `10MiB`, `1GiB`" + `; a number alone is bytes |
| rate | ` + "`50/s`, `600/m`, `1000/h`" + ` |
| secret | where the secret is kept: ` + "`env:NAME` or `file:/absolute/path`" + `; never the secret itself |
| network | ` + "`10.0.0.0/8`" + ` |
`)
	tree := reflect.TypeFor[Tree]()
	for i := range tree.NumField() {
		f := tree.Field(i)
		key := yamlName(f)
		fmt.Fprintf(&b, "\n## %s\n\n%s\n", key, f.Tag.Get("doc"))
		rows := rowsOf(f.Type, key)
		if len(rows) == 0 {
			continue
		}
		b.WriteString("\n| key | type | meaning |\n| --- | --- | --- |\n")
		for _, row := range rows {
			fmt.Fprintf(&b, "| `%s` | %s | %s |\n", row.path, row.kind, cell(row.doc))
		}
	}
	return b.String()
}

// cell escapes what means something in a table's cell or to an HTML reader.
func cell(s string) string {
	return strings.NewReplacer("|", `\|`, "<", "&lt;", "**", `\*\*`, "_method", "`_method`").Replace(s)
}

type referenceRow struct{ path, kind, doc string }

// rowsOf lists the keys below a type in the order of the struct.
func rowsOf(t reflect.Type, path string) (rows []referenceRow) {
	if leaf(t) {
		return nil
	}
	switch t.Kind() {
	case reflect.Pointer:
		return rowsOf(t.Elem(), path)
	case reflect.Slice:
		return rowsOf(t.Elem(), path+"[]")
	case reflect.Map:
		return rowsOf(t.Elem(), path+".NAME")
	case reflect.Struct:
	default:
		return nil
	}
	for i := range t.NumField() {
		f := t.Field(i)
		if strings.Contains(f.Tag.Get("yaml"), ",inline") {
			rows = append(rows, rowsOf(f.Type, path)...)
			continue
		}
		name := yamlName(f)
		if name == "" || name == "-" {
			continue
		}
		at := name
		if path != "" {
			at = path + "." + name
		}
		rows = append(rows, referenceRow{at, kindName(f.Type), f.Tag.Get("doc")})
		rows = append(rows, rowsOf(f.Type, at)...)
	}
	return rows
}

func yamlName(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	return name
}

// leaf says that a type is written as one scalar.
func leaf(t reflect.Type) bool {
	_, ok := reflect.New(t).Interface().(encoding.TextUnmarshaler)
	return ok
}

func kindName(t reflect.Type) string {
	switch t {
	case reflect.TypeFor[units.Span]():
		return "duration"
	case reflect.TypeFor[units.Size]():
		return "size"
	case reflect.TypeFor[units.Rate]():
		return "rate"
	case reflect.TypeFor[secret.Ref]():
		return "secret"
	case reflect.TypeFor[netip.Prefix]():
		return "network"
	}
	switch t.Kind() {
	case reflect.Pointer:
		return kindName(t.Elem())
	case reflect.Slice:
		return "list of " + plural(kindName(t.Elem()))
	case reflect.Map:
		return "map of " + plural(kindName(t.Elem()))
	case reflect.Struct:
		return "object"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Int64:
		return "number"
	}
	return "text"
}

func plural(kind string) string {
	if strings.HasPrefix(kind, "list of ") {
		return "lists of " + strings.TrimPrefix(kind, "list of ")
	}
	return kind + "s"
}

// smallest is a file that lacks nothing; the examples of the documentation stand in it.
const smallest = `
edge: {tls: {local_ca: true}}
store: {master_key: "env:KEY"}
proxy: {sites: [{name: app, hosts: [app.example.com], upstreams: ["http://127.0.0.1:8080"]}]}
authn: {oidc: [{name: acme, tenant: acme, issuer: "https://login.example.com", client_id: c, roles: {default: viewer}}]}
directory: {tenants: [{id: acme}, {id: globex}]}
`

// Every YAML block of the documentation is whole top-level keys, and loads.
func TestTheDocumentationsExamplesLoad(t *testing.T) {
	blocks := 0
	for _, folder := range []string{"../docs/*/*.md", "../*.md"} {
		files, err := filepath.Glob(folder)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, block := range regexp.MustCompile("(?s)```yaml\n(.*?)```").FindAllStringSubmatch(string(text), -1) {
				blocks++
				loadExample(t, file, block[1])
			}
		}
	}
	if blocks < 8 {
		t.Errorf("only %d examples found: the test does not see them", blocks)
	}
}

func loadExample(t *testing.T, file, block string) {
	t.Helper()
	whole, part := map[string]any{}, map[string]any{}
	if err := errors.Join(yaml.Unmarshal([]byte(smallest), &whole), yaml.Unmarshal([]byte(block), &part)); err != nil {
		t.Errorf("%s: %v\n%s", file, err, block)
		return
	}
	for key, value := range part {
		section, ok := value.(map[string]any)
		if base, both := whole[key].(map[string]any); ok && both {
			maps.Copy(base, section) // one level down: edge without tls keeps the smallest's
			continue
		}
		whole[key] = value
	}
	text, err := yaml.Marshal(whole)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Parse(file, text); err != nil {
		t.Errorf("%s has an example that does not load:\n%s\n%v", file, block, err)
	}
}

func TestTheReferenceHasTheGatesInTheirOrder(t *testing.T) {
	const file = "../docs/reference/command-line.md"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	rest := string(text)
	for i, gate := range proxy.Corridor() {
		row := regexp.MustCompile(fmt.Sprintf(`(?m)^%d +%s +%s +%s +%s$`, i+1, gate.Name, gate.On, gate.When, regexp.QuoteMeta(gate.Why)))
		at := row.FindStringIndex(rest)
		if at == nil {
			t.Fatalf("%s has no line, or not in this place, for gate %d %s (%s; %s): %s", file, i+1, gate.Name, gate.On, gate.When, gate.Why)
		}
		rest = rest[at[1]:]
	}
}

func TestTheContainersConfigurationLoads(t *testing.T) {
	if _, err := Load("../deploy/docker/config/sallyport.yaml"); err != nil {
		t.Error(err)
	}
}
