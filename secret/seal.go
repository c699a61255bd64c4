package secret

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
)

// ErrSealed is wrapped by every error of Open: the box is not ours, not for this
// purpose, not for this row, or was changed.
var ErrSealed = errors.New("sealed value does not open")

const (
	sealVersion = 1
	keyIDSize   = 4
	headerSize  = 1 + keyIDSize
)

// MasterKey is the root of all sealing: 32 random bytes that are kept apart from the
// data. It is never used by itself; each purpose has a key of its own, derived by
// HKDF-SHA-256 (RFC 5869).
type MasterKey struct {
	key [32]byte
	id  [keyIDSize]byte
}

// NewMasterKey makes a random master key.
func NewMasterKey() *MasterKey {
	var raw [32]byte
	rand.Read(raw[:]) // never fails: crypto/rand ends the process instead
	return masterKey(raw)
}

// ParseMasterKey reads the text form, base64 of 32 bytes, as MasterKey.Text writes it.
func ParseMasterKey(text String) (*MasterKey, error) {
	b, err := base64.StdEncoding.Strict().DecodeString(text.Reveal())
	if err != nil || len(b) != 32 {
		return nil, fmt.Errorf("master key: want base64 of exactly 32 random bytes, as `openssl rand -base64 32` prints")
	}
	return masterKey([32]byte(b)), nil
}

func masterKey(raw [32]byte) *MasterKey {
	m := &MasterKey{key: raw}
	sum := sha256.Sum256(append([]byte("sallyport master key id\x00"), raw[:]...))
	copy(m.id[:], sum[:])
	return m
}

// Text is the form that ParseMasterKey reads.
func (m *MasterKey) Text() String { return New(base64.StdEncoding.EncodeToString(m.key[:])) }

// Sealer seals for one purpose, such as "authn/session" or "edge/certificates".
func (m *MasterKey) Sealer(purpose string) *Sealer {
	key := m.Derive(purpose)
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err) // the key is always 32 bytes
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		panic(err) // AES is always a 128-bit block cipher
	}
	return &Sealer{aead: aead, id: m.id}
}

// Derive gives 32 bytes of key material for a purpose, for MACs and the like.
func (m *MasterKey) Derive(purpose string) []byte {
	key, err := hkdf.Key(sha256.New, m.key[:], nil, "sallyport/"+purpose, 32)
	if err != nil {
		panic(err) // 32 bytes is far below the limit of RFC 5869
	}
	return key
}

// Sealer seals and opens values with AES-256-GCM under the key of one purpose.
// It is safe for concurrent use. Nonces are random: one key may seal 2^32 values
// (NIST SP 800-38D, section 8.3).
type Sealer struct {
	aead cipher.AEAD
	id   [keyIDSize]byte
}

// Seal encrypts plain. The box opens only with the same aad: pass the identity of
// the row or file that it is stored in, so that it cannot be moved to another.
// Layout: version (1 byte), key id (4), nonce (12), ciphertext, tag (16).
func (s *Sealer) Seal(plain []byte, aad string) []byte {
	box := make([]byte, headerSize, headerSize+s.aead.Overhead()+len(plain))
	box[0] = sealVersion
	copy(box[1:], s.id[:])
	return s.aead.Seal(box, nil, plain, s.bind(box[:headerSize], aad))
}

// Open decrypts what Seal made; every error wraps ErrSealed.
func (s *Sealer) Open(box []byte, aad string) ([]byte, error) {
	switch {
	case len(box) < headerSize || box[0] != sealVersion:
		return nil, fmt.Errorf("%w: not a box of ours", ErrSealed)
	case [keyIDSize]byte(box[1:headerSize]) != s.id:
		return nil, fmt.Errorf("%w: it was sealed under another master key (%x, this one is %x)", ErrSealed, box[1:headerSize], s.id)
	}
	plain, err := s.aead.Open(nil, nil, box[headerSize:], s.bind(box[:headerSize], aad))
	if err != nil {
		return nil, fmt.Errorf("%w: changed, or of another row", ErrSealed)
	}
	return plain, nil
}

func (s *Sealer) bind(header []byte, aad string) []byte {
	return append(append(make([]byte, 0, len(header)+len(aad)), header...), aad...)
}
