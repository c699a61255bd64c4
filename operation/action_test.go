package operation

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

// tryton is a JSON-RPC address in the manner of Tryton.
func tryton(t *testing.T, contentType, body string) *access.Exchange {
	ex := exchange(t, contentType, unsized(body))
	ex.Route.Resource, ex.Route.Action, ex.Route.ReadOnly = access.OtherResource, access.ActionRead, true // as if locate erred
	ex.Route.Operation = &access.Operation{JSONRPC: &access.JSONRPC{
		Methods: map[string]string{
			"model.party.party.read": access.ActionRead, "model.party.party.search*": access.ActionRead,
			"model.party.party.write": access.ActionUpdate, "model.party.party.search_delete": access.ActionDelete,
			"model.res.*": "administrate", "literal*": access.ActionRead,
		},
		Resources: map[string]string{"model.party.*": "party", "model.party.address.*": "address"},
		ID:        "params.0.0",
	}}
	return ex
}

func TestJSONRPCMethodsCompleteTheRoute(t *testing.T) {
	r, _ := newReader(t, Config{})
	for _, c := range []struct{ name, body, want string }{
		{"a listed read", `{"id":0,"method":"model.party.party.read","params":[[7],["name"],{}]}`, "read party 7 true"},
		{"a listed write", `{"method":"model.party.party.write","params":[[7],{"name":"x"},{}]}`, "update party 7 false"},
		{"a write to three", `{"method":"model.party.party.write","params":[[7,8,9],{"name":"x"},{}]}`, "update party 7,8,9 false"},
		{"a wildcard", `{"method":"model.party.party.search_read","params":[]}`, "read party  true"},
		{"an exact name goes before a wildcard", `{"method":"model.party.party.search_delete","params":[]}`, "delete party  false"},
		{"an action of the file's own", `{"method":"model.res.user.write","params":[["u-1"]]}`, "administrate other u-1 false"},
		{"an unlisted method is mutating", `{"method":"model.party.party.delete","params":[[1]]}`, "unknown party 1 false"},
		{"a finer resource", `{"method":"model.party.address.read","params":[[1]]}`, "unknown address 1 false"},
		{"another case is another method", `{"method":"Model.party.party.read"}`, "unknown other  false"},
		{"the text of a wildcard itself", `{"method":"literal*"}`, "read other  true"},
		{"an id that is no scalar", `{"method":"model.party.party.write","params":[[{"a":1}]]}`, "update party  false"},
		{"many ids are never shown as one", `{"method":"model.party.party.write","params":[[` + strings.Repeat("1000,", 100) + `1]]}`,
			"update party " + strings.Repeat("1000,", 50) + "…" + " false"},
	} {
		ex := tryton(t, typeJSON, c.body)
		if err := pass(r, ex); err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		route := ex.Route
		if got := fmt.Sprintf("%s %s %s %v", route.Action, route.Resource, route.ID, route.ReadOnly); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
		if len(ex.Route.ID) > maxID {
			t.Errorf("%s: an id of %d bytes", c.name, len(ex.Route.ID))
		}
	}
}

