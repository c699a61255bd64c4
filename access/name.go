package access

import (
	"net/url"
	"strings"
)

// FoldName brings a header, parameter or key name to the form in which names are
// compared: ASCII lower case, every byte outside [a-z0-9] as '-'. Backends fold
// names in their own ways (CGI and WSGI '-' to '_', PHP '.', ' ' and '[' to '_'), so
// names that any of them could confuse are one name here. CVE-2025-64484 is what
// happens otherwise. Readers that ignore case by Unicode take "ſ" for s, the Kelvin sign for k
// and "ı" for i, so these are folded as well.
func FoldName(name string) string {
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return foldSlow(plainCase(name))
		}
	}
	return name
}

func foldSlow(name string) string {
	b := []byte(name)
	for i, c := range b {
		b[i] = foldByte(c)
	}
	return string(b)
}

func foldByte(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}

// plainCase turns letters into ASCII where Unicode's case mappings lead there.
func plainCase(name string) string {
	for i := range len(name) {
		if name[i] >= 0x80 {
			return strings.ToLower(strings.ToUpper(name))
		}
	}
	return name
}

// GuardedNames are names under which a client could say something that only we may say, such as
// its tenant. Nil guards nothing.
type GuardedNames struct{ folded []string }

// GuardNames prepares names as they stand in the file.
func GuardNames(names []string) GuardedNames {
	var g GuardedNames
	for _, name := range names {
		if folded := strings.Trim(FoldName(name), "-"); folded != "" {
			g.folded = append(g.folded, folded)
		}
	}
	return g
}

// Empty says that nothing is guarded.
func (g GuardedNames) Empty() bool { return len(g.folded) == 0 }

// Find says whether some backend reads a parameter of this name as a guarded one: in another
// spelling ("Tenant-Id", PHP's " tenant.id"), as an element of another ("filter[tenant_id]",
// "contact.tenant_id", Django's "contact__tenant_id"), or with more behind it ("tenant_id[$ne]",
// "tenant_id__in", "tenant_id!"). hit names what was found, the same for all spellings of one name;
// it is "" when nothing was. composite says that something stands behind the guarded name, so
// that its value is not what it seems: an operator, an index, a part.
func (g GuardedNames) Find(name string) (hit string, composite bool) {
	if len(g.folded) == 0 {
		return "", false
	}
	if hit, composite = g.find(name); hit != "" || !strings.Contains(name, "%") {
		return hit, composite
	}
	// Readers that decode twice are not rare. Nobody decodes three times.
	if twice, err := url.PathUnescape(name); err == nil {
		return g.find(twice)
	}
	return "", false
}

func (g GuardedNames) find(name string) (hit string, composite bool) {
	name = plainCase(name)
	for _, folded := range g.folded {
		for i := 0; i+len(folded) <= len(name); i++ {
			if !foldsTo(name[i:i+len(folded)], folded) || !edge(name[:i], true) || !edge(name[i+len(folded):], false) {
				continue
			}
			behind := strings.ContainsFunc(name[i+len(folded):], func(r rune) bool {
				return r != '[' && r != ']' && r != ' '
			})
			return strings.Trim(foldSlow(name[:i+len(folded)]), "-"), behind
		}
	}
	return "", false
}

// foldsTo says whether a name in plain case folds to folded, of the same length.
func foldsTo(name, folded string) bool {
	for i := range len(folded) {
		if foldByte(name[i]) != folded[i] {
			return false
		}
	}
	return true
}

// edge says whether a name can end before, or begin behind, this text: it is empty, or next to
// the name stands a character that no name holds, or "__".
func edge(text string, before bool) bool {
	if text == "" {
		return true
	}
	c, double := text[0], strings.HasPrefix(text, "__")
	if before {
		c, double = text[len(text)-1], strings.HasSuffix(text, "__")
	}
	return double || c != '_' && c != '-' && foldByte(c) == '-'
}
