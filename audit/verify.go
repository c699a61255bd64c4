package audit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// Report is what Verify found.
type Report struct {
	Segments  int
	Records   uint64
	Withdrawn uint64 // records whose content was taken away; their headers verify
	Last      Hash   // of the last header line
}

// Verify reads a journal and proves that inside it no record was changed, removed, inserted
// or moved. Its error names the segment and the sequence number of the first that was. It
// needs no lock and nothing secret; a journal that is being written may end in half a
// record, which is an error too. It cannot see that the end is missing (package comment).
func Verify(dir string) (Report, error) {
	var report Report
	err := Read(dir, func(h Header, content []byte) error {
		report.Records++
		if len(content) == 0 {
			report.Withdrawn++
		}
		return nil
	}, func(segment string, last Hash) { report.Segments++; report.Last = last })
	return report, err
}

// Read gives every record in order to each, whose content is empty when it was taken away
// and valid during the call alone. Each record is verified first; an error of each ends it.
// done, which may be nil, is called after every segment.
func Read(dir string, each func(h Header, content []byte) error, done func(segment string, last Hash)) error {
	all, err := segments(dir)
	if err != nil {
		return fmt.Errorf("list the audit folder: %w", err)
	}
	var end position
	for _, s := range all {
		if s.first != end.seq+1 {
			return fmt.Errorf("%s: records %d to %d are missing before it", s.name, end.seq+1, s.first-1)
		}
		if end, err = readSegment(filepath.Join(dir, s.name), end, each); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
		if done != nil {
			done(s.name, end.hash)
		}
	}
	return nil
}

func readSegment(path string, end position, each func(Header, []byte) error) (position, error) {
	f, err := os.Open(path)
	if err != nil {
		return end, err
	}
	defer f.Close()
	return readRecords(f, end, each)
}

// readRecords goes on from the end of the chain before and gives the end of it after.
func readRecords(in io.Reader, end position, each func(Header, []byte) error) (position, error) {
	r := newSegmentReader(in)
	for {
		rec, err := r.next()
		switch {
		case err == io.EOF:
			return end, nil
		case errors.Is(err, errFormat), errors.Is(err, errTorn):
			return end, fmt.Errorf("after record %d: %w", end.seq, err)
		case err != nil:
			return end, err
		case rec.Seq != end.seq+1:
			return end, fmt.Errorf("record %d stands where record %d must be", rec.Seq, end.seq+1)
		case rec.Prev != end.hash:
			return end, fmt.Errorf("the header of record %d was changed: record %d names another hash", end.seq, rec.Seq)
		}
		end = position{seq: rec.Seq, hash: rec.hash}
		if err := each(rec.Header, rec.content); err != nil {
			return end, err
		}
	}
}
