package configs

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

func TestTheExamplesLoad(t *testing.T) {
	for name, text := range map[string][]byte{"example.yaml": Example, "crm.yaml": CRM} {
		loaded, err := Parse(name, text)
		if err != nil {
			t.Errorf("%s:\n%v", name, err)
			continue
		}
		if len(loaded.Hash) != 16 || len(loaded.Tree.Proxy.Sites) != 1 || loaded.Tree.Edge.HTTPS == "" {
			t.Errorf("%s: %+v", name, loaded)
		}
		for _, w := range loaded.Warnings {
			t.Errorf("%s warns: %v", name, w)
		}
	}
}

func TestTheExamplesFitTheSchema(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string][]byte{"example.yaml": Example, "crm.yaml": CRM} {
		var doc any
		if err := yaml.Load(text, &doc); err != nil {
			t.Fatal(err)
		}
		for _, problem := range validate(schema, doc, name) {
			t.Error(problem)
		}
	}
	for _, bad := range []string{"edge: {htps: x}", "edge: []", "proxy: {sites: {}}", "ratelimit: {per_user: fast}", "store: {master_key: plain}"} {
		var doc any
		if err := yaml.Load([]byte(bad), &doc); err != nil {
			t.Fatal(err)
		}
		if len(validate(schema, doc, bad)) == 0 {
			t.Errorf("the schema accepts %s", bad)
		}
	}
}

// validate knows the part of JSON Schema that Schema uses.
func validate(schema map[string]any, doc any, at string) (problems []string) {
	kind := map[string]bool{}
	switch t := schema["type"].(type) {
	case string:
		kind[t] = true
	case []any:
		for _, k := range t {
			kind[k.(string)] = true
		}
	}
	is := "string"
	switch v := doc.(type) {
	case nil:
		is = "null"
	case bool:
		is = "boolean"
	case int, int64:
		is = "integer"
	case []any:
		is = "array"
		for i, item := range v {
			if items, ok := schema["items"].(map[string]any); ok {
				problems = append(problems, validate(items, item, fmt.Sprintf("%s[%d]", at, i))...)
			}
		}
	case map[string]any:
		is = "object"
		properties, _ := schema["properties"].(map[string]any)
		for key, item := range v {
			sub, ok := properties[key].(map[string]any)
			if !ok {
				if sub, ok = schema["additionalProperties"].(map[string]any); !ok {
					problems = append(problems, at+": unknown key "+key)
					continue
				}
			}
			problems = append(problems, validate(sub, item, at+"."+key)...)
		}
	case string:
		if p, ok := schema["pattern"].(string); ok && !regexp.MustCompile(p).MatchString(v) {
			problems = append(problems, fmt.Sprintf("%s: %q does not match %s", at, v, p))
		}
	}
	if !kind[is] {
		problems = append(problems, fmt.Sprintf("%s: is %s, want %v", at, is, schema["type"]))
	}
	return problems
}

func TestEveryKeyHasADescription(t *testing.T) {
	var walk func(path string, s map[string]any)
	walk = func(path string, s map[string]any) {
		properties, _ := s["properties"].(map[string]any)
		for key, sub := range properties {
			sub := sub.(map[string]any)
			if d, _ := sub["description"].(string); d == "" {
				t.Errorf("%s.%s has no description", path, key)
			}
			walk(path+"."+key, sub)
			if items, ok := sub["items"].(map[string]any); ok {
				walk(path+"."+key, items)
			}
		}
	}
	var schema map[string]any
	if err := json.Unmarshal(Schema(), &schema); err != nil {
		t.Fatal(err)
	}
	walk("", schema)
}

