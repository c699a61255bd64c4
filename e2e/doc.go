// Package e2e tests the built binary in front of real, unmodified servers: applications, identity
// providers, databases and a browser. e2e/setup.sh installs them.
package e2e
