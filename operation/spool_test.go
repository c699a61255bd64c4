package operation

import (
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sallyport/sallyport/observe"
	"github.com/sallyport/sallyport/units"
)

// spill spools a body that is larger than memory and gives it with its file's content.
func spill(t *testing.T, text string) (*spooled, *Spool) {
	t.Helper()
	spool := NewSpool(Config{Dir: t.TempDir()}, observe.Discard{})
	body := spool.newBody()
	t.Cleanup(body.free)
	if err := spool.fill(body, strings.NewReader(text), 4<<10, -1); err != nil {
		t.Fatal(err)
	}
	if body.file == nil {
		t.Fatal("nothing was written to a file")
	}
	return body, spool
}

func readAll(b *spooled) (string, error) {
	r, err := b.open()
	if err != nil {
		return "", err
	}
	got, err := io.ReadAll(r)
	return string(got), err
}

func TestASpoolFileHasNoNameAndIsNotReadableInClear(t *testing.T) {
	text := strings.Repeat("the customer's secret ", 20_000)
	body, spool := spill(t, text)
	left, err := os.ReadDir(spool.dir)
	if err != nil || len(left) != 0 {
		t.Errorf("names are left in the spool's folder: %v, %v", left, err)
	}
	info, err := body.file.file.Stat()
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	onDisk, err := io.ReadAll(io.NewSectionReader(body.file.file, 0, 1<<30))
	if err != nil || len(onDisk) < len(text)-4<<10 {
		t.Fatalf("read back %d bytes, %v", len(onDisk), err)
	}
	if bytes.Contains(onDisk, []byte("secret")) {
		t.Error("the file shows the body")
	}
	if got, err := readAll(body); err != nil || got != text {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestATamperedSpoolFileFails(t *testing.T) {
	text := strings.Repeat("x", 4<<10+3*sealedChunk)
	box := int64(sealedChunk + 16)
	for name, tamper := range map[string]func(t *testing.T, f *os.File){
		"one bit in the last chunk": func(t *testing.T, f *os.File) {
			b := make([]byte, 1)
			f.ReadAt(b, 3*box-1)
			b[0] ^= 1
			f.WriteAt(b, 3*box-1)
		},
		"two chunks changed places": func(t *testing.T, f *os.File) {
			first, second := make([]byte, box), make([]byte, box)
			f.ReadAt(first, 0)
			f.ReadAt(second, box)
			f.WriteAt(second, 0)
			f.WriteAt(first, box)
		},
		"cut short": func(t *testing.T, f *os.File) { f.Truncate(2 * box) },
		"emptied":   func(t *testing.T, f *os.File) { f.Truncate(0) },
		"another file's chunk": func(t *testing.T, f *os.File) {
			other, spool := spill(t, text)
			_ = spool
			chunk := make([]byte, box)
			other.file.file.ReadAt(chunk, 0)
			f.WriteAt(chunk, 0)
		},
	} {
		body, _ := spill(t, text)
		tamper(t, body.file.file)
		if got, err := readAll(body); err == nil || err == io.EOF {
			t.Errorf("%s: read %d bytes without an error", name, len(got))
		}
	}
	// The same key, another file: the serial number is in the nonce.
	body, spool := spill(t, text)
	other := spool.newBody()
	defer other.free()
	if err := spool.fill(other, strings.NewReader(text), 4<<10, -1); err != nil {
		t.Fatal(err)
	}
	chunk := make([]byte, box)
	other.file.file.ReadAt(chunk, 0)
	body.file.file.WriteAt(chunk, 0)
	if _, err := readAll(body); err == nil {
		t.Error("a chunk of another file under the same key opens")
	}
}

func TestATamperedBodyIsRefusedByTheGate(t *testing.T) {
	r, _ := newReader(t, Config{Memory: 4 * units.KiB})
	ex := exchange(t, typeJSON, strings.NewReader(`["`+strings.Repeat("x", 100<<10)+`"]`))
	if err := r.Read(ex); err != nil {
		t.Fatal(err)
	}
	ex.Request.Body.(*bodyReader).body.file.file.WriteAt([]byte("tampered"), 100)
	wantVerdict(t, "a changed file", r.Complete(ex), "503 body_unavailable")
}

func TestReleasedBodiesCannotBeRead(t *testing.T) {
	body, _ := spill(t, strings.Repeat("x", 100<<10))
	body.free()
	body.free()
	if _, err := readAll(body); !errors.Is(err, os.ErrClosed) {
		t.Errorf("got %v", err)
	}
	small := &spooled{head: []byte("abc"), size: 3}
	r, _ := small.open()
	r.Close()
	if _, err := r.Read(make([]byte, 3)); err == nil {
		t.Error("a closed reader reads")
	}
	if _, err := r.(io.WriterTo).WriteTo(io.Discard); err == nil {
		t.Error("a closed reader writes")
	}
}

func TestAMissingSpoolFolderIsOurs(t *testing.T) {
	r, spool := newReader(t, Config{Memory: 4 * units.KiB, Dir: filepath.Join(t.TempDir(), "missing")})
	ex := exchange(t, "application/octet-stream", strings.NewReader(strings.Repeat("x", 100<<10)))
	wantVerdict(t, "no folder", r.Read(ex), "503 body_unavailable")
	noLeak(t, ex, spool)
	ex = exchange(t, "application/octet-stream", strings.NewReader("small"))
	wantVerdict(t, "a body that needs no file", r.Read(ex), "passed")
}

func TestAllBodiesTogetherAreBounded(t *testing.T) {
	cfg := Config{Memory: 4 * units.KiB, MemoryTotal: 300 * units.KiB, DiskTotal: 150 * units.KiB}
	r, spool := newReader(t, cfg)
	large := func() io.Reader { return unsized(strings.Repeat("x", 100<<10)) }
	first := exchange(t, "application/octet-stream", large())
	wantVerdict(t, "the first", r.Read(first), "passed")
	second := exchange(t, "application/octet-stream", large())
	err := r.Read(second)
	wantVerdict(t, "the second, over the disk's bound", err, "503 body_room")
	if refusal := err.(interface{ Unwrap() error }); !errors.Is(refusal.Unwrap(), errBudget) {
		t.Errorf("the private half: %v", err)
	}
	first.Body.Release()
	third := exchange(t, "application/octet-stream", large())
	wantVerdict(t, "the third, after the first was released", r.Read(third), "passed")
	noLeak(t, third, spool)
	noLeak(t, second, spool)

	r, spool = newReader(t, Config{Memory: 4 * units.KiB, MemoryTotal: 4 * units.KiB})
	ex := exchange(t, typeJSON, strings.NewReader(`["`+strings.Repeat("x", 2<<10)+`"]`))
	wantVerdict(t, "memory: reading", r.Read(ex), "passed")
	wantVerdict(t, "memory: judging", r.Complete(ex), "503 body_room")
	noLeak(t, ex, spool)
}

func TestWhatIsAnnouncedIsNotYetCharged(t *testing.T) {
	r, spool := newReader(t, Config{})
	ex := exchange(t, "application/octet-stream", nil)
	ex.Request.ContentLength = 10 << 20
	ex.Request.Body = io.NopCloser(readerFunc(func([]byte) (int, error) {
		if spool.memory.used > 4<<10 {
			t.Errorf("%d bytes are held for a client that sent nothing", spool.memory.used)
		}
		return 0, io.ErrUnexpectedEOF
	}))
	wantVerdict(t, "a client that goes away", r.Read(ex), "400 body_incomplete")
}

func TestTheGaugeShowsWhatIsHeld(t *testing.T) {
	levels := map[string]float64{}
	spool := NewSpool(Config{Dir: t.TempDir()}, meter{set: func(level float64, values ...string) { levels[values[0]] = level }})
	body := spool.newBody()
	if err := spool.fill(body, strings.NewReader(strings.Repeat("x", 10<<10)), 4<<10, -1); err != nil {
		t.Fatal(err)
	}
	if levels["disk"] != 6<<10 || levels["memory"] != 4<<10+sealedChunk {
		t.Errorf("got %v", levels)
	}
	body.free()
	if levels["disk"] != 0 || levels["memory"] != 0 {
		t.Errorf("after free: %v", levels)
	}
}

// meter records its gauge.
type meter struct {
	observe.Discard
	set func(level float64, values ...string)
}

func (m meter) Gauge(string, string, ...string) observe.Gauge { return m }
func (m meter) Set(level float64, values ...string)           { m.set(level, values...) }
