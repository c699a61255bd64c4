package access

import (
	"fmt"
	"net/http"
	"time"
)

// Refusal is a "no" with two halves: what the client may know, and why it really
// was. Every gate refuses with one; any other error becomes a 503. proxy/refuse.go is the only
// place that turns it into a response.
type Refusal struct {
	// Status is the HTTP status, 400 to 599.
	Status int
	// Code is the reason code: lower case with underscores, the same for ever.
	Code string
	// Detail is one sentence for the client: what happened. No internals.
	Detail string
	// Remedy is one sentence for the client: what to do next. May be "".
	Remedy string
	// RetryAfter, when positive, becomes the Retry-After header, in whole seconds
	// rounded up (RFC 9110, section 10.2.3).
	RetryAfter time.Duration
	// Header holds further response headers. May be nil.
	Header http.Header
	// Login says that a person could get further by logging in: a navigation is sent
	// to the login page, a program gets Status.
	Login bool
	// Counted refusals (floods, probes) are counted per address and minute instead of
	// audited one by one, or an attacker owns the audit disk.
	Counted bool
	// Gate is the gate that refused; written by the corridor.
	Gate string
	// Err is the private half: for the log alone. May be nil.
	Err error
}

// Error gives both halves, for logs. It must not be shown to clients.
func (r *Refusal) Error() string {
	if r.Err != nil {
		return fmt.Sprintf("%s (%d): %v", r.Code, r.Status, r.Err)
	}
	return fmt.Sprintf("%s (%d)", r.Code, r.Status)
}

// Unwrap gives the private half.
func (r *Refusal) Unwrap() error { return r.Err }

// Refuse makes a Refusal.
func Refuse(status int, code, detail, remedy string) *Refusal {
	return &Refusal{Status: status, Code: code, Detail: detail, Remedy: remedy}
}

// Because adds the private half and returns r.
func (r *Refusal) Because(err error) *Refusal {
	r.Err = err
	return r
}

// Unavailable refuses because something of ours cannot answer: 503, closed.
func Unavailable(code string, err error) *Refusal {
	return &Refusal{Status: http.StatusServiceUnavailable, Code: code, Err: err,
		Detail:     "The gateway cannot check this request at the moment, so it does not let it through.",
		Remedy:     "Try again in a few seconds. If it goes on, tell your administrator the request id.",
		RetryAfter: 5 * time.Second}
}

// Answer is returned as an error by a gate that has answered the request itself,
// such as a CORS preflight: not a refusal, but the end of the corridor.
type Answer struct {
	Status int
	Header http.Header
}

// Error implements error, so that a gate can return it.
func (a *Answer) Error() string { return fmt.Sprintf("answered with %d", a.Status) }
