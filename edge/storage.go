package edge

import (
	"context"
	"fmt"

	"github.com/caddyserver/certmagic"
)

// Sealer seals what is stored; *secret.Sealer is one. The aad binds a value to its key,
// so that no file can be put in the place of another.
type Sealer interface {
	Seal(plain []byte, aad string) []byte
	Open(box []byte, aad string) ([]byte, error)
}

// sealedStorage is a certmagic.Storage that seals every value: private keys, account
// keys and challenge tokens never rest in clear (promise 7). Certificates are sealed
// with them, because a rule without exceptions cannot be got wrong. Names, sizes and
// locks show.
//
// A value that does not open is an error and never "not there": certmagic would order a
// new certificate and write over what another master key still opens.
type sealedStorage struct {
	certmagic.Storage
	sealer Sealer
}

// newSealedStorage stores in a folder, which is made with mode 0700 when it is needed.
func newSealedStorage(dir string, sealer Sealer) *sealedStorage {
	return &sealedStorage{Storage: &certmagic.FileStorage{Path: dir}, sealer: sealer}
}

// Store implements certmagic.Storage.
func (s *sealedStorage) Store(ctx context.Context, key string, value []byte) error {
	return s.Storage.Store(ctx, key, s.sealer.Seal(value, key))
}

// Load implements certmagic.Storage; the error for what is not there is fs.ErrNotExist.
func (s *sealedStorage) Load(ctx context.Context, key string) ([]byte, error) {
	box, err := s.Storage.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	plain, err := s.sealer.Open(box, key)
	if err != nil {
		return nil, fmt.Errorf("stored %s: %w", key, err)
	}
	return plain, nil
}
