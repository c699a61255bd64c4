package e2e

import (
	"sync"
	"testing"

	"github.com/sallyport/sallyport/e2e/harness"
)

// built is the gateway's binary, built once.
var built = sync.OnceValues(harness.Binary)

func binary(t testing.TB) string {
	t.Helper()
	path, err := built()
	if err != nil {
		t.Fatal(err)
	}
	return path
}
