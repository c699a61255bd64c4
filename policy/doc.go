// Package policy says who may do what: Open Policy Agent, embedded, with the built-in
// rules of rego/ and no way to the network.
//
// Engine is part of the Plan: New builds one aside (and may fail without touching the
// old one), it never changes, and a reload swaps it whole. There is no Runtime part;
// what an Engine derives from a session it keeps in that session's Memo.
//
// input.go is all that Rego sees. rego/permissions.rego is the table of roles,
// rego/authz.rego how it is read. areas.go sorts resource types into the areas that
// the table speaks of.
//
// Direction of failure: closed. No decision, more than one, one of another shape, an
// error, a contradiction, a passed deadline, a panic, an input beyond its bounds and
// the zero Engine are all a no.
package policy
