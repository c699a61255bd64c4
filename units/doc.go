// Package units holds the scalar types of the configuration: sizes, spans of time and
// rates, each with one parser, one printer and a pattern for the JSON Schema.
package units
