package proxy

import (
	"fmt"
	"maps"
	"slices"

	"github.com/sallyport/sallyport/access"
)

func (c SiteConfig) hasPlaceholder(name string) bool {
	for _, r := range c.Resources {
		r, err := newResource(r, false)
		if err != nil { // reported with the resource
			continue
		}
		for _, e := range r.item.elements {
			if found, is := placeholder(e); is && access.FoldName(found) == access.FoldName(name) {
				return true
			}
		}
	}
	return false
}

func (c ResourceConfig) check(problem report) {
	styles := 0
	if c.Type == "" || !validToken(c.Type) {
		problem("type", "the resource has no type", "a short name such as contact")
	}
	if c.Path != "" {
		styles++
		checkPattern(problem, "path", c.Path)
	}
	if c.JSONRPC != nil {
		styles++
		checkPattern(problem, "jsonrpc.path", c.JSONRPC.Path)
		checkInverse(problem, "jsonrpc.methods", c.JSONRPC.Methods)
		if len(c.JSONRPC.Methods) == 0 {
			problem("jsonrpc.methods", "no method is listed, so every call would count as an unknown change", "list the read methods at least")
		}
	}
	if c.Form != nil {
		styles++
		checkPattern(problem, "form.path", c.Form.Path)
		checkInverse(problem, "form.actions", c.Form.Actions)
		if c.Form.Action == "" {
			problem("form.action", "the parameter that tells the action has no name", "such as action")
		}
	}
	if styles != 1 {
		problem("", "a resource has exactly one of path, jsonrpc and form", "write one resource for each address")
	}
	if len(c.Actions) > 0 && c.Path == "" {
		problem("actions", "actions by method belong to the style path alone", "write them under jsonrpc.methods or form.actions")
	}
	for method := range c.Actions {
		if verbAction(method, false) == access.ActionUnknown {
			problem("actions."+method, "not a method", "GET, HEAD, OPTIONS, POST, PUT, PATCH or DELETE")
		}
	}
}

// checkInverse refuses a name that is listed under two actions: one of them would win by chance.
func checkInverse(problem report, path string, byAction map[string][]string) {
	taken := map[string]string{}
	for _, action := range slices.Sorted(maps.Keys(byAction)) {
		for i, name := range byAction[action] {
			if other, ok := taken[name]; ok {
				problem(fmt.Sprintf("%s.%s[%d]", path, action, i), fmt.Sprintf("%q is listed under %s too", name, other), "list it once")
			}
			taken[name] = action
		}
	}
}

func checkPattern(problem report, path, text string) {
	if _, err := parsePattern(text); err != nil {
		problem(path, err.Error(), "such as /api/contacts/{id} or /static/**")
	}
}
