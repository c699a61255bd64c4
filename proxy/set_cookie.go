package proxy

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// setCookie is one Set-Cookie line. Attributes that we do not touch are kept as they stand.
type setCookie struct {
	name, value string
	attributes  string // "; Path=/; Max-Age=60" and the like
	sameSite    string
	httpOnly    bool
	deleted     bool // it ends the cookie
}

// parseSetCookie reads a line as browsers do (RFC 6265, section 5.2): values may be anything
// without ';' and control characters. Domain is dropped, since our host is ours.
func parseSetCookie(line string, now time.Time) (setCookie, bool) {
	head, rest, _ := strings.Cut(line, ";")
	name, value, ok := strings.Cut(head, "=")
	c := setCookie{name: strings.Trim(name, " \t"), value: strings.Trim(value, " \t")}
	if !ok || c.name == "" || !printable(c.name+c.value) || !printable(strings.ReplaceAll(line, "\t", " ")) || strings.ContainsAny(c.name, " \t\",") {
		return setCookie{}, false
	}
	var kept strings.Builder
	var expired, aged, old bool
	for part := range strings.SplitSeq(rest, ";") {
		part = strings.Trim(part, " \t")
		key, value, _ := strings.Cut(part, "=")
		key, value = strings.ToLower(strings.Trim(key, " \t")), strings.Trim(value, " \t")
		switch key {
		case "", "domain", "secure":
			continue
		case "httponly":
			c.httpOnly = true
			continue
		case "samesite":
			c.sameSite = sameSite(value)
			continue
		case "expires":
			at, err := http.ParseTime(value)
			if err != nil { // "Thu, 01-Jan-1970 00:00:01 GMT", as PHP wrote it for years
				at, err = http.ParseTime(strings.ReplaceAll(value, "-", " "))
			}
			expired = err == nil && !at.After(now)
		case "max-age":
			if seconds, err := strconv.ParseInt(value, 10, 64); err == nil {
				aged, old = true, seconds <= 0
			}
		}
		kept.WriteString("; ")
		kept.WriteString(part)
	}
	c.attributes = kept.String()
	c.deleted = old || expired && !aged // Max-Age counts before Expires
	return c, true
}

func sameSite(value string) string {
	for _, known := range [...]string{"Strict", "Lax", "None"} {
		if strings.EqualFold(value, known) {
			return known
		}
	}
	return ""
}

// String gives the line: always Secure, and SameSite=Lax where the application says nothing.
func (c setCookie) String() string {
	var b strings.Builder
	b.WriteString(c.name + "=" + c.value + c.attributes)
	if c.httpOnly {
		b.WriteString("; HttpOnly")
	}
	b.WriteString("; Secure; SameSite=")
	if c.sameSite == "" {
		b.WriteString("Lax")
	} else {
		b.WriteString(c.sameSite)
	}
	return b.String()
}