func TestJSONRPCTrapsAreRefused(t *testing.T) {
	r, _ := newReader(t, Config{})
	const read = `"method":"model.party.party.read"`
	for _, c := range []struct{ name, contentType, body, want string }{
		{"a duplicate method", typeJSON, `{` + read + `,"method":"model.party.party.delete"}`, "400 body_malformed"},
		{"an escaped duplicate", typeJSON, `{` + read + `,"m\u0065thod":"model.party.party.delete"}`, "400 body_malformed"},
		{"an escaped method alone", typeJSON, `{"m\u0065thod":"model.party.party.read"}`, "400 jsonrpc_invalid"},
		{"an escaped other name", typeJSON, `{` + read + `,"p\u0061rams":[]}`, "400 jsonrpc_invalid"},
		{"a method in another case besides", typeJSON, `{` + read + `,"Method":"model.party.party.delete"}`, "400 jsonrpc_invalid"},
		{"params in another case besides", typeJSON, `{` + read + `,"params":[[1]],"PARAMS":[[2]]}`, "400 jsonrpc_invalid"},
		{"a name that is not plain", typeJSON, "{" + read + `,"param` + "\u017f" + `":[[2]]}`, "400 jsonrpc_invalid"},
		{"a batch", typeJSON, `[{` + read + `}]`, "400 jsonrpc_invalid"},
		{"an empty batch", typeJSON, `[]`, "400 jsonrpc_invalid"},
		{"no object", typeJSON, `"model.party.party.read"`, "400 jsonrpc_invalid"},
		{"no method", typeJSON, `{"params":[]}`, "400 jsonrpc_invalid"},
		{"a deeper method", typeJSON, `{"a":{` + read + `}}`, "400 jsonrpc_invalid"},
		{"a method that is a list", typeJSON, `{"method":["model.party.party.read"]}`, "400 jsonrpc_invalid"},
		{"a method that is null", typeJSON, `{"method":null}`, "400 jsonrpc_invalid"},
		{"an empty method", typeJSON, `{"method":""}`, "400 jsonrpc_invalid"},
		{"a method with a line break", typeJSON, `{"method":"model.party.party.read\n"}`, "400 jsonrpc_invalid"},
		{"a method of 257 bytes", typeJSON, `{"method":"` + strings.Repeat("a", 257) + `"}`, "400 jsonrpc_invalid"},
		{"an empty body", typeJSON, ``, "400 jsonrpc_invalid"},
		{"XML-RPC", "text/xml", `<methodCall><methodName>common.db.list</methodName></methodCall>`, "415 media_type_unsupported"},
		{"a form", typeForm, "method=model.party.party.read", "415 media_type_unsupported"},
		{"JSON as text", "text/plain", `{` + read + `}`, "415 media_type_unsupported"},
		{"no type", "", `{` + read + `}`, "415 media_type_unsupported"},
		{"another tenant deep in the call", typeJSON, `{` + read + `,"params":[[1],{"tenant_id":"globex"}]}`, "403 tenant_mismatch"},
	} {
		ex := tryton(t, c.contentType, c.body)
		wantVerdict(t, c.name, pass(r, ex), c.want)
	}
	ex := tryton(t, typeJSON, gzipped(`{`+read+`,"method":"model.party.party.delete"}`))
	ex.Request.Header.Set("Content-Encoding", "gzip")
	wantVerdict(t, "a duplicate method inside gzip", pass(r, ex), "400 body_malformed")
	ex = tryton(t, typeJSON, gzipped(`{"method":"model.party.party.delete"}`))
	ex.Request.Header.Set("Content-Encoding", "gzip")
	if err := pass(r, ex); err != nil || ex.Route.Action != access.ActionUnknown || ex.Route.ReadOnly {
		t.Errorf("a method inside gzip: %v, %+v", err, ex.Route)
	}
}

func TestIDPaths(t *testing.T) {
	for _, c := range []struct{ path, body, want string }{
		{"id", `{"id":"x"}`, "x"},
		{"id", `{"id":5}`, "5"},
		{"id", `{"id":null}`, ""},
		{"id", `{"id":"a\nb"}`, ""},
		{"id", `{"a":{"id":1}}`, ""},
		{"a.id", `{"a.id":1}`, ""},
		{"a.id", `{"a":{"id":1},"a.id":2}`, "1"},
		{"a.id", `{"a":{"id.x":1}}`, ""},
		{"a.id", `{"":{"":1}}`, ""},
		{"params.0", `{"params":[1,2]}`, "1,2"},
		{"params.*.*", `{"params":[[1],{"name":"x"},[2,3],{}]}`, "1,2,3"},
		{"params.1.id", `{"params":[{"id":1},{"id":2}]}`, "2"},
	} {
		got, err := idAt(c.body, c.path)
		if err != nil || got != c.want {
			t.Errorf("%s of %s: got %q, %v; want %q", c.path, c.body, got, err, c.want)
		}
	}
}

func TestFormActionsCompleteTheRoute(t *testing.T) {
	r, _ := newReader(t, Config{})
	for _, c := range []struct{ name, query, form, want string }{
		{"in the body", "", "action=confirm_delete&id=5", "delete deal 5 false"},
		{"in the query", "action=confirm_delete&id=5", "name=x", "delete deal 5 false"},
		{"a listed read", "", "action=list", "read deal  true"},
		{"an unlisted value", "", "action=explode", "unknown deal  false"},
		{"an empty value is what the file lists for it", "", "action=", "create deal  false"},
		{"none is as an empty one", "", "name=x", "create deal  false"},
		{"the same id twice", "action=list&id=5", "id=5", "read deal 5 true"},
		{"in both", "action=list", "action=confirm_delete", "400 operation_ambiguous"},
		{"in both, the same", "action=list", "action=list", "400 operation_ambiguous"},
		{"twice in the body", "", "action=list&action=confirm_delete", "400 operation_ambiguous"},
		{"twice in the query", "action=list&action=confirm_delete", "a=1", "400 operation_ambiguous"},
		{"as a list", "", "action[]=list", "400 operation_ambiguous"},
		{"as a list besides", "action=list", "action%5B%5D=confirm_delete", "400 operation_ambiguous"},
		{"in another case", "", "Action=list", "400 operation_ambiguous"},
		{"in another case besides", "action=list", "ACTION=confirm_delete", "400 operation_ambiguous"},
		{"with a leading space besides", "action=list", "+action=confirm_delete", "400 operation_ambiguous"},
		{"two ids", "action=list&id=5", "id=6", "400 operation_ambiguous"},
		{"ids as a list", "action=list", "id[]=6", "400 operation_ambiguous"},
		{"another verb in the body", "action=list", "_method=DELETE", "400 method_override"},
	} {
		bodies := map[string]string{typeForm: c.form}
		if !strings.Contains(c.form, "%") && !strings.Contains(c.form, "+") {
			var parts []string
			for _, pair := range strings.Split(c.form, "&") {
				name, value, _ := strings.Cut(pair, "=")
				parts = append(parts, fmt.Sprintf(`name="%s"|%s`, name, value))
			}
			bodies[typeMult] = form(parts...)
		}
		for contentType, body := range bodies {
			ex := exchange(t, contentType, unsized(body))
			ex.Route.Resource, ex.Route.Action, ex.Route.ReadOnly = "deal", access.ActionRead, true
			ex.Route.Operation = &access.Operation{Form: &access.FormAction{Parameter: "action", ID: "id",
				Actions: map[string]string{"confirm_delete": access.ActionDelete, "list": access.ActionRead, "": access.ActionCreate}}}
			for _, pair := range strings.Split(c.query, "&") {
				if name, value, ok := strings.Cut(pair, "="); ok {
					ex.Target.Query = append(ex.Target.Query, access.Pair{Name: name, Value: value})
				}
			}
			got := verdict(pass(r, ex))
			if got == "passed" {
				got = fmt.Sprintf("%s %s %s %v", ex.Route.Action, ex.Route.Resource, ex.Route.ID, ex.Route.ReadOnly)
			}
			if got != c.want {
				t.Errorf("%s (%s): got %q, want %q", c.name, contentType, got, c.want)
			}
		}
	}
}

