// Package demo is what `sallyport demo` stands in front of: a small CRM for several
// tenants (CRM), as an application looks that has no security of its own, and a small
// OpenID provider with one issuer for each tenant (IdP). It is outside the house: it
// knows no room, and no room knows it.
//
// The CRM is naive on purpose. It believes X-Tenant-ID, whoever sends it; it takes a
// tenant_id out of a query, a form or a JSON body; it lets everybody change everything,
// and deletes deals by GET. Never run it without a gateway in front.
//
// The IdP is not naive: authorization code flow with PKCE S256 only, single-use codes,
// exact redirect URIs, client authentication, iss in its answers. What makes it a demo is
// that its users live in memory and that it keeps no session of its own: each login asks
// for the password, so that changing the user is easy.
package demo
