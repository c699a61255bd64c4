// Package acme tests that the edge gets, keeps and renews certificates from a real ACME
// authority: Pebble, Let's Encrypt's own test server, in this process.
package acme
