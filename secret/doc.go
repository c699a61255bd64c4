// Package secret holds values that must not be seen: strings that never print,
// references to where a secret is kept, and sealing with AES-256-GCM under a master
// key that lives apart from the data.
package secret
