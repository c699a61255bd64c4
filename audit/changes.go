package audit

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// Bounds of what an event tells of a body.
const (
	maxChanges = 64
	maxValue   = 256 // bytes
)

const redacted = "[redacted]"

// source labels what an event can tell of the request's body. On Portal routes nothing is
// told: their bodies are passwords, codes and assertions.
func source(ex *access.Exchange) string {
	if len(ex.Body.Values) == 0 || ex.Route.Class == access.Portal {
		return "none"
	}
	return "request_only"
}

// changes gives what the request asks to write, as far as its body was read: new values
// alone. Secrets are told by name.
func changes(ex *access.Exchange) []access.Change {
	if source(ex) == "none" {
		return nil
	}
	all := ex.Body.Values
	values := all[:min(len(all), maxChanges)]
	// Where one value is a secret, values without a name may be too, such as the old
	// password among the parameters of a JSON-RPC call. What is not looked at counts as one.
	anySecret := len(values) < len(all) || secretName(ex.Route.Action)
	list := make([]access.Change, 0, len(values)+1)
	for _, v := range values {
		c := access.Change{Field: label(v.Path, maxName), New: cut(v.Text, maxValue)}
		if secretName(v.Path) {
			c.New, anySecret = redacted, true
		}
		anySecret = anySecret || v.Path == "method" && secretName(v.Text)
		list = append(list, c)
	}
	for i, v := range values {
		if anySecret && positional(v.Path) {
			list[i].New = redacted
		}
	}
	if more := len(all) - len(values); more > 0 {
		list = append(list, access.Change{Field: "[more]", New: strconv.Itoa(more) + " fields are not recorded"})
	}
	return list
}

// positional says whether a path ends in the index of a list: a value without a name.
func positional(path string) bool {
	last := path[strings.LastIndexByte(path, '.')+1:]
	return last != "" && strings.Trim(last, "0123456789") == ""
}

// secretName says whether a value under this path must not be written down. It errs on
// the side of yes: a name is enough, in any part of the path.
func secretName(path string) bool {
	if len(path) > maxName {
		return true // not read to its end, so not known to be harmless
	}
	var buf [maxName]byte
	folded := buf[:0]
	begin := 0
	for i := 0; i <= len(path); i++ {
		if i < len(path) {
			if c := path[i] | 0x20; letter(path[i]) || '0' <= path[i] && path[i] <= '9' {
				folded = append(folded, c)
			}
			camel := i > begin && isUpper(path[i]) && !isUpper(path[i-1])
			if letter(path[i]) && !camel {
				continue
			}
		}
		if secretWord(path[begin:i]) {
			return true
		}
		if begin = i; i < len(path) && !letter(path[i]) {
			begin++
		}
	}
	for _, part := range [...]string{
		"passw", "passphrase", "passcode", "pwd", "secret", "token", "apikey", "privatekey", "accesskey", "credential", "authorization",
		"bearer", "cookie", "csrf", "xsrf", "sessionid", "signature", "samlre", "creditcard", "cardnumber", "totp", "cvv", "onetime", "recoverycode", "jwt",
	} {
		if bytes.Contains(folded, []byte(part)) {
			return true
		}
	}
	return false
}

// secretWord knows the words that are secrets only when they stand alone: "key" is one,
// "keyword" is not.
func secretWord(word string) bool {
	if len(word) < 3 || len(word) > 9 {
		return false
	}
	switch strings.ToLower(word) {
	case "key", "keys", "otp", "pin", "pass", "card", "cvc", "csc", "pan", "ssn", "iban", "mfa", "auth", "nonce", "assertion":
		return true
	}
	return false
}

func letter(c byte) bool  { return 'a' <= c|0x20 && c|0x20 <= 'z' }
func isUpper(c byte) bool { return 'A' <= c && c <= 'Z' }
