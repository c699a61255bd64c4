// Package harness runs the built binary in front of real servers: it builds and starts the
// gateway with a configuration of its own, starts applications and identity providers, and
// visits them with a browser or with a small client that keeps cookies.
//
// What a test needs and does not find fails it and names e2e/setup.sh; nothing is skipped.
package harness
