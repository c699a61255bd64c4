package proxy

import (
	"fmt"
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
		if want[0] == '{' && len(want) > 2 {
			params = append(params, access.Pair{Name: want[1 : len(want)-1], Value: element})
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
	if n == 0 || p.rest || p.slash || p.elements[n-1][0] != '{' {
		return pattern{}, false
	}
	c := *p
	c.elements = p.elements[:n-1]
	return c, true
}

// splitPath gives the elements of a decoded path; none for "/".
func splitPath(path string) []string {
	path = strings.Trim(path, "/")
	if path == "" {
		return nil
	}
	return strings.Split(path, "/")
}
