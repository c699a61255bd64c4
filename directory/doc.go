// Package directory knows who exists. For now that is the tenants that the
// configuration file names and the e-mail domains that belong to them.
//
// A Directory is Plan-life: immutable, made anew by a reload, safe for concurrent use.
package directory
