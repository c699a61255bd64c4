// Package outbound makes the HTTP client for calls that the gateway itself makes:
// to identity providers, webhooks, bundle servers. Where such a call goes is often said by
// somebody who is not the operator (a tenant's administrator, a discovery document, a
// redirect), so the client guards against server-side request forgery:
//
//   - the address is judged after name resolution, in the dialer, on the very socket that
//     is about to connect: a name that resolves to something else the second time
//     (DNS rebinding) gains nothing;
//   - everything that is not public unicast is refused unless the operator's allow-list
//     covers it;
//   - https only; plain http solely to an allowed loopback address;
//   - redirects stay on the same origin, are few, and are judged like the first request;
//   - every call is bounded in time and in bytes.
//
// Clients are Plan-life: build new ones on reload and forget the old ones.
package outbound
