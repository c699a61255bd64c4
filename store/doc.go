// Package store opens the one SQL database, SQLite or PostgreSQL, and runs the
// migrations that each owner embeds. It owns no table of the application: a table
// lives with the room that reads and writes it, so this package knows no column.
//
// SQL is written once for both databases, in their intersection: $1 placeholders,
// BIGINT times in microseconds since 1970, TEXT for JSON, BYTEA for bytes, ON
// CONFLICT and RETURNING, one statement where one suffices.
//
// DB belongs to the Runtime: it lives as long as the process, and a changed store
// configuration needs a restart. Config is part of the Plan's input and does no I/O.
package store
