package operation

import (
	"errors"
	"net/url"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/strictjson"
)

// guard watches over the names by which a body could choose a tenant. Whatever stands
// under one of them must be the tenant of the identity, as a text and exactly; a null, a number,
// an object, an empty text is a choice that the backend might understand in its own way.
type guard struct {
	form, json []string // folded
	tenant     string   // "" when nobody asks: then nothing may stand there
	seen       []string // folded form names that were hit, since none may come twice
}

var (
	errTenant      = errors.New("a guarded name holds something other than the identity's tenant")
	errTenantTwice = errors.New("a guarded name is given twice")
	errTenantFile  = errors.New("a guarded name is given to a file, or after the first file")
)

// newGuard makes the guard of a request. Only what a backend gets is guarded: on our
// own pages a tenant may be a field like others, and it chooses nothing there.
func newGuard(ex *access.Exchange) guard {
	var g guard
	if ex.Route.Class != access.App && ex.Route.Class != access.Public || ex.Site == nil {
		return g
	}
	g.tenant = ex.Tenant().String()
	for _, name := range ex.Site.Guard.Form {
		g.form = append(g.form, foldName(name))
	}
	for _, name := range ex.Site.Guard.JSON {
		g.json = append(g.json, foldName(name))
	}
	return g
}

// foldName folds beyond access.FoldName: a reader that ignores case by Unicode takes "ſ" for s,
// "K" (the Kelvin sign) for k and "ı" for i, as encoding/json does.
func foldName(name string) string {
	if isASCII(name) {
		return access.FoldName(name)
	}
	return access.FoldName(strings.ToLower(strings.ToUpper(name)))
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// foldsTo says whether foldName(name) == folded, for an ASCII name without making the
// folded one: every name of every body comes here, and most are not guarded.
func foldsTo(name, folded string) bool {
	if !isASCII(name) {
		return foldName(name) == folded
	}
	if len(name) != len(folded) {
		return false
	}
	for i := range len(name) {
		c := name[i]
		switch {
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case ('a' > c || c > 'z') && ('0' > c || c > '9'):
			c = '-'
		}
		if c != folded[i] {
			return false
		}
	}
	return true
}

// among says whether the name folds to one of the folded ones.
func among(folded []string, name string) bool {
	for _, f := range folded {
		if foldsTo(name, f) {
			return true
		}
	}
	return false
}

// value judges one JSON value. An array passes by itself, since its elements are
// judged under the same name, but an empty one says something other than the tenant.
func (g *guard) value(v strictjson.Value) error {
	if !v.Named || len(g.json) == 0 || !g.guardsKey(v.Name) {
		return nil
	}
	ok := v.Kind == strictjson.Array && !v.Empty ||
		v.Kind == strictjson.String && g.tenant != "" && v.Text == g.tenant
	if !ok {
		return errTenant
	}
	return nil
}

// guardsKey compares the key, and the elements of a dotted one ("$set": {"a.tenant_id": …}).
func (g *guard) guardsKey(key string) bool {
	if among(g.json, key) {
		return true
	}
	if strings.ContainsAny(key, ".[") {
		for _, element := range elements(key) {
			if among(g.json, element) {
				return true
			}
		}
	}
	return false
}

// field judges one form field. name is as decoded by the form's own rules.
func (g *guard) field(name, text string) error {
	hit, composite := g.guardsField(name)
	switch {
	case hit == "":
		return nil
	case composite || g.tenant == "" || text != g.tenant:
		return errTenant
	case slices.Contains(g.seen, hit):
		return errTenantTwice
	}
	g.seen = append(g.seen, hit)
	return nil
}

// guardsField says under which folded name a field is guarded, "" for none. Backends
// find a tenant in "tenant_id", " tenant.id" (PHP), "tenant_id[]", "contact[tenant_id]" and
// "contact.tenant_id" alike. A composite name goes on after the guarded element.
func (g *guard) guardsField(name string) (hit string, composite bool) {
	if len(g.form) == 0 {
		return "", false
	}
	if hit, composite = g.guardsPlain(strings.TrimSpace(name)); hit != "" || !strings.Contains(name, "%") {
		return hit, composite
	}
	// WHATWG percent-encodes quotation marks in multipart names; a reader that decodes
	// them decodes everything. Once, for nobody does it twice.
	plain, err := url.PathUnescape(name)
	if err != nil {
		return "", false
	}
	return g.guardsPlain(strings.TrimSpace(plain))
}

func (g *guard) guardsPlain(name string) (hit string, composite bool) {
	if among(g.form, name) {
		return foldName(name), false
	}
	if strings.ContainsAny(name, ".[") {
		all := elements(name)
		for i, element := range all {
			if among(g.form, strings.TrimSpace(element)) {
				return strings.Trim(foldName(name), "-"), len(all) > i+1
			}
		}
	}
	return "", false
}

// elements splits "a[b].c[]" into a, b, c.
func elements(name string) []string {
	return strings.FieldsFunc(name, func(r rune) bool { return r == '.' || r == '[' || r == ']' })
}
