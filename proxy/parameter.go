package proxy

import (
	"strings"

	"github.com/sallyport/sallyport/access"
)

// formRoute reads the action from the query, where old applications have it even in a GET.
// A body, if there is one, is looked at by the operation gate.
func formRoute(form *access.FormAction, ex *access.Exchange, route *access.Route) error {
	value, found, err := onlyParameter(ex.Target.Query, form.Parameter)
	if err != nil {
		return err
	}
	switch action, listed := form.Actions[value]; {
	case listed:
		route.Action = action
	case !found && reads(ex.Request.Method) && !ex.Body.Present:
		route.Action = access.ActionRead
	default:
		route.Action = access.ActionUnknown
	}
	route.ReadOnly = access.Reads(route.Action) && !ex.Body.Present && !ex.Upgrade()
	if form.ID != "" {
		id, _, err := onlyParameter(ex.Target.Query, form.ID)
		if err != nil {
			return err
		}
		route.ID = boundedID(id)
	}
	if ex.Body.Present {
		route.Operation = &access.Operation{Form: form}
	}
	return nil
}

// onlyParameter gives the value of a parameter that decides something. Given twice, or in
// another spelling that some backend takes for the same name, it is refused.
func onlyParameter(query []access.Pair, name string) (value string, found bool, err error) {
	folded := access.FoldName(name)
	for _, pair := range query {
		if !sameParameter(pair.Name, folded) {
			continue
		}
		if found || pair.Name != name {
			return "", false, malformed("query_ambiguous", "A parameter that tells what to do is given twice, or in an odd spelling.")
		}
		value, found = pair.Value, true
	}
	return value, found, nil
}

// sameParameter says whether some backend takes a parameter for the one whose name folds to
// folded: PHP drops spaces before a name and takes "action[]" for an array of that name.
func sameParameter(name, folded string) bool {
	name = strings.TrimSpace(name)
	if access.FoldName(name) == folded {
		return true
	}
	head, _, bracket := strings.Cut(name, "[")
	return bracket && access.FoldName(strings.TrimSpace(head)) == folded
}

// onceEach refuses a guarded query parameter that is given twice: the gateway could check one
// and the backend take the other. And _method in a query has no place anywhere.
func (s *site) onceEach(ex *access.Exchange) error {
	seen := map[string]bool{}
	for _, pair := range ex.Target.Query {
		if sameParameter(pair.Name, "-method") {
			return malformed("method_override", "The request asks for another method than its own.")
		}
		hit, _ := s.guardedQuery.Find(pair.Name)
		if hit == "" {
			continue
		}
		if seen[hit] {
			return malformed("query_ambiguous", "A parameter that names the organisation is given twice.")
		}
		seen[hit] = true
	}
	return nil
}
