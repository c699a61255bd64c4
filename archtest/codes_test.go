package archtest

import (
	"go/ast"
	"go/token"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const codesFile = "../docs/reference/reason-codes.md"

// codes finds every reason code of a refusal, and the statuses that stand with it in the
// code where they stand as constants.
func codes(t *testing.T) map[string][]int {
	t.Helper()
	found := map[string][]int{}
	note := func(code string, status ...int) {
		for _, s := range status {
			if !slices.Contains(found[code], s) {
				found[code] = append(found[code], s)
			}
		}
		if _, ok := found[code]; !ok {
			found[code] = nil
		}
	}
	all := slices.DeleteFunc(sources(t), func(s source) bool { return s.test || s.pkg == "archtest" || s.pkg == "demo" })
	makers := makersOf(all)
	for _, s := range all {
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.CallExpr:
				m, ok := makers[s.pkg+"."+calledName(n)]
				if !ok {
					m, ok = shared[calledName(n)]
				}
				if !ok || len(n.Args) <= m.code {
					break
				}
				if code, ok := textOf(n.Args[m.code]); ok {
					note(code, m.statuses(n.Args)...)
				}
			case *ast.CompositeLit:
				if name := strings.TrimPrefix(nameOf(n.Type), "access."); name != "Refusal" {
					break
				}
				code, status := "", []int(nil)
				for _, e := range n.Elts {
					kv, ok := e.(*ast.KeyValueExpr)
					if !ok {
						continue
					}
					switch nameOf(kv.Key) {
					case "Code":
						code, _ = textOf(kv.Value)
					case "Status":
						status = statusOf(kv.Value)
					}
				}
				if code != "" {
					note(code, status...)
				}
			}
			return true
		})
	}
	if len(found) < 40 {
		t.Fatalf("only %d codes found: the test does not see them", len(found))
	}
	return found
}

// maker is a function that makes refusals: which argument is the code, and which the status.
type maker struct{ code, status, fixed int }

func (m maker) statuses(args []ast.Expr) []int {
	if m.fixed != 0 {
		return []int{m.fixed}
	}
	if m.status >= 0 && m.status < len(args) {
		return statusOf(args[m.status])
	}
	return nil
}

// shared are access's own makers.
var shared = map[string]maker{"Refuse": {code: 1, status: 0}, "Unavailable": {code: 0, status: -1, fixed: http.StatusServiceUnavailable}}

// makersOf finds the functions that hand a parameter on to access.Refuse as its code, by
// package and name.
func makersOf(all []source) map[string]maker {
	makers := map[string]maker{}
	for _, s := range all {
		for _, decl := range s.file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil || s.pkg == "access" {
				continue
			}
			params := paramsOf(f)
			ast.Inspect(f.Body, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok || calledName(call) != "Refuse" || len(call.Args) < 2 {
					return true
				}
				if code := slices.Index(params, nameOf(call.Args[1])); code >= 0 {
					makers[s.pkg+"."+f.Name.Name] = maker{code: code, status: slices.Index(params, nameOf(call.Args[0]))}
				}
				return true
			})
		}
	}
	return makers
}

func paramsOf(f *ast.FuncDecl) (names []string) {
	for _, field := range f.Type.Params.List {
		for _, name := range field.Names {
			names = append(names, name.Name)
		}
	}
	return names
}

func calledName(call *ast.CallExpr) string {
	name := nameOf(call.Fun)
	return name[strings.LastIndex(name, ".")+1:]
}

func nameOf(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return nameOf(e.X) + "." + e.Sel.Name
	}
	return ""
}

func textOf(e ast.Expr) (string, bool) {
	lit, ok := e.(*ast.BasicLit)
	if !ok || lit.Kind != token.STRING {
		return "", false
	}
	text, err := strconv.Unquote(lit.Value)
	return text, err == nil
}

// statusOf reads 403 or http.StatusForbidden.
func statusOf(e ast.Expr) []int {
	if lit, ok := e.(*ast.BasicLit); ok {
		n, err := strconv.Atoi(lit.Value)
		if err == nil {
			return []int{n}
		}
	}
	name, ok := strings.CutPrefix(nameOf(e), "http.Status")
	for status := 400; ok && status < 600; status++ {
		if strings.NewReplacer(" ", "", "-", "").Replace(http.StatusText(status)) == name {
			return []int{status}
		}
	}
	return nil
}

var codeRow = regexp.MustCompile("^\\| `([a-z_]+)` \\| ([0-9, ]+) \\|")

func TestEveryReasonCodeIsDocumented(t *testing.T) {
	text, err := os.ReadFile(codesFile)
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if m := codeRow.FindStringSubmatch(line); m != nil {
			if _, twice := documented[m[1]]; twice {
				t.Errorf("%s explains %s twice", codesFile, m[1])
			}
			documented[m[1]] = m[2]
		}
	}
	found := codes(t)
	for code, statuses := range found {
		said, ok := documented[code]
		if !ok {
			t.Errorf("%s does not explain the reason code %s (%v)", codesFile, code, statuses)
			continue
		}
		for _, status := range statuses {
			if !strings.Contains(said, strconv.Itoa(status)) {
				t.Errorf("%s says %s for %s, the code says %d", codesFile, said, code, status)
			}
		}
	}
	for code := range documented {
		if _, ok := found[code]; !ok {
			t.Errorf("%s explains %s, which no code makes", codesFile, code)
		}
	}
}
