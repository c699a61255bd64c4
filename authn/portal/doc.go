// Package portal is the way in and out: the pages and endpoints login, the providers' callbacks,
// whoami, logout and loggedout, on every site below its prefix. It works with whatever
// browser there is, without scripts.
//
//   - The way back after a login is a path on the same site or "/" (see ReturnPath); it is judged
//     before the login begins, so that no login ends in another place.
//   - A person with a live session is sent on, so that a second tab never throws anybody out.
//   - Who types an address is told the same whether its domain is unknown, or has no provider.
//   - Nothing here is a dead end: what went wrong is a refusal that says what to do next.
//   - No page and no answer holds a token.
//
// Portal is Plan-life and immutable: a reload makes a new one over the new providers. The sessions
// that it begins and ends live in the Runtime.
package portal
