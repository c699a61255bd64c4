package e2e

import (
	"net/http"
	"sync"
	"testing"
	"time"

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

// pastTheGateway is for what whoever runs a backend does there directly.
func pastTheGateway() *http.Client {
	return &http.Client{Timeout: time.Minute, Transport: &http.Transport{DisableKeepAlives: true}}
}
