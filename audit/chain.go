package audit

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxGroup bounds what one write may hold, and with it how much of a segment's end a
// crash can have torn.
const maxGroup = 1 << 20

const (
	segmentPrefix = "segment-"
	segmentSuffix = ".jsonl"
)

func segmentName(firstSeq uint64) string {
	return fmt.Sprintf("%s%020d%s", segmentPrefix, firstSeq, segmentSuffix)
}

// segment is a file of the journal, named for its first record.
type segment struct {
	name  string
	first uint64
}

// segments lists the segments of a folder in their order. Other files are not ours.
func segments(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir) // sorted; the names have a fixed width
	if err != nil {
		return nil, err
	}
	var all []segment
	for _, e := range entries {
		digits, ok := strings.CutPrefix(strings.TrimSuffix(e.Name(), segmentSuffix), segmentPrefix)
		first, err := strconv.ParseUint(digits, 10, 64)
		if ok && err == nil && e.Type().IsRegular() && e.Name() == segmentName(first) {
			all = append(all, segment{e.Name(), first})
		}
	}
	return all, nil
}

// position is the end of the chain: the last record known to be durable.
type position struct {
	seq    uint64 // of the last record; 0 in an empty journal
	hash   Hash   // of its header line
	time   time.Time
	name   string // segment that is written; "" when none is
	offset int64  // where the last record ends in it
}

// chain is the journal on the disk. One goroutine uses it. After an error from append
// nothing may be appended until resume has returned nil.
type chain struct {
	dir         string
	segmentSize int64
	disk        disk
	now         func() time.Time

	lock *os.File
	f    file
	pos  position
	buf  []byte
}

// found is what open or resume met that the operator must know. "" is nothing.
type found string

func (f found) and(more found) found {
	if strings.Contains(string(f), string(more)) { // said before, by an attempt that failed later
		return f
	}
	if f == "" {
		return more
	}
	return f + "; " + more
}

// open takes the folder, finds the end of the chain and repairs a torn tail.
func (c *chain) open() (found, error) {
	if c.f != nil { // from an attempt that failed half-way
		_ = c.f.Close()
		c.f = nil
	}
	wide, err := makeDir(c.dir)
	if err != nil {
		return "", fmt.Errorf("make the audit folder: %w", err)
	}
	if c.lock == nil {
		if c.lock, err = lock(c.dir); err != nil {
			return "", err
		}
	}
	all, err := segments(c.dir)
	if err != nil {
		return "", fmt.Errorf("list the audit folder: %w", err)
	}
	var notes []string
	if wide {
		notes = append(notes, "others than the owner may enter the audit folder")
	}
	c.pos = position{}
	// Usually the last segment alone is read. Only when it holds no record the one before
	// is needed too.
	for i := len(all) - 1; i >= 0; i-- {
		last := i == len(all)-1
		note, err := c.settle(all[i], last)
		if err != nil {
			return "", err
		}
		if note != "" {
			notes = append(notes, note)
		}
		if c.pos.seq > 0 {
			break
		}
	}
	if n := len(all); n > 0 && all[n-1].first == c.pos.seq+1 {
		c.pos.name, c.pos.offset = all[n-1].name, 0 // a last segment without a record: go on in it
	}
	if c.pos.name != "" {
		if c.f, err = c.disk.open(filepath.Join(c.dir, c.pos.name), os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0o600); err != nil {
			return found(strings.Join(notes, "; ")), fmt.Errorf("open the last audit segment: %w", err)
		}
		if err := c.f.Sync(); err != nil { // what is built upon must be durable
			return found(strings.Join(notes, "; ")), fmt.Errorf("sync the last audit segment: %w", err)
		}
	}
	return found(strings.Join(notes, "; ")), nil
}

