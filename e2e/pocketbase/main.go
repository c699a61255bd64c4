// Command pocketbase is PocketBase as it comes: an unmodified REST backend for the tests.
package main

import (
	"log/slog"
	"os"

	"github.com/pocketbase/pocketbase"
)

func main() {
	if err := pocketbase.New().Start(); err != nil {
		slog.Error("pocketbase", "error", err)
		os.Exit(1)
	}
}
