package operation

import (
	"fmt"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/access"
)

func TestTheTenantGuardOverJSON(t *testing.T) {
	r, _ := newReader(t, Config{})
	for _, c := range []struct{ name, body, want string }{
		{"the own tenant", `{"tenant_id":"acme"}`, "passed"},
		{"the own tenant, deep", `{"a":[{"b":{"tenant_id":"acme"}}]}`, "passed"},
		{"a list of the own tenant", `{"tenant_id":["acme"]}`, "passed"},
		{"no tenant", `{"name":"globex"}`, "passed"},
		{"the name as a value", `{"sort":"tenant_id"}`, "passed"},
		{"a longer name", `{"tenant_identity":"globex"}`, "passed"},
		{"another tenant", `{"tenant_id":"globex"}`, "403 tenant_mismatch"},
		{"another tenant, deep", `{"a":[{"b":{"tenant_id":"globex"}}]}`, "403 tenant_mismatch"},
		{"an escaped name", `{"tenant\u005fid":"globex"}`, "403 tenant_mismatch"},
		{"another case", `{"Tenant_ID":"globex"}`, "403 tenant_mismatch"},
		{"another separator", `{"tenant-id":"globex","x":1}`, "403 tenant_mismatch"},
		{"a long s is s to some", "{\"ten\u0131\":1,\"tenant_\u0131d\":\"globex\"}", "403 tenant_mismatch"},
		{"a dotted name", `{"$set":{"contact.tenant_id":"globex"}}`, "403 tenant_mismatch"},
		{"Django's double underscore", `{"contact__tenant_id":"globex"}`, "403 tenant_mismatch"},
		{"another separator before it", `{"contact:tenant_id":"globex"}`, "403 tenant_mismatch"},
		{"space around the name", `{" tenant_id ":"globex"}`, "403 tenant_mismatch"},
		{"a lookup of the own tenant", `{"tenant_id__in":"acme"}`, "403 tenant_mismatch"},
		{"an operator behind the own tenant", `{"tenant_id!":"acme"}`, "403 tenant_mismatch"},
		{"another case of the tenant", `{"tenant_id":"ACME"}`, "403 tenant_mismatch"},
		{"space around the tenant", `{"tenant_id":"acme "}`, "403 tenant_mismatch"},
		{"an empty text", `{"tenant_id":""}`, "403 tenant_mismatch"},
		{"null", `{"tenant_id":null}`, "403 tenant_mismatch"},
		{"a number", `{"tenant_id":1}`, "403 tenant_mismatch"},
		{"true", `{"tenant_id":true}`, "403 tenant_mismatch"},
		{"an object", `{"tenant_id":{"$ne":"acme"}}`, "403 tenant_mismatch"},
		{"an empty object", `{"tenant_id":{}}`, "403 tenant_mismatch"},
		{"an empty list", `{"tenant_id":[]}`, "403 tenant_mismatch"},
		{"a list with another", `{"tenant_id":["acme","globex"]}`, "403 tenant_mismatch"},
		{"a list in a list", `{"tenant_id":[["globex"]]}`, "403 tenant_mismatch"},
		{"an object in a list", `{"tenant_id":[{"a":"acme"}]}`, "403 tenant_mismatch"},
		{"twice", `{"tenant_id":"acme","x":1,"tenant_id":"acme"}`, "400 body_malformed"},
		{"twice, once escaped", `{"tenant_id":"acme","tenant_i\u0064":"acme"}`, "400 body_malformed"},
		{"NUL in the name", `{"tenant_id\u0000":"globex"}`, "400 body_malformed"},
		{"not JSON", `{"tenant_id":'globex'}`, "400 body_malformed"},
		{"data behind", `{"a":1}{"tenant_id":"globex"}`, "400 body_malformed"},
		{"a byte order mark", "\ufeff{}", "400 body_malformed"},
		{"UTF-16", "{\x00}\x00", "400 body_malformed"},
		{"100,000 arrays", strings.Repeat("[", 100_000), "413 body_too_complex"},
		{"100,000 values", "[" + strings.Repeat("1,", 100_000) + "1]", "413 body_too_complex"},
	} {
		for _, contentType := range []string{typeJSON, "application/merge-patch+json"} {
			wantVerdict(t, c.name, pass(r, exchange(t, contentType, unsized(c.body))), c.want)
		}
	}
}

