package proxy

import (
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// GateInfo describes one gate, for `sallyport check`.
type GateInfo struct {
	Name string `json:"name"`
	On   string `json:"on"`
	When string `json:"when"`
	Why  string `json:"why"`
}

// Corridor describes the gates in their order. They are the same for every configuration.
func Corridor() []GateInfo {
	p := &Plan{mint: access.NewMint(), sites: &sites{}}
	p.dies = cutDies(p.mint)
	return describe(p.table())
}

func describe(gates []gate) (infos []GateInfo) {
	for _, g := range gates {
		infos = append(infos, GateInfo{g.name, classNames(g.on), g.when.name, g.why})
	}
	return infos
}

func classNames(set access.Classes) string {
	if set == access.AnyClass {
		return "all"
	}
	var names []string
	for _, c := range []access.Class{access.Public, access.Portal, access.App, access.Console, access.Operator} {
		if set.Has(c) {
			names = append(names, c.String())
		}
	}
	return strings.Join(names, ", ")
}

// RouteInfo describes one configured address.
type RouteInfo struct {
	Site     string `json:"site"`
	Pattern  string `json:"pattern"`
	Class    string `json:"class"`
	Resource string `json:"resource"`
	Action   string `json:"action"` // how it is found
}

// Routes describes what the addresses of a configuration mean, in the order in which they
// are tried. The configuration must have passed Check.
func Routes(cfg Config) (infos []RouteInfo) {
	for _, s := range cfg.Sites {
		for _, text := range s.Public {
			infos = append(infos, RouteInfo{s.Name, text, access.Public.String(), "asset", "read (GET and HEAD only)"})
		}
		for _, r := range s.Resources {
			info := RouteInfo{Site: s.Name, Pattern: r.Path, Class: access.App.String(), Resource: r.Type, Action: "by verb"}
			switch {
			case r.JSONRPC != nil:
				info.Pattern, info.Action = r.JSONRPC.Path, "by method of the body; listed: "+actionNames(r.JSONRPC.Methods)+"; others are unknown changes"
			case r.Form != nil:
				info.Pattern, info.Action = r.Form.Path, "by parameter "+r.Form.Action+"; listed: "+actionNames(r.Form.Actions)+"; others are unknown changes"
			case len(r.Actions) > 0:
				var changed []string
				for method, action := range r.Actions {
					changed = append(changed, method+" is "+action)
				}
				slices.Sort(changed)
				info.Action += ", but " + strings.Join(changed, ", ")
			}
			infos = append(infos, info)
		}
		infos = append(infos, RouteInfo{s.Name, "everything else", access.App.String(), access.OtherResource, "by verb; a GET counts as a read, so list what changes something by GET"})
	}
	return infos
}

func actionNames(m map[string][]string) string {
	var names []string
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
