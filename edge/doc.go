// Package edge is where bytes come in: sockets, TLS, plain HTTP on port 80, the limits
// of a connection, and the end of it all when the process stops.
//
// An Edge is of the Runtime: it lives as long as the process, and its listeners outlive
// every reload. What a reload may change goes through Prepare, which builds aside and
// may fail without touching anything, and Change.Commit, which cannot fail. What needs
// a restart is told by NeedsRestart. There is no part of the Plan here.
//
// What it does not let through:
//
//   - TLS below 1.2, suites without forward secrecy or authenticated encryption, and
//     handshakes for a name that is not configured (alert unrecognized_name).
//   - Heads that come too slowly or are too large, bodies that make no progress, clients
//     that do not take their answer, idle connections, and more connections than one
//     address (IPv6: one /64) or the whole process may have. What makes progress lives:
//     downloads and uploads of any length, long polls, event streams, WebSockets.
//   - Plain HTTP: port 80 answers ACME challenges and sends GET and HEAD to HTTPS; it
//     refuses the rest, so that a client that posts secrets in clear learns it.
//
// HTTP/2: at most max_streams requests at a time on a connection. "Rapid reset"
// (CVE-2023-44487) is met by net/http, which since Go 1.21.3 starts no more handlers
// than that whatever is reset; CONTINUATION floods (CVE-2023-45288) are bounded by
// max_header since Go 1.22.2. There is no HTTP/2 in clear.
//
// Private keys rest sealed (sealedStorage), whoever issued the certificate; only own
// certificate files are as their owner keeps them.
package edge