func TestJSONInDisguiseIsGuardedAsJSON(t *testing.T) {
	r, _ := newReader(t, Config{Memory: 4 << 10})
	for _, c := range []struct{ name, body, want string }{
		{"the own tenant", `{"tenant_id":"acme"}`, "passed"},
		{"another tenant", `{"tenant_id":"globex"}`, "403 tenant_mismatch"},
		{"after white space", " \r\n\t{\"tenant_id\":\"globex\"}", "403 tenant_mismatch"},
		{"after much white space", strings.Repeat(" ", 300<<10) + `{"tenant_id":"globex"}`, "403 tenant_mismatch"},
		{"in an array", `[{"tenant_id":"globex"}]`, "403 tenant_mismatch"},
		{"with a byte order mark", "\ufeff" + `{"tenant_id":"globex"}`, "400 body_malformed"},
		{"in UTF-16", "\xff\xfe{\x00\"\x00", "400 body_malformed"},
		{"with single quotes", `{'tenant_id':'globex'}`, "400 body_malformed"},
		{"two documents", `{"a":1}{"tenant_id":"globex"}`, "400 body_malformed"},
	} {
		for _, contentType := range []string{"text/plain", "application/octet-stream", typeForm} {
			for _, stream := range []bool{false, true} {
				ex := exchange(t, contentType, unsized(c.body))
				ex.Route.Body.Stream = stream
				err := pass(r, ex)
				wantVerdict(t, fmt.Sprintf("%s as %s, stream %v", c.name, contentType, stream), err, c.want)
				if err == nil && string(forwarded(t, ex)) != c.body {
					t.Errorf("%s: other bytes go out", c.name)
				}
			}
		}
	}
	ex := exchange(t, "text/plain", strings.NewReader("Dear {name}, the tenant_id is globex"))
	wantVerdict(t, "an ordinary text", pass(r, ex), "passed")
	ex = exchange(t, "text/plain", strings.NewReader(`{"a":{"b":1}}`))
	if err := pass(r, ex); err != nil || valuesText(ex) != "a.b=1;" {
		t.Errorf("values %q, %v", valuesText(ex), err)
	}
	ex = exchange(t, "text/plain", strings.NewReader(`[see above] {"a"`))
	ex.Site.Guard = access.Guard{}
	if err := pass(r, ex); err != nil || ex.Body.Values != nil {
		t.Errorf("a text on a site without guards: %v, %v", ex.Body.Values, err)
	}
	ex = exchange(t, typeForm, strings.NewReader(`{"a":"&tenant_id=globex&"}`))
	wantVerdict(t, "a form within a document", pass(r, ex), "403 tenant_mismatch")
	ex = exchange(t, "multipart/mixed; boundary=x", strings.NewReader("--x--\r\n"))
	ex.Route.Body.Types = append(ex.Route.Body.Types, "multipart/mixed")
	wantVerdict(t, "a multipart type that cannot be judged", pass(r, ex), "415 media_type_unsupported")
}

