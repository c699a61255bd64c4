// Package authn answers who asks. It is the authenticate gate: it takes the session
// from a cookie or a bearer token, renews it in passing, and makes the one Identity
// that the rest of the corridor believes. It also ends sessions, everywhere and at
// once, and signs the assertion by which a backend knows that a request came through
// us.
//
// How a session is borne. Two cookies with the __Host- prefix: the session token, a
// JWT (EdDSA, one hour) that is verified without asking anybody, and the refresh token
// (seven days from the login, never longer), which is exchanged for the next pair when
// the first has run out. A program sends the session token as a bearer instead.
//
// How a refresh token rotates. It names its session and a generation, under a MAC; the
// database knows which generation is live. Presenting the live one makes the next in
// one atomic update. Its predecessor is still accepted, and gives the same successor,
// until that successor is first presented: so parallel tabs, retries and lost answers
// harm nobody. Anything older is a copy that somebody kept: the session ends (RFC 9700,
// section 4.14). No secret of a refresh token is stored anywhere.
//
// How a session ends. Its end is written to the database and kept in memory; each
// instance reads the list twice a second. One that has not seen the list for more than
// 5 s lets nobody in (503), since it could no longer know who has logged out.
//
// Lifetimes. Sessions (with its keys, revocation list and token cache) belongs to the
// Runtime: it lives as long as the process, and a reload does not touch it. Config is
// read when Sessions is made; changing it needs a restart. Sites and routes come with
// each Exchange, from the Plan of the day.
//
// Ways of logging in live below, in authn/oidc and its neighbours; they end in Begin.
package authn
