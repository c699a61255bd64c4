package configs

import (
	"fmt"
	"sort"
	"strings"
)

// Finding is one problem or warning about the file.
type Finding struct {
	File    string `json:"file"`
	Line    int    `json:"line"`   // from 1
	Column  int    `json:"column"` // from 1, in bytes
	Path    string `json:"path"`   // such as proxy.sites[0].hosts[1]
	What    string `json:"what"`
	Hint    string `json:"hint,omitempty"`
	Snippet string `json:"snippet,omitempty"` // the line, without its end
	Warning bool   `json:"warning"`
}

// maxSnippet bounds how much of a line is shown, in bytes.
const maxSnippet = 160

// String shows the finding as a compiler would, with the line and a caret.
func (f Finding) String() string {
	kind := "error"
	if f.Warning {
		kind = "warning"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%s:%d:%d: %s: %s", f.File, f.Line, f.Column, kind, f.What)
	if f.Path != "" {
		fmt.Fprintf(&b, " (%s)", f.Path)
	}
	if f.Snippet != "" {
		fmt.Fprintf(&b, "\n    %s\n    %s^", f.Snippet, indentTo(f.Snippet, f.Column-1))
	}
	if f.Hint != "" {
		fmt.Fprintf(&b, "\n    hint: %s", f.Hint)
	}
	return b.String()
}

func indentTo(line string, column int) string {
	if column > len(line) {
		column = len(line)
	}
	return strings.Map(func(r rune) rune {
		if r == '\t' {
			return r
		}
		return ' '
	}, line[:max(column, 0)])
}

// Findings is everything that was found, in the order of the file.
type Findings []Finding

// Problems are the findings that keep the file from being used.
func (fs Findings) Problems() Findings { return fs.filter(false) }

// Warnings are the findings that do not.
func (fs Findings) Warnings() Findings { return fs.filter(true) }

func (fs Findings) filter(warning bool) (kept Findings) {
	for _, f := range fs {
		if f.Warning == warning {
			kept = append(kept, f)
		}
	}
	return kept
}

// Error implements error: every problem, one below the other.
func (fs Findings) Error() string {
	var parts []string
	for _, f := range fs {
		parts = append(parts, f.String())
	}
	return strings.Join(parts, "\n")
}

func (fs Findings) sort() {
	sort.SliceStable(fs, func(i, j int) bool {
		a, b := fs[i], fs[j]
		if a.Line != b.Line {
			return a.Line < b.Line
		}
		if a.Column != b.Column {
			return a.Column < b.Column
		}
		return a.Path+a.What < b.Path+b.What
	})
}
