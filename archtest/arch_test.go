package archtest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sallyport/sallyport/"

// source is one Go file of the root module.
type source struct {
	name, pkg string
	test      bool
	text      string
	file      *ast.File
}

// sources reads every Go file of the root module; bench and e2e are modules of their own.
func sources(t *testing.T) []source {
	t.Helper()
	var all []source
	fset := token.NewFileSet()
	err := filepath.WalkDir("..", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel := strings.TrimPrefix(filepath.ToSlash(path), "../")
		if d.IsDir() {
			if d.Name() == "testdata" || d.Name() == "node_modules" || strings.HasPrefix(d.Name(), ".") && rel != ".." {
				return filepath.SkipDir
			}
			if _, err := os.Stat(filepath.Join(path, "go.mod")); err == nil && path != ".." {
				return filepath.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(rel, ".go") {
			return nil
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(fset, path, text, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		all = append(all, source{rel, filepath.ToSlash(filepath.Dir(rel)), strings.HasSuffix(rel, "_test.go"), string(text), file})
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) < 20 {
		t.Fatalf("only %d files found: the test does not see the house", len(all))
	}
	return all
}

func TestEveryPackageIsOnTheFloorPlan(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range sources(t) {
		seen[s.pkg] = true
	}
	known := map[string]bool{}
	for _, floor := range []map[string][]string{ground, rooms, upstairs} {
		for pkg := range floor {
			known[pkg] = true
			if !seen[pkg] {
				t.Errorf("the floor plan has a package %s that is not there", pkg)
			}
		}
	}
	for pkg := range seen {
		if !known[pkg] {
			t.Errorf("package %s is not on the floor plan: add it to doors.go, and say on which floor", pkg)
		}
	}
}

func TestNoDoorsBetweenRooms(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			to, ours := strings.CutPrefix(strings.Trim(spec.Path.Value, `"`), module)
			if ours && !mayImport(s.pkg, to) && !(s.test && slices.Contains(testDoors[s.pkg], to)) {
				t.Errorf("%s imports %s: there is no door between %s and %s", s.name, to, s.pkg, to)
			}
		}
	}
}

func mayImport(from, to string) bool {
	if from == to { // an external test package of its own
		return true
	}
	if allowed, ok := ground[from]; ok {
		return slices.Contains(allowed, to)
	}
	if _, ok := ground[to]; ok {
		return true
	}
	allowed := append(slices.Clone(rooms[from]), upstairs[from]...)
	return slices.Contains(allowed, to) || slices.Contains(allowed, "*")
}

func TestEveryLibraryLivesInItsHome(t *testing.T) {
	for _, s := range sources(t) {
		for _, spec := range s.file.Imports {
			path := strings.Trim(spec.Path.Value, `"`)
			if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") || strings.HasPrefix(path, module) {
				continue // the standard library, or ours
			}
			home, found := homeOf(path)
			switch {
			case !found:
				t.Errorf("%s imports %s, which has no home: add it to homes.go, and say why in the commit", s.name, path)
			case !slices.Contains(home, s.pkg) && !(slices.Contains(home, "*") && (s.test || path == "golang.org/x/sync/errgroup" || path == "golang.org/x/sync/singleflight")):
				t.Errorf("%s imports %s, which lives in %v", s.name, path, home)
			}
			if _, low := ground[s.pkg]; low {
				t.Errorf("%s imports %s: the ground floor has the standard library alone", s.name, path)
			}
		}
	}
}

func homeOf(path string) (home []string, found bool) {
	longest := ""
	for prefix, h := range homes {
		if (path == prefix || strings.HasPrefix(path, prefix+"/")) && len(prefix) > len(longest) {
			longest, home, found = prefix, h, true
		}
	}
	return home, found
}

func TestWhatMayStandInOneRoomAlone(t *testing.T) {
	for _, s := range sources(t) {
		if s.test || s.pkg == "archtest" {
			continue
		}
		for text, where := range onlyIn {
			for i, line := range strings.Split(s.text, "\n") {
				code, _, _ := strings.Cut(line, "//")
				if strings.Contains(code, text) && !slices.Contains(where, s.pkg) {
					t.Errorf("%s:%d: %q may stand in %v alone", s.name, i+1, text, where)
				}
			}
		}
	}
}

func TestNoInitAndNoFilesNamedForNothing(t *testing.T) {
	for _, s := range sources(t) {
		for _, decl := range s.file.Decls {
			if f, ok := decl.(*ast.FuncDecl); ok && f.Recv == nil && f.Name.Name == "init" {
				t.Errorf("%s has an init function", s.name)
			}
		}
		switch base := strings.TrimSuffix(filepath.Base(s.name), ".go"); base {
		case "utils", "util", "helpers", "helper", "common", "types", "middleware", "misc":
			t.Errorf("%s is named for nothing", s.name)
		}
	}
}

func TestEveryRoomSaysWhatItIs(t *testing.T) {
	for _, floor := range []map[string][]string{ground, rooms} {
		for pkg := range floor {
			if _, err := os.Stat(filepath.Join("..", filepath.FromSlash(pkg), "doc.go")); err != nil {
				t.Errorf("%s has no doc.go", pkg)
			}
		}
	}
}
