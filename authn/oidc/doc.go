// Package oidc lets people log in through OpenID Connect providers: authorization code flow
// with PKCE S256 (RFC 7636), state and nonce of their own for every attempt, so that two tabs
// can log in side by side.
//
// What it promises beyond what the library checks:
//
//   - A provider belongs to exactly one tenant, and the tenant of a login comes from the
//     provider alone: no claim, parameter or host name chooses it.
//   - An attempt is bound to the browser (a sealed __Host- cookie of its own), the provider, the
//     site, the origin and the return path; it lives ten minutes and is good for one use.
//   - The ID token is verified with an explicit list of asymmetric algorithms, then
//     against nonce, azp, at_hash, a single audience, the age of iat, and typ.
//   - A user is (tenant, issuer, subject). The subject that the application sees is
//     derived from these three (see subjectID); an e-mail address never links anything, and one
//     whose domain belongs to another tenant is dropped.
//   - A provider that is dead stops neither the start nor the others: discovery is lazy,
//     cached, single-flight and rate-limited, and so are the keys.
//
// Runtime lives as long as the process: the caches of discovery and keys, and the memory of used
// attempts. Set is Plan-life: the configured providers with their secrets, immutable,
// made by Runtime.Build without I/O to any provider; a reload builds a new one aside.
// An attempt that was begun under the old Set finishes under the new one when its
// provider still is the same one (name, tenant, issuer, client id), and is refused otherwise.
package oidc
