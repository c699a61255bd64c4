package operation

import (
	"errors"
	"net/http"
	"strings"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/strictjson"
)

// Every refusal of this room is made here. Those of strangers are counted instead of
// audited one by one, or whoever posts rubbish to a login page owns the audit disk.
func refuse(ex *access.Exchange, status int, code, detail, remedy string) *access.Refusal {
	r := access.Refuse(status, code, detail, remedy)
	r.Counted = ex.Identity == nil
	return r
}

// bodyMalformed: the body has a type that we parse and does not parse, or parses in
// two ways.
func bodyMalformed(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusBadRequest, "body_malformed",
		"The body of the request cannot be read in exactly one way.",
		"Send it as its Content-Type says: well-formed, in UTF-8, with no name given twice in a JSON object.").Because(why)
}

// bodyIncomplete: the client went away, or its framing broke. Never a 502, since no
// backend is at fault.
func bodyIncomplete(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusBadRequest, "body_incomplete",
		"The body of the request ended before it was complete.", "Send the request again.").Because(why)
}

func bodyTimeout(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusRequestTimeout, "body_timeout",
		"The body of the request did not arrive in time.", "Send the request again over a better connection.").Because(why)
}

func bodyTooLarge(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusRequestEntityTooLarge, "body_too_large",
		"The body of the request is larger than this address allows.",
		"Send less at once, or ask your administrator to raise the limit of this address.").Because(why)
}

// bodyTooComplex: judging it would cost more than one request may.
func bodyTooComplex(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusRequestEntityTooLarge, "body_too_complex",
		"The body of the request has more fields or deeper nesting than the gateway inspects.", "Send it in smaller parts.").Because(why)
}

// typeUnsupported lists what is allowed (RFC 9110, section 15.5.16).
func typeUnsupported(ex *access.Exchange, why error) *access.Refusal {
	r := refuse(ex, http.StatusUnsupportedMediaType, "media_type_unsupported",
		"This address does not take a body of this media type.",
		"Send one of the types in the Accept header of this answer, and say so in Content-Type.").Because(why)
	r.Header = http.Header{"Accept": {strings.Join(ex.Route.Body.Types, ", ")}}
	return r
}

func charsetUnsupported(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusUnsupportedMediaType, "charset_unsupported",
		"The gateway does not read this charset.", "Send the body in UTF-8.").Because(why)
}

// encodingUnsupported lists what is allowed (RFC 9110, section 12.5.3).
func encodingUnsupported(ex *access.Exchange, why error) *access.Refusal {
	r := refuse(ex, http.StatusUnsupportedMediaType, "content_encoding_unsupported",
		"The gateway does not decode this Content-Encoding.", "Send the body plainly, or with gzip or deflate alone.").Because(why)
	r.Header = http.Header{"Accept-Encoding": {"gzip, deflate, identity"}}
	return r
}

// tenantMismatch is the tenant guard's refusal. It is audited when a known user caused it.
func tenantMismatch(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusForbidden, "tenant_mismatch",
		"The request names a tenant in its body, and not in the one way that means your own.",
		"Leave the tenant out of the request; it is known from your login.").Because(why)
}

// operationAmbiguous: two readers of this request could do two different things.
func operationAmbiguous(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusBadRequest, "operation_ambiguous",
		"The request does not say in exactly one place what it is to do.",
		"Give the parameter that names the operation once, spelled exactly.").Because(why)
}

func methodOverridden(ex *access.Exchange) *access.Refusal {
	return refuse(ex, http.StatusBadRequest, "method_override",
		"The body asks for another method than the request itself.",
		"Use the method that you mean. If this application needs the field, its administrator can name it as the operation of this address.")
}

func jsonRPCInvalid(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusBadRequest, "jsonrpc_invalid",
		"The body is not one JSON-RPC call with exactly one method.",
		"Send a single JSON object, its names without escapes and a text as its method. Batches are not taken.").Because(why)
}

// spoolUnavailable: a bound across all requests is reached, or our own disk failed.
func spoolUnavailable(why error) *access.Refusal {
	if errors.Is(why, errBudget) {
		return access.Unavailable("body_room", why)
	}
	return access.Unavailable("body_unavailable", why)
}

// notJSON refuses what strictjson refused, and hands on any other error.
func notJSON(ex *access.Exchange, err error) error {
	bad, ok := errors.AsType[*strictjson.Error](err)
	switch {
	case !ok:
		return err
	case bad.Excessive():
		return bodyTooComplex(ex, err)
	}
	return bodyMalformed(ex, err)
}

// asRefusal hands on refusals and closes everything else behind a 503.
func asRefusal(err error) error {
	if _, ok := errors.AsType[*access.Refusal](err); ok {
		return err
	}
	return spoolUnavailable(err)
}

func contentTypeAmbiguous(ex *access.Exchange, why error) *access.Refusal {
	return refuse(ex, http.StatusBadRequest, "content_type_ambiguous",
		"The Content-Type of the request cannot be read in exactly one way.",
		"Send one Content-Type header with plain parameters, such as application/json.").Because(why)
}
