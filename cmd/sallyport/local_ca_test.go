package main

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestTheLocalAuthoritysCertificateIsThereToTrust(t *testing.T) {
	g := newWired(t, nil)
	pem, err := os.ReadFile(filepath.Join(g.active().loaded.Tree.Edge.TLS.Storage, "local_ca.pem"))
	if err != nil || !bytes.Equal(pem, g.edge.RootPEM()) || bytes.Contains(pem, []byte("PRIVATE")) {
		t.Errorf("%v: %s", err, pem)
	}
}
