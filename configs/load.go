package configs

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds the file, in bytes.
const maxFile = 4 << 20

// Loaded is a file that can be used.
type Loaded struct {
	// Tree has defaults filled in, for every room but proxy's sites.
	Tree Tree
	// Hash names the configuration: the first 16 hexadecimal digits of the SHA-256 of the
	// file's bytes.
	Hash string
	// Warnings do not keep it from being used.
	Warnings Findings
}

// Load reads and checks a file. When it cannot be used, the error is Findings with every
// problem (and no warning), or tells why the file cannot be read.
func Load(path string) (*Loaded, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(path, text)
}

// Parse checks the text of a file; name is what findings call it.
func Parse(name string, text []byte) (*Loaded, error) {
	if len(text) > maxFile {
		return nil, fmt.Errorf("read configuration: %s is larger than %d bytes", name, maxFile)
	}
	r := &reader{file: name, lines: strings.Split(string(text), "\n"), nodes: map[string]place{}}
	root, err := r.document(text)
	if err != nil {
		return nil, err
	}
	var tree Tree
	r.decode(root, &tree)
	// What was decoded is checked even when other parts were not, so that all problems show
	// at once; rooms see zero values there, and what they say of those is dropped.
	broken := r.brokenPaths()
	tree.check(r.unlessBroken(broken, r.problem), r.unlessBroken(broken, r.warn))
	r.findings.sort()
	if problems := r.findings.Problems(); len(problems) > 0 {
		return nil, problems
	}
	return &Loaded{Tree: tree.withDefaults(), Hash: Hash(text), Warnings: r.findings.Warnings()}, nil
}

// Hash names a configuration by the text of its file.
func Hash(text []byte) string {
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:8])
}

// place is where a path stands in the file.
type place struct{ line, column int }

// reader walks one document and collects findings.
type reader struct {
	file     string
	lines    []string
	nodes    map[string]place
	findings Findings
}

// document parses the text into its one mapping.
func (r *reader) document(text []byte) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(strings.NewReader(string(text)))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	var doc yaml.Node
	switch err := loader.Load(&doc); {
	case errors.Is(err, io.EOF):
		r.at(place{1, 1}, "", "the file is empty", "`sallyport init` writes one", false)
		return nil, r.findings
	case err != nil:
		r.syntax(err)
		return nil, r.findings
	}
	var second yaml.Node
	if err := loader.Load(&second); err == nil {
		r.at(place{second.Line, second.Column}, "", "the file holds a second document", "keep one", false)
		return nil, r.findings
	}
	root := &doc
	if root.Kind == yaml.DocumentNode && len(root.Content) > 0 {
		root = root.Content[0]
	}
	if root.Kind != yaml.MappingNode {
		r.at(place{max(root.Line, 1), max(root.Column, 1)}, "", "the file is not a mapping of keys to values", "it begins with keys such as edge:, store: and proxy:", false)
		return nil, r.findings
	}
	return root, nil
}

// syntax turns the parser's error into a finding at its place.
func (r *reader) syntax(err error) {
	where, what := place{1, 1}, err.Error()
	var load *yaml.LoadError
	if errors.As(err, &load) {
		where, what = place{max(load.Mark.Line, 1), max(load.Mark.Column, 1)}, load.Message
	}
	r.at(where, "", "not YAML: "+what, "look at indentation, quotes and colons around this line", false)
}

func (r *reader) problem(path, what, hint string) { r.at(r.find(path), path, what, hint, false) }
func (r *reader) warn(path, what, hint string)    { r.at(r.find(path), path, what, hint, true) }

func (r *reader) at(where place, path, what, hint string, warning bool) {
	f := Finding{File: r.file, Line: where.line, Column: where.column, Path: path, What: what, Hint: hint, Warning: warning}
	if where.line >= 1 && where.line <= len(r.lines) {
		f.Snippet = strings.TrimRight(r.lines[where.line-1], "\r")
		if len(f.Snippet) > maxSnippet {
			f.Snippet = f.Snippet[:maxSnippet]
		}
	}
	r.findings = append(r.findings, f)
}

// find gives the place of a path, or of the nearest part of it that the file has: what is
// missing is reported where it would stand.
func (r *reader) find(path string) place {
	for path != "" {
		if where, ok := r.nodes[path]; ok {
			return where
		}
		cut := strings.LastIndexAny(path, ".[")
		if cut < 0 {
			break
		}
		path = path[:cut]
	}
	return place{1, 1}
}

// brokenPaths are the paths whose values did not decode.
func (r *reader) brokenPaths() map[string]bool {
	broken := map[string]bool{}
	for _, f := range r.findings {
		broken[f.Path] = true
	}
	return broken
}

// unlessBroken drops what a check says about a value that did not decode: it saw a zero.
func (r *reader) unlessBroken(broken map[string]bool, report func(path, what, hint string)) func(path, what, hint string) {
	return func(path, what, hint string) {
		for b := range broken {
			if b != "" && (path == b || strings.HasPrefix(path, b+".") || strings.HasPrefix(path, b+"[")) {
				return
			}
		}
		report(path, what, hint)
	}
}
