package policy

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/cover"
	"github.com/open-policy-agent/opa/v1/format"
	"github.com/open-policy-agent/opa/v1/storage"
	"github.com/open-policy-agent/opa/v1/storage/inmem"
	"github.com/open-policy-agent/opa/v1/tester"
)

// regoFiles reads the policy and its tests from the source tree.
func regoFiles(t *testing.T) map[string]string {
	t.Helper()
	names, err := filepath.Glob("rego/*.rego")
	if err != nil || len(names) == 0 {
		t.Fatalf("no Rego files: %v", err)
	}
	files := map[string]string{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.ToSlash(name)] = string(text)
	}
	return files
}

func TestRegoTestsPassAndCoverEveryLineOfTheBuiltInPolicy(t *testing.T) {
	modules := map[string]*ast.Module{}
	for name, text := range regoFiles(t) {
		module, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{ProcessAnnotation: true, RegoVersion: ast.RegoV1})
		if err != nil {
			t.Fatal(err)
		}
		modules[name] = module
	}
	coverage := cover.New()
	store := inmem.New()
	var ran int
	err := storage.Txn(t.Context(), store, storage.TransactionParams{}, func(txn storage.Transaction) error {
		results, err := tester.NewRunner().
			SetStore(store).
			SetModules(modules).
			SetCompiler(ast.NewCompiler().WithCapabilities(safeCapabilities())).
			RaiseBuiltinErrors(true).
			SetCoverageQueryTracer(coverage).
			RunTests(context.WithoutCancel(t.Context()), txn)
		if err != nil {
			return err
		}
		for result := range results {
			ran++
			if !result.Pass() {
				t.Errorf("%v: %s fails (error: %v)", result.Location, result.Name, result.Error)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if written := strings.Count(regoFiles(t)["rego/authz_test.rego"], "\ntest_"); ran != written {
		t.Errorf("%d Rego tests ran, %d are written", ran, written)
	}
	report := coverage.Report(modules)
	for name, file := range report.Files {
		for _, gap := range file.NotCovered {
			t.Errorf("%s:%d-%d is covered by no Rego test", name, gap.Start.Row, gap.End.Row)
		}
	}
	if len(report.Files["rego/authz.rego"].Covered) == 0 {
		t.Error("the coverage report does not know rego/authz.rego")
	}
}

func TestRegoIsFormattedAndEmbeddedAsItStandsInTheTree(t *testing.T) {
	embedded, err := builtinModules()
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range regoFiles(t) {
		want, err := format.SourceWithOpts(name, []byte(text), format.Opts{RegoVersion: ast.RegoV1})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if string(want) != text {
			t.Errorf("%s is not formatted; opa fmt gives:\n%s", name, want)
		}
		inBinary, isEmbedded := embedded[name]
		if isTest := strings.HasSuffix(name, "_test.rego"); isTest == isEmbedded {
			t.Errorf("%s: test %v, embedded %v; want the policy alone in the binary", name, isTest, isEmbedded)
		} else if isEmbedded && inBinary != text {
			t.Errorf("%s differs from what is embedded", name)
		}
	}
}

func TestModulesCannotReachOutOfThePolicy(t *testing.T) {
	for _, call := range []string{
		`http.send({"method": "get", "url": "https://example.com"})`,
		`net.lookup_ip_addr("example.com")`,
		`time.now_ns()`,
		`rand.intn("x", 10)`,
		`uuid.rfc4122("x")`,
		`opa.runtime()`,
		`crypto.x509.parse_and_verify_certificates("x")`,
		`io.jwt.decode_verify("x", {})`,
	} {
		_, err := build(t.Context(), Config{}, Deps{}, map[string]string{"m.rego": "package sallyport.authz\n\ndecision := " + call + "\n"})
		name := call[:strings.IndexByte(call, '(')]
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%s: error %v, want one that names it", name, err)
		}
	}
	if allow := safeCapabilities().AllowNet; allow == nil || len(allow) != 0 {
		t.Errorf("hosts that a policy may reach: %v; nil would be all of them", allow)
	}
	if !slices.ContainsFunc(safeCapabilities().Builtins, func(b *ast.Builtin) bool { return b.Name == "net.cidr_contains" }) {
		t.Error("harmless functions are missing as well")
	}
}
