package session

import (
	"embed"
	"io/fs"
)

// Owner is the name under which the migrations are counted.
const Owner = "authn"

//go:embed migrations/*.sql
var migrations embed.FS

// Migrations are the files that make and change the tables of this package.
func Migrations() fs.FS {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		panic(err) // the name is a constant and the files are in the binary
	}
	return files
}