func TestAFormActionInAFileOrInJSONIsAmbiguous(t *testing.T) {
	r, _ := newReader(t, Config{})
	for name, c := range map[string][3]string{
		"a file part":           {typeMult, form(`name="action"; filename="a"|confirm_delete`), "400 operation_ambiguous"},
		"a JSON member":         {typeJSON, `{"action":"list"}`, "400 operation_ambiguous"},
		"a deeper member":       {typeJSON, `{"a":{"action":"list"}}`, "passed"},
		"a JSON object":         {typeJSON, `{"action":{"a":"list"}}`, "400 operation_ambiguous"},
		"an escaped member":     {typeJSON, `{"\u0061ction":"list"}`, "400 operation_ambiguous"},
		"a text without fields": {"text/plain", `action=list`, "passed"},
	} {
		ex := exchange(t, c[0], unsized(c[1]))
		ex.Route.Operation = &access.Operation{Form: &access.FormAction{Parameter: "action", Actions: map[string]string{"list": access.ActionRead}}}
		wantVerdict(t, name, pass(r, ex), c[2])
		if c[2] == "passed" && (ex.Route.ReadOnly || ex.Route.Action != access.ActionUnknown) {
			t.Errorf("%s: %+v", name, ex.Route)
		}
	}
}

func TestAFormActionInTheBodyOfAPUTIsAmbiguous(t *testing.T) {
	r, _ := newReader(t, Config{})
	ex := exchange(t, typeForm, unsized("action=list"))
	ex.Request.Method = "PUT" // PHP fills $_POST for POST alone
	ex.Route.Operation = &access.Operation{Form: &access.FormAction{Parameter: "action", Actions: map[string]string{"list": access.ActionRead}}}
	wantVerdict(t, "PUT", pass(r, ex), "400 operation_ambiguous")
}

func TestABodyCannotAskForAnotherMethod(t *testing.T) {
	r, _ := newReader(t, Config{})
	for _, c := range []struct{ contentType, body, want string }{
		{typeForm, "_method=DELETE", "400 method_override"},
		{typeForm, "_method=delete", "400 method_override"},
		{typeForm, "_METHOD=DELETE", "400 method_override"},
		{typeForm, "_method[]=DELETE", "400 method_override"},
		{typeForm, "_method=POST&_method=DELETE", "400 method_override"},
		{typeForm, "_method=", "400 method_override"},
		{typeForm, "_method=post", "passed"},
		{typeForm, "method=DELETE", "passed"},
		{typeMult, form(`name="_method"|PUT`), "400 method_override"},
		{typeJSON, `{"_method":"PUT"}`, "400 method_override"},
		{typeJSON, `{"a":{"_method":"PUT"}}`, "passed"},
	} {
		wantVerdict(t, c.body, pass(r, exchange(t, c.contentType, unsized(c.body))), c.want)
	}
	ex := exchange(t, typeForm, unsized("_method=DELETE"))
	ex.Route.Class = access.Portal
	wantVerdict(t, "on our own pages", pass(r, ex), "passed")
	ex = exchange(t, typeForm, unsized("_method=DELETE"))
	ex.Route.Operation = &access.Operation{Form: &access.FormAction{Parameter: "_method", Actions: map[string]string{"DELETE": access.ActionDelete}}}
	if err := pass(r, ex); err != nil || ex.Route.Action != access.ActionDelete {
		t.Errorf("named as the operation: %v, %+v", err, ex.Route)
	}
}
