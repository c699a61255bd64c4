package operation

import (
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"slices"
)

// sealedChunk is how many bytes of a body are sealed together.
const sealedChunk = 64 << 10

// sealedFile is a temporary file without a name whose content is sealed chunk by chunk
// with AES-256-GCM. The nonce is the file's serial number and the chunk's: unique under
// the key, because the key is of this process, serials are never used twice and a chunk
// is written once. A chunk that was changed, moved, cut or taken from another file does not open.
type sealedFile struct {
	spool  *Spool
	file   *os.File
	serial uint64
	size   int64 // plain bytes; every chunk but the last is full
}

func (s *Spool) newFile() (*sealedFile, error) {
	f, err := os.CreateTemp(s.dir, "sallyport-body-*")
	if err != nil {
		return nil, err
	}
	// Without a name nobody else can open it, and it is gone when the process is.
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, err
	}
	return &sealedFile{spool: s, file: f, serial: s.serial.Add(1)}, nil
}

func (f *sealedFile) nonce(chunk int64) []byte {
	var nonce [12]byte
	binary.BigEndian.PutUint64(nonce[:8], f.serial)
	binary.BigEndian.PutUint32(nonce[8:], uint32(chunk)) // 2^32 chunks are 256 TiB
	return nonce[:]
}

// append seals one chunk; only the last may be shorter than sealedChunk.
func (f *sealedFile) append(plain []byte) error {
	if f.size%sealedChunk != 0 || len(plain) > sealedChunk {
		return fmt.Errorf("a chunk of %d bytes after %d bytes", len(plain), f.size)
	}
	chunk := f.size / sealedChunk
	box := f.spool.aead.Seal(make([]byte, 0, len(plain)+f.spool.aead.Overhead()), f.nonce(chunk), plain, nil)
	if _, err := f.file.WriteAt(box, f.at(chunk)); err != nil {
		return err
	}
	f.size += int64(len(plain))
	return nil
}

func (f *sealedFile) at(chunk int64) int64 {
	return chunk * int64(sealedChunk+f.spool.aead.Overhead())
}

// chunk opens one chunk in the room of buf. Its length is known, so that a shortened
// file is an error and never a short body.
func (f *sealedFile) chunk(chunk int64, buf []byte) ([]byte, error) {
	n := int(min(f.size-chunk*sealedChunk, sealedChunk)) + f.spool.aead.Overhead()
	box := slices.Grow(buf[:0], n)[:n]
	if _, err := io.ReadFull(io.NewSectionReader(f.file, f.at(chunk), int64(len(box))), box); err != nil {
		return nil, fmt.Errorf("read a spooled body: %w", err)
	}
	out, err := f.spool.aead.Open(box[:0], f.nonce(chunk), box, nil)
	if err != nil {
		return nil, fmt.Errorf("a spooled body was changed on disk: %w", err)
	}
	return out, nil
}

func (f *sealedFile) close() { f.file.Close() }
