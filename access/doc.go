// Package access holds the nouns of the house: what every room may say to every
// other without a door between them. It imports nothing but the standard library
// and knows no policy, no database and no socket.
//
// Two rules keep it honest. Zero values refuse: a zero Decision denies, a zero
// Route is mutating and of no class, a zero TenantID is no tenant. And each part
// of an Exchange has one writer, named in its comment.
package access
