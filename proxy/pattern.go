package proxy

import (
	"fmt"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// pattern is a compiled path pattern: literal elements, "*" or "{name}" for one
// element, and "**" at the end for any number of them. It is matched on the decoded path
// without any regular expression, in one pass.
type pattern struct {
	text     string
	elements []string // "*" and "{name}" stand for one element
	rest     bool     // ends in "**"
	slash    bool     // ends in "/": then the path must as well
}

const maxPatternElements = 32

// parsePattern compiles a pattern.
func parsePattern(text string) (pattern, error) {
	if !strings.HasPrefix(text, "/") {
		return pattern{}, fmt.Errorf("a path pattern begins with '/'")
	}
	p := pattern{text: text}
	body := text[1:]
	if body == "" {
		p.slash = true
		return p, nil
	}
	if trimmed, ok := strings.CutSuffix(body, "/"); ok {
		p.slash, body = true, trimmed
	}
	elements := strings.Split(body, "/")
	if len(elements) > maxPatternElements {
		return pattern{}, fmt.Errorf("a path pattern has at most %d elements", maxPatternElements)
	}
	seen := map[string]bool{}
	for i, e := range elements {
		switch {
		case e == "":
			return pattern{}, fmt.Errorf("a path pattern has no empty element")
		case e == "**":
			if i != len(elements)-1 || p.slash {
				return pattern{}, fmt.Errorf("'**' stands at the end of a path pattern only")
			}
			p.rest = true
			continue
		case e == "*":
		case strings.HasPrefix(e, "{") && strings.HasSuffix(e, "}"):
			name := e[1 : len(e)-1]
			if name == "" || strings.ContainsAny(name, "{}*") || seen[name] {
				return pattern{}, fmt.Errorf("placeholder %s needs a name of its own", e)
			}
			seen[name] = true
		case strings.ContainsAny(e, "{}*"):
			return pattern{}, fmt.Errorf("element %q mixes text with a placeholder; a placeholder is a whole element", e)
		}
		p.elements = append(p.elements, e)
	}
	return p, nil
}

// match gives the values of the placeholders when the pattern fits the path.
func (p *pattern) match(path string) (params []access.Pair, ok bool) {
	rest := path[1:]
	for i, want := range p.elements {
		if rest == "" {
			return nil, false
		}
		element, after, more := strings.Cut(rest, "/")
		if element == "" {
			return nil, false
		}
		if name, is := placeholder(want); is {
			params = append(params, access.Pair{Name: name, Value: element})
		} else if want != "*" && want != element {
			return nil, false
		}
		if !more {
			if i != len(p.elements)-1 || p.slash {
				return nil, false
			}
			return params, true
		}
		rest = after
		if rest == "" && i == len(p.elements)-1 { // the path ends in a slash
			return params, p.slash || p.rest
		}
	}
	return params, p.rest || rest == "" && p.slash
}

// collection is the pattern without its last placeholder: /contacts for /contacts/{id}.
func (p *pattern) collection() (pattern, bool) {
	n := len(p.elements)
	if n == 0 || p.rest || p.slash {
		return pattern{}, false
	}
	if _, is := placeholder(p.elements[n-1]); !is {
		return pattern{}, false
	}
	c := *p
	c.elements = p.elements[:n-1]
	return c, true
}

// placeholder gives the name of an element such as "{id}".
func placeholder(element string) (name string, is bool) {
	if element[0] != '{' {
		return "", false
	}
	return element[1 : len(element)-1], true
}

// hasText says whether the pattern has an element that is no placeholder.
func (p *pattern) hasText() bool {
	return slices.ContainsFunc(p.elements, func(e string) bool { return e != "*" && e[0] != '{' })
}

// resembles says whether some backend takes the path of these elements for one that the pattern
// fits, though it does not fit to the letter. Many frameworks ignore case, a slash at the end
// and a format such as ".json"; Windows ignores dots and spaces at an element's end; servers of scripts
// run /card.php for /card.php/anything, and /index.php for /. It is asked where the answer
// makes the rules stricter, never where it opens something.
func (p *pattern) resembles(elements []string) (params []access.Pair, ok bool) {
	want := p.elements
	if n := len(want); n > 0 && len(elements) == n-1 && strings.HasPrefix(strings.ToLower(want[n-1]), "index.") {
		want = want[:n-1]
	}
	if len(elements) < len(want) || len(elements) > len(want) && !p.rest && !isScript(want) {
		return nil, false
	}
	for i, w := range want {
		if name, is := placeholder(w); is {
			params = append(params, access.Pair{Name: name, Value: elements[i]})
		} else if w != "*" && !strings.EqualFold(stem(w), stem(elements[i])) {
			return nil, false
		}
	}
	return params, true
}

func isScript(elements []string) bool {
	if len(elements) == 0 {
		return false
	}
	last := elements[len(elements)-1]
	return last[0] != '{' && strings.Contains(last, ".")
}

// stem is an element without its format, stream ("card.php::$DATA") and what Windows ignores.
func stem(element string) string {
	if i := strings.IndexAny(element, ".:"); i > 0 {
		element = element[:i]
	}
	return strings.TrimRight(element, " ")
}

// readings are the paths that a backend may see in one: the path itself, and what stands behind a
// script, which is the path to the framework that the script starts (/index.php/billing/1).
func readings(elements []string) [][]string {
	all := [][]string{elements}
	for i, e := range elements {
		if i < len(elements)-1 && strings.Contains(strings.ToLower(e), ".php") {
			return append(all, elements[i+1:])
		}
	}
	return all
}

// splitPath gives the elements of a decoded path; none for "/".
func splitPath(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}
