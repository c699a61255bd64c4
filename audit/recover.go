package audit

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// settle reads a segment to its end and makes that the end of the chain. The last one is
// cut behind its last whole record, after a copy of what is cut was made.
func (c *chain) settle(s segment, last bool) (note string, err error) {
	path := filepath.Join(c.dir, s.name)
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return "", err
	}
	end, damaged, err := survey(f, s.first, info.Size())
	if err != nil {
		return "", fmt.Errorf("read audit segment %s: %w", s.name, err)
	}
	if end.seq > 0 {
		c.pos = end
		if last {
			c.pos.name = s.name
		}
	}
	var notes []string
	if damaged {
		notes = append(notes, s.name+" is damaged; it was left as it is")
	}
	if torn := info.Size() - end.offset; torn > 0 && last {
		aside, err := c.cut(f, path, end.offset)
		if err != nil {
			return "", fmt.Errorf("cut the torn tail of %s: %w", s.name, err)
		}
		notes = append(notes, fmt.Sprintf("%s had a torn tail of %d bytes, now in %s", s.name, torn, filepath.Base(aside)))
	}
	return strings.Join(notes, "; "), nil
}

// survey finds where a segment's records end. A break of the chain is a torn tail when
// all that is whole behind it belongs to one group, which then was never acknowledged
// (one write, pages in any order). Anything else cannot come from a crash; then damaged is
// true and the end is that of the last whole record, so that no acknowledged record is cut.
func survey(in io.Reader, first uint64, size int64) (end position, damaged bool, err error) {
	r := newSegmentReader(in)
	rec, err := r.next()
	for ; err == nil && follows(end, rec, first); rec, err = r.next() {
		end = position{seq: rec.Seq, hash: rec.hash, time: rec.Time, offset: rec.end}
	}
	if err == io.EOF {
		return end, false, nil
	}
	if errors.Is(err, errFormat) {
		rec, err = r.resync()
	}
	behind, groups := end, 0
	for ; err == nil; rec, err = r.resync() {
		if groups == 0 || !rec.Time.Equal(behind.time) {
			groups++ // the records of a group, and they alone, share one time
		}
		// Never backwards: a sequence number is used once.
		behind = position{seq: max(rec.Seq, behind.seq), hash: rec.hash, time: rec.Time, offset: rec.end}
	}
	switch {
	case err != io.EOF && !errors.Is(err, errTorn):
		return position{}, false, err
	case groups > 1 || groups == 1 && size-end.offset > maxGroup:
		return behind, true, nil
	}
	return end, false, nil
}

func follows(end position, rec record, first uint64) bool {
	if end.seq == 0 {
		return rec.Seq == first
	}
	return rec.Seq == end.seq+1 && rec.Prev == end.hash
}

// cut copies what stands behind offset into a new .torn file and removes it from the
// segment; both are durable when it returns nil.
func (c *chain) cut(f io.ReaderAt, path string, offset int64) (aside string, err error) {
	for n := 1; ; n++ {
		aside = fmt.Sprintf("%s.%d-%d.torn", strings.TrimSuffix(path, segmentSuffix), offset, n)
		to, err := c.disk.open(aside, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, fs.ErrExist) && n < 1000 {
			continue
		}
		if err != nil {
			return "", err
		}
		_, err = io.Copy(onlyWriter{to}, io.NewSectionReader(f, offset, 1<<62))
		if err = errors.Join(err, to.Sync(), to.Close(), c.disk.syncDir(c.dir)); err != nil {
			return "", errors.Join(err, os.Remove(aside)) // half a copy is none
		}
		break
	}
	w, err := c.disk.open(path, os.O_WRONLY|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return "", err
	}
	return aside, errors.Join(w.Truncate(offset), w.Sync(), w.Close())
}

type onlyWriter struct{ io.Writer }
