// Package waf tells what looks like an attack: OWASP Coraza with the OWASP Core
// Rule Set behind a base configuration of our own.
//
// An [Engine] belongs to the Plan: it is immutable, built by [New] from one
// [Config], shared by all sites and requests, and closed when the last request of
// its Plan has ended. Nothing here belongs to the Runtime.
//
// # What is judged
//
// InspectHead judges the request line, query, cookies and headers, before the
// client has proved who it is, so that the parsers behind it are protected too.
// InspectBody judges the whole request with its body. Path segments that hold more
// than letters, digits and the unreserved marks are judged like arguments, since
// REST applications keep data there.
//
//   - JSON (also *+json): every key and scalar, decoded. Broken, too deep or too
//     wide JSON is refused.
//   - Forms: every field.
//   - XML: the text and attributes of every element. A document type declaration
//     is refused: it is the way to XXE and entity bombs, and no CRM needs it.
//   - multipart: every field, and of files their names and part headers.
//   - Text (and whatever is not known to be binary): as one value, and as JSON when
//     it begins like JSON.
//   - Binary types: their leading JSON value, when they begin like JSON.
//
// What is not judged: the content of uploaded files, in spooled and in streamed
// bodies; Base64 and other encodings inside values; what a body says beyond the
// limits (that is refused instead). Of a stream (a route with stream: true) the
// multipart fields are judged as they pass; a stream of JSON, a form or XML is
// refused, because it could only be judged after the backend has read it.
//
// Coraza never gets the content of a file, and never a body large enough to be
// written to disk in clear.
//
// # Modes
//
// A refusal in mode enforce, a finding and a log line in mode shadow, nothing in
// mode off. Each site has its mode, and Config.Mode is the strictest of all. Both
// modes run the same rules, so that shadow tells what enforce would do.
//
// # Failure
//
// Closed: an engine that is missing, not built by New, closed, or that fails or
// panics over a request answers with an error, which the corridor turns into a 503.
// A site in shadow mode protects nothing yet, so there the failure is counted and
// logged and the request passes.
package waf
