package waf

import (
	"fmt"
	"net/http"

	"github.com/sallyport/sallyport/access"
)

// breach is a request that cannot be inspected whole or in one reading, found by us
// and not by a rule of CRS. Its value is a rule id in the range that SecLang leaves
// to local rules, so that findings and counters name it like any rule.
type breach int

const (
	breachValues    breach = 90001 // more values than are inspected
	breachBodySize  breach = 90002
	breachHeadSize  breach = 90003
	breachDepth     breach = 90004
	breachJSON      breach = 90005
	breachXML       breach = 90006
	breachDoctype   breach = 90007
	breachMultipart breach = 90008
	breachType      breach = 90009 // a media type that is not allowed
	breachTarget    breach = 90010 // see base.conf
	breachEncoded   breach = 90011 // a body that is still compressed
	breachStream    breach = 90012 // a stream of a type that can only be judged whole
	breachHeader    breach = 90013 // a header that can be read in two ways
)

// message is the finding's text.
func (b breach) message() string {
	switch b {
	case breachValues:
		return "More values than are inspected"
	case breachBodySize:
		return "More bytes in the body than are inspected"
	case breachHeadSize:
		return "More bytes, headers or cookies than are inspected"
	case breachDepth:
		return "Nested deeper than is inspected"
	case breachJSON:
		return "Body is not JSON"
	case breachXML:
		return "Body is not XML in UTF-8"
	case breachDoctype:
		return "XML with a document type declaration"
	case breachMultipart:
		return "Multipart body is broken or can be read in two ways"
	case breachType:
		return "Media type is not allowed"
	case breachTarget:
		return "Request target cannot be parsed"
	case breachEncoded:
		return "Body is still encoded"
	case breachStream:
		return "Streamed body of a type that can only be judged whole"
	case breachHeader:
		return "Header that can be read in two ways"
	}
	return "Request cannot be inspected"
}

// Error implements error.
func (b breach) Error() string { return fmt.Sprintf("rule %d: %s", int(b), b.message()) }

// refusal says to the client what kind of thing is wrong, which it knows anyway,
// and no limit and no rule.
func (b breach) refusal() *access.Refusal {
	switch b {
	case breachValues, breachBodySize, breachDepth:
		return access.Refuse(http.StatusRequestEntityTooLarge, "waf_too_large",
			"The request holds more than the gateway can inspect.",
			"Send less at once, or upload it as a file.")
	case breachHeadSize:
		return access.Refuse(http.StatusRequestHeaderFieldsTooLarge, "waf_head_too_large",
			"The request's address and headers hold more than the gateway can inspect.",
			"Shorten the address, or delete this site's cookies.")
	case breachType, breachEncoded, breachStream:
		return access.Refuse(http.StatusUnsupportedMediaType, "waf_media_type",
			"The gateway does not accept content of this type here.",
			"Send it in a type that this address accepts.")
	}
	return access.Refuse(http.StatusBadRequest, "waf_malformed",
		"The request cannot be read as what it claims to be.",
		"Check the request's address and content.")
}

// blocked is the refusal for everything that rules recognize as an attack. It must
// not help a stranger to find out which rule it was.
func blocked() *access.Refusal {
	return access.Refuse(http.StatusForbidden, "waf_blocked",
		"The request looks like an attack, so the gateway does not let it through.",
		"If you meant no harm, tell your administrator the request id.")
}
