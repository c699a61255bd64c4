package policy

import (
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"slices"
	"strings"

	"github.com/open-policy-agent/opa/v1/ast"
	"github.com/open-policy-agent/opa/v1/rego"
	"github.com/open-policy-agent/opa/v1/version"
)

// entrypoint is the document that decides.
const entrypoint = "data.sallyport.authz.decision"

//go:embed rego/authz.rego rego/permissions.rego
var builtin embed.FS

// builtinModules gives the embedded policy by file name.
func builtinModules() (map[string]string, error) {
	names, err := fs.Glob(builtin, "rego/*.rego")
	if err != nil {
		return nil, err
	}
	modules := make(map[string]string, len(names))
	for _, name := range names {
		text, err := builtin.ReadFile(name)
		if err != nil {
			return nil, err
		}
		modules[name] = string(text)
	}
	return modules, nil
}

// compile prepares the query for the entrypoint. Modules are compiled strictly, and an
// error inside a built-in function is an error of the evaluation: by default it would
// be "undefined", and "not blocked" would be true because the address could not be
// parsed.
func compile(ctx context.Context, modules map[string]string) (rego.PreparedEvalQuery, error) {
	capabilities := safeCapabilities()
	parsed := make(map[string]*ast.Module, len(modules))
	for name, text := range modules {
		module, err := ast.ParseModuleWithOpts(name, text, ast.ParserOptions{
			ProcessAnnotation: true, RegoVersion: ast.RegoV1, Capabilities: capabilities,
		})
		if err != nil {
			return rego.PreparedEvalQuery{}, err
		}
		parsed[name] = module
	}
	compiler := ast.NewCompiler().WithStrict(true).WithCapabilities(capabilities)
	if compiler.Compile(parsed); compiler.Failed() {
		return rego.PreparedEvalQuery{}, compiler.Errors
	}
	return rego.New(
		rego.Query(entrypoint),
		rego.Compiler(compiler),
		rego.StrictBuiltinErrors(true),
	).PrepareForEval(ctx)
}

// clockBuiltins look at the clock without being marked as non-deterministic (OPA 1.22.2).
var clockBuiltins = []string{
	"crypto.x509.parse_and_verify_certificates",
	"crypto.x509.parse_and_verify_certificates_with_options",
}

// safeCapabilities lists the built-in functions that give the same answer whenever they
// are asked the same: no network, no clock, no randomness, no look at the process. A
// module that uses another one does not compile.
func safeCapabilities() *ast.Capabilities {
	capabilities := ast.CapabilitiesForThisVersion()
	capabilities.Builtins = slices.DeleteFunc(capabilities.Builtins, func(b *ast.Builtin) bool {
		return b.Nondeterministic || slices.Contains(clockBuiltins, b.Name)
	})
	capabilities.AllowNet = []string{} // nil would mean: every host
	return capabilities
}

// revision names what decides: the engine, the modules and the areas.
func revision(modules, areas map[string]string) string {
	hash := sha256.New()
	write := func(text string) { fmt.Fprintf(hash, "%d:", len(text)); _, _ = io.WriteString(hash, text) }
	write(version.Version)
	for _, set := range []map[string]string{modules, areas} {
		fmt.Fprintf(hash, "%d;", len(set))
		for _, key := range slices.SortedFunc(maps.Keys(set), strings.Compare) {
			write(key)
			write(set[key])
		}
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}
