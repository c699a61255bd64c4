package archtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	link    = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	heading = regexp.MustCompile(`(?m)^#+ (.+)$`)
)

// Links in the documentation lead to files that are there, and to headings in them.
func TestLinksInTheDocumentationLeadSomewhere(t *testing.T) {
	checked := 0
	for _, pattern := range []string{"../*.md", "../docs/*.md", "../docs/*/*.md", "../deploy/*.md"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			for _, m := range link.FindAllStringSubmatch(string(text), -1) {
				if strings.Contains(m[1], "://") {
					continue
				}
				checked++
				path, anchor, _ := strings.Cut(m[1], "#")
				target := filepath.Join(filepath.Dir(file), path)
				if path == "" {
					target = file
				}
				if _, err := os.Stat(target); err != nil {
					t.Errorf("%s links to %s, which is not there", file, m[1])
				} else if anchor != "" && !hasHeading(t, target, anchor) {
					t.Errorf("%s links to %s, but %s has no such heading", file, m[1], target)
				}
			}
		}
	}
	if checked < 40 {
		t.Errorf("only %d links found: the test does not see them", checked)
	}
}

// hasHeading knows how GitHub makes an anchor of a heading.
func hasHeading(t *testing.T, file, anchor string) bool {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range heading.FindAllStringSubmatch(string(text), -1) {
		made := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case strings.ContainsRune("`,.:;()'\"?!/&", r):
				return -1
			}
			return r
		}, strings.ToLower(m[1]))
		if made == anchor {
			return true
		}
	}
	return false
}