// TestAllErrorsAtOnce changes the example in several places and expects every mistake with its
// line, column, line text and hint.
func TestAllErrorsAtOnce(t *testing.T) {
	text := string(Example)
	for old, broken := range map[string]string{
		`hosts: [crm.example.com]`:                `hosts: [crm.example.com, "https://x"]`,
		`  http: ":80" `:                          `  htpp: ":80" `,
		`path: "/api/accounts/{id}"`:              `path: "api/accounts"`,
		`per_user: 20/s`:                          `per_user: fast`,
		`websocket: off `:                         `websocket: maybe `,
		`client_secret: "env:ACME_CLIENT_SECRET"`: `client_secret: "hunter2"`,
		`      tenant: acme`:                      `      tenant: acmee`,
		"waf: {mode: enforce":                     "waf: {mode: [x]",
		"directory:\n":                            "directory:\n  tenants: []\ndirectory:\n",
	} {
		if !strings.Contains(text, old) {
			t.Fatalf("the example has no %q", old)
		}
		text = strings.Replace(text, old, broken, 1)
	}
	_, err := Parse("sallyport.yaml", []byte(text))
	findings, ok := err.(Findings)
	if !ok {
		t.Fatalf("got %v", err)
	}
	lines := strings.Split(text, "\n")
	for _, want := range []struct{ path, what, hint string }{
		{"proxy.sites[0].hosts[1]", "not a host name", "crm.example.com"},
		{"edge.htpp", `unknown key "htpp"`, "did you mean http"},
		{"proxy.sites[0].resources[1].path", "begins with '/'", ""},
		{"ratelimit.per_user", "not a rate", ""},
		{"proxy.sites[0].websocket", `"maybe" is not a choice`, "opaque"},
		{"authn.oidc[0].client_secret", "not a reference to a secret", ""},
		{"authn.oidc[0].tenant", `no tenant "acmee"`, "directory.tenants"},
		{"waf.mode", "this is a list", ""},
		{"directory", "stands on line", ""},
	} {
		i := slices.IndexFunc(findings, func(f Finding) bool { return f.Path == want.path && strings.Contains(f.What, want.what) })
		if i < 0 {
			t.Errorf("no finding at %s about %q in\n%v", want.path, want.what, err)
			continue
		}
		f := findings[i]
		if f.Line < 1 || f.Column < 1 || f.Snippet != lines[f.Line-1] || !strings.Contains(f.Hint, want.hint) || f.Warning {
			t.Errorf("%s: %+v", want.path, f)
		}
		if last := want.path[strings.LastIndexAny(want.path, ".")+1:]; !strings.Contains(f.Snippet, strings.TrimRight(strings.SplitN(last, "[", 2)[0], "]")) {
			t.Errorf("%s is reported at the line %q", want.path, f.Snippet)
		}
	}
	if strings.Contains(err.Error(), `"hunter2" is`) {
		t.Error("an error repeats what may be a secret")
	}
	if !slices.IsSortedFunc(findings, func(a, b Finding) int { return a.Line - b.Line }) {
		t.Error("the findings are not in the file's order")
	}
}

func TestWarnings(t *testing.T) {
	text := strings.NewReplacer(
		`https://10.0.0.5:8443`, `http://10.0.0.5:8080`,
		`127.0.0.1:9901`, `0.0.0.0:9901`,
		`/etc/sallyport/master.key`, `/var/lib/sallyport/master.key`,
		`sqlite:/var/lib/sallyport/sallyport.db`, `sqlite:/var/lib/sallyport/sallyport.db`,
	).Replace(string(Example))
	loaded, err := Parse("x.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"proxy.sites[0].upstreams[0]", "edge.ops", "store.master_key"} {
		if !slices.ContainsFunc(loaded.Warnings, func(f Finding) bool { return f.Path == path && f.Warning && f.Line > 1 }) {
			t.Errorf("no warning at %s: %v", path, loaded.Warnings)
		}
	}
	postgres := strings.Replace(string(Example), `"sqlite:/var/lib/sallyport/sallyport.db"`, `"postgres://sallyport@db.example.com/sallyport?sslmode=disable"`, 1)
	loaded, err = Parse("x.yaml", []byte(postgres))
	if err != nil {
		if !strings.Contains(err.Error(), "store.database") {
			t.Fatal(err)
		}
	} else if !slices.ContainsFunc(loaded.Warnings, func(f Finding) bool { return f.Path == "store.database" }) {
		t.Errorf("a cleartext database is not mentioned: %v", loaded.Warnings)
	}
}

func TestWhatIsNoFileIsRefused(t *testing.T) {
	for name, text := range map[string]string{
		"empty": "", "a list": "- a\n- b\n", "text": "hello", "broken": "edge: {https: \":443\"\nstore:\n", "tabs": "edge:\n\thttps: x\n",
		"two documents": "environment: a\n---\nenvironment: b\n", "an alias": "edge: &e {https: x}\nstore: *e\n", "a merge": "edge:\n  <<: {https: x}\n",
		"a bomb": "a: &a [x,x]\nb: &b [*a,*a]\nc: [*b,*b]\n", "deep": strings.Repeat("[", 5000), "binary": "\x00\x01\x02",
	} {
		_, err := Parse("x.yaml", []byte(text))
		findings, ok := err.(Findings)
		if !ok || len(findings) == 0 || findings[0].Line < 1 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Parse("x.yaml", make([]byte, maxFile+1)); err == nil {
		t.Error("a huge file is accepted")
	}
	if _, err := Load(filepath.Join(t.TempDir(), "missing.yaml")); !os.IsNotExist(unwrap(err)) {
		t.Errorf("a missing file: %v", err)
	}
}

func unwrap(err error) error {
	for {
		u, ok := err.(interface{ Unwrap() error })
		if !ok {
			return err
		}
		if _, is := err.(*os.PathError); is {
			return err
		}
		err = u.Unwrap()
	}
}

func TestFindingShowsTheLineAndACaret(t *testing.T) {
	f := Finding{File: "s.yaml", Line: 3, Column: 5, Path: "edge.x", What: "unknown key", Hint: "did you mean y?", Snippet: "    x: 1"}
	want := "s.yaml:3:5: error: unknown key (edge.x)\n        x: 1\n        ^\n    hint: did you mean y?"
	if got := f.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Example)
	f.Add(CRM)
	f.Add([]byte("proxy: {sites: [{name: x, tenant: {upstreams: {a: [b]}}}]}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if loaded, err := Parse("x.yaml", text); err == nil && loaded.Hash == "" {
			t.Error("loaded without a hash")
		}
	})
}
