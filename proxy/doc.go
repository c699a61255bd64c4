// Package proxy is the way of one request: a corridor of gates, a last door, and
// the backend behind it.
//
// Start reading at gates.go, which is the order of the gates. gateway.go walks it,
// door.go opens only for a full set of stamps, refuse.go is where every "no" becomes
// a response, tenant_header.go is where the backend learns the tenant.
//
// Gateway, Streams and Jar live as long as the process. A Plan is immutable: it is
// built aside at a reload and swapped whole; requests finish on the plan that they
// began with.
//
// The package imports the standard library and the ground floor alone.
package proxy
