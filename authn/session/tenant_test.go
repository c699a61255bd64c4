package session

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// exempt are the tables and statements that need no tenant, each for a reason that
// stands where it is declared.
var exempt = []string{"authn_keys", "sqlEndedOfAllTenants", "sqlPruneOfAllTenants", "sqlKeys", "sqlAddKey", "sqlDropKey"}

func TestEveryTableHasATenant(t *testing.T) {
	files, err := fs.Glob(Migrations(), "*.sql")
	if err != nil || len(files) == 0 {
		t.Fatalf("no migrations: %v", err)
	}
	tables := 0
	for _, name := range files {
		text, err := fs.ReadFile(Migrations(), name)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`(?s)CREATE TABLE (\w+) \((.*?)\n\);`).FindAllStringSubmatch(string(text), -1) {
			tables++
			if !regexp.MustCompile(`tenant_id\s+TEXT\s+NOT NULL`).MatchString(m[2]) && !slices.Contains(exempt, m[1]) {
				t.Errorf("%s: the table %s has no tenant_id", name, m[1])
			}
		}
		if got := strings.Count(string(text), "CREATE TABLE"); got > tables {
			t.Errorf("%s: %d tables are made, and the test understands %d", name, got, tables)
		}
	}
}

func TestEveryStatementNamesTheTenant(t *testing.T) {
	fset := token.NewFileSet()
	statements := 0
	for _, name := range []string{"sql.go", "keys.go"} {
		file, err := parser.ParseFile(fset, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		named := map[*ast.BasicLit]string{}
		ast.Inspect(file, func(n ast.Node) bool {
			if spec, ok := n.(*ast.ValueSpec); ok && len(spec.Values) == 1 {
				if lit, ok := spec.Values[0].(*ast.BasicLit); ok {
					named[lit] = spec.Names[0].Name
				}
			}
			return true
		})
		ast.Inspect(file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text, err := strconv.Unquote(lit.Value)
			if err != nil || !regexp.MustCompile(`^(SELECT|INSERT|UPDATE|DELETE) `).MatchString(text) {
				return true
			}
			statements++
			if !slices.Contains(exempt, named[lit]) && !regexp.MustCompile(`tenant_id( = \$1|, )`).MatchString(text) {
				t.Errorf("%s: the statement %s does not name the tenant first: %s", name, named[lit], text)
			}
			return true
		})
	}
	if statements < 10 {
		t.Errorf("only %d statements found: the test does not see them", statements)
	}
}
