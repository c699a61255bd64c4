package waf

import (
	"context"
	"net/http"
	"strconv"
	"strings"

	"github.com/sallyport/sallyport/access"
)

// Bounds of a head beside Limits.Head. Each header, cookie and parameter is judged
// by hundreds of rules, so their number costs more than their bytes. Browsers send
// some 20 headers and keep at most about 180 cookies per domain.
const (
	maxHeaders  = 128
	maxCookies  = 200
	maxSegments = 64
)

// head is what rules see of a request's beginning.
type head struct {
	method, target, path, proto, host string
	client                            string
	header                            http.Header
	length                            int64 // as in http.Request.ContentLength
	hasBody                           bool
	portal                            bool // for a login page of ours
}

func headOf(ex *access.Exchange) head {
	r := ex.Request
	h := head{
		method: r.Method, target: ex.Target.Raw, path: ex.Target.Path, proto: r.Proto, host: r.Host,
		header: r.Header, length: r.ContentLength, hasBody: ex.Body.Present,
		portal: ex.Route.Class == access.Portal && ex.Route.Endpoint != nil,
	}
	if ex.Client.Addr.IsValid() {
		h.client = ex.Client.Addr.String()
	}
	return h
}

// headBounds refuses a head that is too dear to judge or has two readings, and a
// body whose type is not allowed, before anything reads that body.
func (e *Engine) headBounds(ex *access.Exchange) feeder {
	return func(context.Context, *transaction) error {
		if !ex.Body.Present {
			return nil
		}
		return e.checkType(ex)
	}
}

// check bounds the head. It is part of every judgement, since the bounds protect us.
func (h head) check(l Limits) error {
	bytes, headers, cookies := len(h.method)+len(h.target)+len(h.host), 0, 0
	for name, values := range h.header {
		for _, v := range values {
			headers++
			bytes += len(name) + len(v)
			if name == "Cookie" {
				cookies += strings.Count(v, ";") + 1
			}
		}
	}
	switch {
	case int64(bytes) > int64(l.Head), headers > maxHeaders, cookies > maxCookies,
		strings.Count(h.path, "/") > maxSegments:
		return breachHeadSize
	case len(h.header["Content-Type"]) > 1:
		return breachHeader
	}
	_, query, _ := strings.Cut(h.target, "?")
	if strings.Count(query, "&") >= l.Arguments {
		return breachValues
	}
	return nil
}

// feed gives a transaction the head.
func (h head) feed(tx *transaction, l Limits) error {
	if err := h.check(l); err != nil {
		return err
	}
	tx.ProcessConnection(h.client, 0, "", 0)
	tx.ProcessURI(h.target, h.method, h.proto)
	tx.SetServerName(h.host)
	tx.AddRequestHeader("Host", h.host)
	for name, values := range h.header {
		if name == "Cookie" {
			feedCookies(tx, withoutSeals(values))
			continue
		}
		for _, v := range values {
			tx.AddRequestHeader(unique(name), v)
		}
	}
	if h.portal {
		tx.vars.TX().Set("sallyport_portal", []string{"1"})
	}
	h.feedFraming(tx)
	h.feedSegments(tx)
	h.feedNameless(tx)
	return nil
}

// feedFraming gives the body's framing, for the rules that compare it with the method,
// where it is not among the headers: net/http takes it out of them, or there was none.
func (h head) feedFraming(tx *transaction) {
	switch {
	case len(h.header["Content-Length"]) > 0:
	case !h.hasBody:
		if h.method == http.MethodPost || h.method == http.MethodPut || h.method == http.MethodPatch {
			tx.AddRequestHeader("Content-Length", "0")
		}
	case h.length >= 0:
		tx.AddRequestHeader("Content-Length", strconv.FormatInt(h.length, 10))
	case h.proto == "HTTP/1.1":
		tx.AddRequestHeader("Transfer-Encoding", "chunked")
	}
}

// feedSegments judges the path's elements like arguments. Elements of letters,
// digits and "-._~@+:," alone cannot leave a string or a command, and would only
// look like commands to the rules: /api/time, /users/who.
func (h head) feedSegments(tx *transaction) {
	for i, segment := range strings.Split(strings.TrimPrefix(h.path, "/"), "/") {
		if !plain(segment) {
			tx.AddPathRequestArgument("path."+strconv.Itoa(i), segment)
		}
	}
}

func plain(segment string) bool {
	for i := range len(segment) {
		c := segment[i]
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && strings.IndexByte("-._~@+:,", c) < 0 {
			return false
		}
	}
	return true
}

// feedNameless repeats parameters without a name ("?=a&=b") under names of our own.
// Nameless ones all share the address of the empty string, see unique.
func (h head) feedNameless(tx *transaction) {
	_, query, _ := strings.Cut(h.target, "?")
	n := 0
	for pair := range strings.SplitSeq(query, "&") {
		if strings.HasPrefix(pair, "=") && len(pair) > 1 {
			n++
			tx.AddGetRequestArgument("nameless."+strconv.Itoa(n), unescape(pair[1:]))
		}
	}
}

// feedCookies gives each cookie apart when two have the same name, which Coraza
// would keep under one name, see unique. Both are judged: backends differ in which
// of them they take.
func feedCookies(tx *transaction, lines []string) {
	seen := map[string]bool{}
	repeated := len(lines) > 1
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			name, _, _ := strings.Cut(pair, "=")
			// Coraza trims spaces and control characters around names.
			name = strings.TrimFunc(name, func(r rune) bool { return r <= ' ' || r == 0x7f })
			repeated = repeated || seen[name]
			seen[name] = true
		}
	}
	for _, line := range lines {
		if !repeated {
			tx.AddRequestHeader(unique("Cookie"), line)
			continue
		}
		for pair := range strings.SplitSeq(line, ";") {
			tx.AddRequestHeader(unique("Cookie"), unique(strings.TrimSpace(pair)))
		}
	}
}

// unescape decodes a name or value of a query or form, leaving bad escapes as they
// are, like the lenient decoders behind us.
func unescape(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c == '+' {
			c = ' '
		} else if c == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi >= 0 && lo >= 0 {
				c = byte(hi<<4 | lo)
				i += 2
			}
		}
		b = append(b, c)
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
