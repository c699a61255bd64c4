package operation

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/observe"
)

// Spool is where bodies stay while they are judged. It lives as long as the process:
// it bounds the bodies of all requests together and holds the key that seals them, which
// is made here, is kept nowhere else and ends with the process.
type Spool struct {
	dir    string
	aead   cipher.AEAD
	serial atomic.Uint64 // of the last file: half of the nonces
	memory budget
	disk   budget
}

// NewSpool makes a Spool. It does no I/O.
func NewSpool(cfg Config, meter observe.Meter) *Spool {
	cfg = cfg.WithDefaults()
	var key [32]byte
	rand.Read(key[:]) // never fails: crypto/rand ends the process instead
	block, err := aes.NewCipher(key[:])
	if err != nil {
		panic(err) // the key is always 32 bytes
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err) // AES is always a 128-bit block cipher
	}
	gauge := meter.Gauge("sallyport_body_held_bytes", "Bytes of request bodies held while they are judged and forwarded.", "place")
	return &Spool{dir: cfg.Dir, aead: aead,
		memory: budget{place: "memory", max: int64(cfg.MemoryTotal), gauge: gauge},
		disk:   budget{place: "disk", max: int64(cfg.DiskTotal), gauge: gauge}}
}

// errReleased is returned by readers of a body whose request is over.
var errReleased = errors.New("the body was released")

// spooled is one body: its head in memory, the rest, if any, in a sealed file.
type spooled struct {
	head []byte
	file *sealedFile
	size int64

	memory, disk claim
	release      sync.Once
}

func (s *Spool) newBody() *spooled {
	return &spooled{memory: claim{of: &s.memory}, disk: claim{of: &s.disk}}
}

// fill reads src to its end: at most memory bytes into memory, what is over into a
// sealed file. hint is the expected size, or -1; it is not trusted.
func (s *Spool) fill(b *spooled, src io.Reader, memory, hint int64) error {
	for {
		if len(b.head) == cap(b.head) {
			if int64(cap(b.head)) >= memory {
				break
			}
			if err := b.growHead(memory, hint); err != nil {
				return err
			}
		}
		n, err := src.Read(b.head[len(b.head):cap(b.head)])
		b.head = b.head[:len(b.head)+n]
		b.size += int64(n)
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return s.overflow(b, src)
}

// growHead makes room: a page first, then four times as much each time, but never more than one byte over
// what is expected, so that the end is seen without growing again. Memory is charged as
// bytes arrive: a client that announces much and sends nothing holds little.
func (b *spooled) growHead(memory, hint int64) error {
	const page = 4 << 10
	want := max(4*int64(cap(b.head)), page)
	if hint >= int64(len(b.head)) {
		want = min(want, hint+1)
	}
	want = min(max(want, 512), memory)
	if err := b.memory.grow(want - int64(cap(b.head))); err != nil {
		return err
	}
	head := make([]byte, len(b.head), want)
	copy(head, b.head)
	b.head = head
	return nil
}

// overflow reads the rest of src into a sealed file. The file is made with the first
// byte: a body that fits into memory exactly has none.
func (s *Spool) overflow(b *spooled, src io.Reader) error {
	if err := b.memory.grow(sealedChunk); err != nil {
		return err
	}
	buf := make([]byte, sealedChunk)
	for {
		n, err := io.ReadFull(src, buf)
		if n > 0 {
			if b.file == nil {
				file, err := s.newFile()
				if err != nil {
					return fmt.Errorf("make a spool file: %w", err)
				}
				b.file = file
			}
			if err := b.disk.grow(int64(n)); err != nil {
				return err
			}
			if err := b.file.append(buf[:n]); err != nil {
				return fmt.Errorf("write a spool file: %w", err)
			}
			b.size += int64(n)
		}
		switch err {
		case nil:
		case io.EOF, io.ErrUnexpectedEOF: // of ReadFull; src's own errors are refusals
			return nil
		default:
			return err
		}
	}
}

// open gives the bytes from the beginning.
func (b *spooled) open() (io.ReadCloser, error) {
	return &bodyReader{body: b}, nil
}

// free closes the file, which has no name any more, and gives the room back. Readers
// that are still at work fail if they need the file.
func (b *spooled) free() {
	b.release.Do(func() {
		if b.file != nil {
			b.file.close()
		}
		b.memory.free()
		b.disk.free()
	})
}

// bodyReader reads a spooled body once from the beginning.
type bodyReader struct {
	body   *spooled
	off    int64
	chunk  []byte // the opened chunk that holds off, from its beginning
	number int64  // of chunk, plus one; 0 is none
	closed bool
}

// Read implements io.Reader.
func (r *bodyReader) Read(p []byte) (int, error) {
	switch head := int64(len(r.body.head)); {
	case r.closed:
		return 0, errReleased
	case len(p) == 0:
		return 0, nil
	case r.off == r.body.size:
		return 0, io.EOF
	case r.off < head:
		n := copy(p, r.body.head[r.off:])
		r.off += int64(n)
		return n, nil
	default:
		at := r.off - head
		if err := r.load(at / sealedChunk); err != nil {
			return 0, err
		}
		n := copy(p, r.chunk[at%sealedChunk:])
		r.off += int64(n)
		return n, nil
	}
}

// WriteTo implements io.WriterTo: the part in memory goes out in one write.
func (r *bodyReader) WriteTo(w io.Writer) (int64, error) {
	var written int64
	for !r.closed && r.off < r.body.size {
		piece := r.body.head[min(r.off, int64(len(r.body.head))):]
		if len(piece) == 0 {
			at := r.off - int64(len(r.body.head))
			if err := r.load(at / sealedChunk); err != nil {
				return written, err
			}
			piece = r.chunk[at%sealedChunk:]
		}
		n, err := w.Write(piece)
		r.off += int64(n)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	if r.closed {
		return written, errReleased
	}
	return written, nil
}

// load opens a chunk of the file, unless it is the one at hand.
func (r *bodyReader) load(number int64) error {
	if r.number == number+1 {
		return nil
	}
	chunk, err := r.body.file.chunk(number, r.chunk)
	if err != nil {
		r.number = 0 // the room was written over
		return err
	}
	r.chunk, r.number = chunk, number+1
	return nil
}

// Close implements io.Closer.
func (r *bodyReader) Close() error {
	r.closed = true
	return nil
}