func TestTheTenantGuardOverFormFields(t *testing.T) {
	r, _ := newReader(t, Config{})
	for _, c := range []struct{ name, field, value, want string }{
		{"the own tenant", "tenant_id", "acme", "passed"},
		{"the own tenant in a row", "rows[0][tenant_id]", "acme", "passed"},
		{"another field", "name", "globex", "passed"},
		{"another tenant", "tenant_id", "globex", "403 tenant_mismatch"},
		{"an empty text", "tenant_id", "", "403 tenant_mismatch"},
		{"another case", "Tenant-Id", "globex", "403 tenant_mismatch"},
		{"PHP's dot", "tenant.id", "globex", "403 tenant_mismatch"},
		{"PHP's space", "tenant id", "globex", "403 tenant_mismatch"},
		{"PHP's open bracket", "tenant[id", "globex", "403 tenant_mismatch"},
		{"PHP's leading space", " tenant_id", "globex", "403 tenant_mismatch"},
		{"a list", "tenant_id[]", "globex", "403 tenant_mismatch"},
		{"an object", "tenant_id[x]", "acme", "403 tenant_mismatch"},
		{"an element", "contact[tenant_id]", "globex", "403 tenant_mismatch"},
		{"an element of an element", "a[b][ tenant_id ][]", "globex", "403 tenant_mismatch"},
		{"a dotted name", "contact.tenant_id", "globex", "403 tenant_mismatch"},
		{"Django's double underscore", "contact__tenant_id", "globex", "403 tenant_mismatch"},
		{"a lookup of the own tenant", "tenant_id__in", "acme", "403 tenant_mismatch"},
		{"a negation of the own tenant", "tenant_id!", "acme", "403 tenant_mismatch"},
		{"an invisible character behind it", "tenant_id\u200b", "acme", "403 tenant_mismatch"},
		{"JSON in a field", "data", `{"tenant_id":"globex"}`, "403 tenant_mismatch"},
		{"JSON in a field, after a mark", "data", "\ufeff" + `{"tenant_id":"globex"}`, "403 tenant_mismatch"},
		{"JSON in a field, ambiguous", "data", `{"a":1,"a":{"tenant_id":"globex"}}`, "400 body_malformed"},
		{"JSON in a field of the own tenant", "data", `{"tenant_id":"acme"}`, "passed"},
		{"text that begins like JSON", "data", `[draft] {see "tenant_id"}`, "passed"},
	} {
		encoded := strings.NewReplacer("%", "%25", "&", "%26", "+", "%2B", " ", "+", "[", "%5b", "]", "%5D", "\"", "%22", ";", "%3B", "{", "%7B")
		body := "a=1&" + encoded.Replace(c.field) + "=" + encoded.Replace(c.value) + "&b=2"
		wantVerdict(t, c.name+" (form)", pass(r, exchange(t, typeForm, unsized(body))), c.want)
		for _, stream := range []bool{false, true} {
			ex := exchange(t, typeMult, unsized(form(fmt.Sprintf(`name="%s"|%s`, c.field, c.value), `name="f"; filename="a.txt"|x`)))
			ex.Route.Body.Stream = stream
			wantVerdict(t, fmt.Sprintf("%s (multipart, stream %v)", c.name, stream), pass(r, ex), c.want)
		}
	}
	wantVerdict(t, "twice in a form", pass(r, exchange(t, typeForm, unsized("tenant_id=acme&tenant-id=acme"))), "403 tenant_mismatch")
	wantVerdict(t, "twice, once as a list", pass(r, exchange(t, typeForm, unsized("tenant_id=acme&tenant_id%5b%5d=acme"))), "403 tenant_mismatch")
	wantVerdict(t, "in two rows", pass(r, exchange(t, typeForm, unsized("r[0][tenant_id]=acme&r[1][tenant_id]=acme"))), "passed")
	wantVerdict(t, "percent-encoded twice", pass(r, exchange(t, typeForm, unsized("tenant%255Fid=globex"))), "403 tenant_mismatch")
	wantVerdict(t, "percent-encoded in multipart", pass(r, exchange(t, typeMult, unsized(form(`name="tenant%5Fid"|globex`)))), "403 tenant_mismatch")
	wantVerdict(t, "twice in multipart", pass(r, exchange(t, typeMult, unsized(form(`name="tenant_id"|acme`, `name="tenant_id"|acme`)))), "403 tenant_mismatch")
	wantVerdict(t, "as a file", pass(r, exchange(t, typeMult, unsized(form(`name="tenant_id"; filename="x"|acme`)))), "403 tenant_mismatch")
	wantVerdict(t, "with an empty file name", pass(r, exchange(t, typeMult, unsized(form(`name="tenant_id"; filename=""|globex`)))), "403 tenant_mismatch")
	wantVerdict(t, "in a JSON part", pass(r, exchange(t, typeMult, unsized(form("name=\"d\"; filename=\"blob\"\r\nContent-Type: application/json|{\"tenant_id\":\"globex\"}")))), "403 tenant_mismatch")
	wantVerdict(t, "as a JSON part", pass(r, exchange(t, typeMult, unsized(form("name=\"tenant_id\"\r\nContent-Type: application/json|\"globex\"")))), "403 tenant_mismatch")
	wantVerdict(t, "a JSON part that is none", pass(r, exchange(t, typeMult, unsized(form("name=\"d\"\r\nContent-Type: application/json|{")))), "400 body_malformed")
}

func TestTheGuardHoldsWhereABackendIsReachedAndNowhereElse(t *testing.T) {
	r, _ := newReader(t, Config{})
	for name, c := range map[string]struct {
		class    access.Class
		identity bool
		want     string
	}{
		"App":                  {access.App, true, "passed"},
		"App without anybody":  {access.App, false, "403 tenant_mismatch"},
		"Public":               {access.Public, false, "403 tenant_mismatch"},
		"our own login page":   {access.Portal, false, "passed"},
		"a tenant's settings":  {access.Console, true, "passed"},
		"all tenants' console": {access.Operator, true, "passed"},
	} {
		for contentType, body := range map[string]string{typeJSON: `{"tenant_id":"acme"}`, typeForm: "tenant_id=acme", typeMult: form(`name="tenant_id"|acme`)} {
			ex := exchange(t, contentType, unsized(body))
			ex.Route.Class = c.class
			if !c.identity {
				ex.Identity = nil
			}
			wantVerdict(t, name+" "+contentType, pass(r, ex), c.want)
		}
	}
	for contentType, body := range map[string]string{typeJSON: `{"tenant_id":""}`, typeForm: "tenant_id="} {
		ex := exchange(t, contentType, unsized(body))
		ex.Identity = &access.Identity{Subject: "alice"} // no tenant: an empty text is not it
		wantVerdict(t, "an identity without a tenant "+contentType, pass(r, ex), "403 tenant_mismatch")
	}
}