// resume makes the chain writable again after append has failed: everything behind the
// last durable record is cut off. What was there had never been acknowledged.
func (c *chain) resume() (found, error) {
	if c.f != nil {
		_ = c.f.Close() // it has failed before; its errors say nothing new
		c.f = nil
	}
	if c.pos.name == "" {
		return "", nil
	}
	f, err := c.disk.open(filepath.Join(c.dir, c.pos.name), os.O_WRONLY|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		note := found(c.pos.name + " was removed while it was written")
		c.pos.name = "" // the chain goes on in a new segment; Verify will name the gap
		return note, nil
	}
	if err != nil {
		return "", fmt.Errorf("open the audit segment again: %w", err)
	}
	info, err := f.Stat()
	if err == nil && info.Size() < c.pos.offset {
		note := found(c.pos.name + " was shortened while it was written")
		c.pos.name = ""
		return note, f.Close()
	}
	if err = errors.Join(err, f.Truncate(c.pos.offset), f.Sync()); err != nil {
		return "", errors.Join(fmt.Errorf("cut the audit segment back: %w", err), f.Close())
	}
	c.f = f
	return "", nil
}

// append writes the group with one write and one fsync; when it returns nil, all of it is
// durable. On an error none of it counts.
func (c *chain) append(group []*entry) error {
	if c.f == nil || c.pos.offset >= c.segmentSize {
		if err := c.rotate(); err != nil {
			return fmt.Errorf("begin an audit segment: %w", err)
		}
	}
	next, now := c.pos, c.now().UTC().Truncate(time.Microsecond)
	if now.Equal(c.pos.time) {
		now = now.Add(time.Microsecond) // two groups never share a time: survey tells them apart by it
	}
	next.time = now
	c.buf = c.buf[:0]
	for _, e := range group {
		next.seq++
		begin := len(c.buf)
		c.buf = Header{Seq: next.seq, Time: now, Prev: next.hash, Content: e.hash}.append(c.buf)
		next.hash = sha256.Sum256(c.buf[begin:])
		c.buf = append(c.buf, '\n')
		c.buf = append(c.buf, e.content...)
		c.buf = append(c.buf, '\n')
	}
	if n, err := c.f.Write(c.buf); err != nil || n < len(c.buf) {
		return fmt.Errorf("write the audit journal: %w", errors.Join(err, shortWrite(n, len(c.buf))))
	}
	if err := c.f.Sync(); err != nil {
		return fmt.Errorf("sync the audit journal: %w", err)
	}
	next.offset += int64(len(c.buf))
	// A file that was removed or cut under us takes writes and forgets them.
	info, err := c.f.Stat()
	if err != nil {
		return fmt.Errorf("look at the audit segment: %w", err)
	}
	if links(info) == 0 || info.Size() != next.offset {
		return fmt.Errorf("the audit segment %s was changed by someone else", c.pos.name)
	}
	c.pos = next
	return nil
}

func shortWrite(n, want int) error {
	if n < want {
		return fmt.Errorf("%w: %d of %d bytes", io.ErrShortWrite, n, want)
	}
	return nil
}

// rotate begins a new segment; its name is durable when it returns nil.
func (c *chain) rotate() error {
	name := segmentName(c.pos.seq + 1)
	path := filepath.Join(c.dir, name)
	f, err := c.disk.open(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err == nil && info.Size() != 0 { // empty is one that we could not finish before
		err = fmt.Errorf("%s has content already", name)
	}
	if err = errors.Join(err, c.disk.syncDir(c.dir)); err != nil {
		return errors.Join(err, f.Close())
	}
	if c.f != nil {
		_ = c.f.Close() // all of it is synced
	}
	c.f, c.pos.name, c.pos.offset = f, name, 0
	return nil
}

// close lets the folder go. What was appended is durable already.
func (c *chain) close() error {
	var errs []error
	if c.f != nil {
		errs = append(errs, c.f.Close())
		c.f = nil
	}
	if c.lock != nil {
		errs = append(errs, c.lock.Close())
		c.lock = nil
	}
	return errors.Join(errs...)
}
