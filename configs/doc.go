// Package configs loads sallyport.yaml: the tree of the rooms' own Config types, read
// strictly. It reports everything that is wrong at once, each with file, line, column, the
// line itself and a hint; it does no network I/O and changes nothing.
//
// example.yaml and crm.yaml beside this file are loaded by a test; the JSON Schema is
// generated from the types.
package configs
