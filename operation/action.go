package operation

import (
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/strictjson"
)

// The bounds of what a body may call an operation or a resource.
const (
	maxMethod = 256 // bytes of a JSON-RPC method's name
	maxID     = 256 // bytes of Route.ID
)

// route completes the exchange's route from what the body says; text is a JSON body.
func (j *judge) route(text string) error {
	op := j.ex.Route.Operation
	switch {
	case op != nil && op.JSONRPC != nil:
		return j.jsonRPC(op.JSONRPC, text)
	case op != nil && op.Form != nil:
		return j.formAction(op.Form)
	}
	return j.methodOverride()
}

// set is the only place where a body changes a route: read-only comes with a read and
// with nothing else.
func (j *judge) set(action string) {
	j.ex.Route.Action = action
	j.ex.Route.ReadOnly = access.Reads(action)
}

// jsonRPC takes the method of a single call. The names at the top must be plain text,
// different even for readers that ignore case, and without escapes: nobody writes
// "m\u0065thod" but to show one method to us and another to the backend.
func (j *judge) jsonRPC(rules *access.JSONRPC, text string) error {
	j.set(access.ActionUnknown)
	var method *member
	seen := map[string]bool{}
	for i, m := range j.members {
		folded := access.FoldName(m.name)
		if m.escaped || seen[folded] || strings.ContainsFunc(m.name, func(r rune) bool { return r >= 0x7f || r <= ' ' }) {
			return jsonRPCInvalid(j.ex, errors.New("a name at the top is escaped, ambiguous or not plain"))
		}
		seen[folded] = true
		if m.name == "method" {
			method = &j.members[i]
		}
	}
	if method == nil || method.kind != strictjson.String || method.text == "" || len(method.text) > maxMethod || !plainText(method.text) {
		return jsonRPCInvalid(j.ex, errors.New("no single object with a method that is a plain text"))
	}
	if action, ok := lookup(rules.Methods, method.text); ok {
		j.set(action)
	}
	if resource, ok := lookup(rules.Resources, method.text); ok {
		j.ex.Route.Resource = resource
	}
	if rules.ID == "" {
		return nil
	}
	id, err := idAt(text, rules.ID)
	if err != nil {
		return notJSON(j.ex, err)
	}
	j.ex.Route.ID = id
	return nil
}

// lookup finds the name itself, or else the longest entry that ends in "*" and begins it.
func lookup(rules map[string]string, name string) (string, bool) {
	if found, ok := rules[name]; ok && !strings.HasSuffix(name, "*") {
		return found, true
	}
	var room [maxMethod + 1]byte
	for i := len(name); i >= 0; i-- {
		prefix := append(append(room[:0], name[:i]...), '*')
		if found, ok := rules[string(prefix)]; ok {
			return found, true
		}
	}
	return "", false
}

// idAt gives the texts and numbers at a path such as "params.0.0". An index at its end means
// the element and its siblings, joined by commas, and "*" any index: a call that names [1,2,3]
// is never shown as a call about 1. A list over maxID bytes ends in "…", so that it equals no id.
func idAt(text, path string) (string, error) {
	want := strings.Split(path, ".")
	if last := len(want) - 1; strings.Trim(want[last], "0123456789") == "" {
		want[last] = "*"
	}
	var ids strings.Builder
	full := false
	err := strictjson.Walk(text, strictjson.Limits{}, func(v strictjson.Value) error {
		if full || v.Depth != len(want) || v.Kind != strictjson.String && v.Kind != strictjson.Number || v.Text == "" {
			return nil
		}
		got := strings.Split(v.Path(), ".")
		if len(got) != len(want) || !plainText(v.Text) {
			return nil
		}
		for i := range want {
			isIndex := strings.Trim(got[i], "0123456789") == ""
			if want[i] != got[i] && !(want[i] == "*" && isIndex) {
				return nil
			}
		}
		const more = ",…"
		if full = ids.Len()+len(v.Text)+len(more)+1 > maxID; full {
			ids.WriteString(more)
			return nil
		}
		if ids.Len() > 0 {
			ids.WriteByte(',')
		}
		ids.WriteString(v.Text)
		return nil
	})
	return ids.String(), err
}

// formAction takes the action from the query or the body, where its parameter may stand once
// in all, spelled exactly: PHP lets a body win over a query, others the reverse. Without the
// parameter it is what the file lists for the empty value, or unknown.
func (j *judge) formAction(rules *access.FormAction) error {
	j.set(access.ActionUnknown)
	if rules.Parameter != overrideField {
		if err := j.methodOverride(); err != nil {
			return err
		}
	}
	values, err := j.parameter(rules.Parameter)
	if err != nil {
		return operationAmbiguous(j.ex, err)
	}
	if len(values) > 1 {
		return operationAmbiguous(j.ex, fmt.Errorf("the parameter of the action stands in %d places", len(values)))
	}
	if action, ok := rules.Actions[strings.Join(values, "")]; ok {
		j.set(action)
	}
	if rules.ID == "" {
		return nil
	}
	ids, err := j.parameter(rules.ID)
	if err != nil {
		return operationAmbiguous(j.ex, err)
	}
	for _, id := range ids[min(1, len(ids)):] {
		if id != ids[0] { // forms repeat the id of their address
			return operationAmbiguous(j.ex, errors.New("two different ids"))
		}
	}
	if len(ids) > 0 && len(ids[0]) <= maxID && plainText(ids[0]) {
		j.ex.Route.ID = ids[0]
	}
	return nil
}

var errSpelling = errors.New("a parameter of the operation is spelled in another way or stands where not every backend looks")

// parameter lists what stands under a name in query and body. A name that some
// backend would take for it ("Action", "action[]", " action") is an error, and so is one that some
// would not look for: a JSON member, a file, a field of a request other than POST.
func (j *judge) parameter(name string) ([]string, error) {
	var values []string
	folded := access.FoldName(name)
	take := func(given, text string, plain bool) error {
		switch {
		case !sameParameter(given, folded):
			return nil
		case given != name || !plain:
			return errSpelling
		}
		values = append(values, text)
		return nil
	}
	for _, p := range j.ex.Target.Query {
		if err := take(p.Name, p.Value, true); err != nil {
			return nil, err
		}
	}
	for _, m := range j.members {
		if err := take(m.name, m.text, m.field && j.ex.Request.Method == http.MethodPost); err != nil {
			return nil, err
		}
	}
	return values, nil
}

// sameParameter says whether some backend takes the given name for the one that folds
// to folded.
func sameParameter(given, folded string) bool {
	given = strings.TrimSpace(given)
	if access.FoldName(given) == folded {
		return true
	}
	head, _, bracket := strings.Cut(given, "[")
	return bracket && access.FoldName(head) == folded
}

// overrideField is how form-only clients ask frameworks for another verb (Rails, Laravel, Symfony).
const overrideField = "_method"

// methodOverride refuses a body that asks for another verb than the request line: the
// route was found by the one, and some backends would do the other. An application that needs it names
// the field as the parameter of a form operation.
func (j *judge) methodOverride() error {
	if j.ex.Route.Class != access.App && j.ex.Route.Class != access.Public {
		return nil
	}
	values, err := j.parameter(overrideField)
	if err == nil && (len(values) == 0 || len(values) == 1 && strings.EqualFold(values[0], j.ex.Request.Method)) {
		return nil
	}
	return methodOverridden(j.ex)
}
