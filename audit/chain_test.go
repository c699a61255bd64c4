package audit

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
)

// folder is a temporary folder for its owner alone.
func folder(t testing.TB) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	return dir
}

func note(t testing.TB, text string) *entry {
	t.Helper()
	return must(newEntry(kindJournal, claimAlways, content{Event: access.Event{ID: text}, Note: text}))
}

// build writes groups of records with the given notes and closes the journal.
func build(t testing.TB, dir string, segmentSize int64, groups ...[]string) {
	t.Helper()
	// Always the same bytes, or the fuzzer's workers would not agree; a group a second.
	clock := time.Unix(1_700_000_000, 0)
	now := func() time.Time { clock = clock.Add(time.Second); return clock }
	c := &chain{dir: dir, segmentSize: segmentSize, disk: unsynced(), now: now}
	if found, err := c.open(); err != nil || found != "" {
		t.Fatal(found, err)
	}
	for _, texts := range groups {
		var group []*entry
		for _, text := range texts {
			group = append(group, note(t, text))
		}
		if err := c.append(group); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.close(); err != nil {
		t.Fatal(err)
	}
}

func notes(t testing.TB, dir string) string {
	t.Helper()
	var all []string
	if err := Read(dir, func(_ Header, line []byte) error {
		ev, _, err := DecodeEvent(line)
		all = append(all, ev.ID)
		return err
	}, nil); err != nil {
		t.Fatal(err)
	}
	return strings.Join(all, " ")
}

func read(t testing.TB, name string) []byte {
	t.Helper()
	return must(os.ReadFile(name))
}

func write(t testing.TB, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestACrashAtAnyByteOfTheTailLosesOnlyWhatIsTorn(t *testing.T) {
	origin := folder(t)
	build(t, origin, 1<<20, []string{"a", "b"}, []string{"c"}, []string{"d", "e"})
	whole := read(t, filepath.Join(origin, segmentName(1)))
	lines := bytes.SplitAfter(whole, []byte("\n"))
	var ends []int // where each record ends
	for i, at := 0, 0; i+1 < len(lines); i += 2 {
		at += len(lines[i]) + len(lines[i+1])
		ends = append(ends, at)
	}
	names := []string{"a", "b", "c", "d", "e"}
	for _, rubbish := range []string{"", "\x00\x00\x00\x00", "x\n"} {
		for at := range len(whole) + 1 {
			if rubbish != "" && at%5 != 0 {
				continue
			}
			dir := folder(t)
			path := filepath.Join(dir, segmentName(1))
			left := append(bytes.Clone(whole[:at]), rubbish...)
			write(t, path, left)
			c := &chain{dir: dir, segmentSize: 1 << 20, disk: unsynced(), now: time.Now}
			found, err := c.open()
			if err != nil {
				t.Fatalf("cut at %d: %v", at, err)
			}
			n := 0
			for n < len(ends) && ends[n] <= at {
				n++
			}
			kept := 0
			if n > 0 {
				kept = ends[n-1]
			}
			if err := c.append([]*entry{note(t, "new")}); err != nil {
				t.Fatalf("cut at %d: append: %v", at, err)
			}
			_ = c.close()
			if got, want := notes(t, dir), strings.Join(append(names[:n:n], "new"), " "); got != want {
				t.Fatalf("cut at %d: the journal holds %q, want %q", at, got, want)
			}
			torn, _ := filepath.Glob(filepath.Join(dir, "*.torn"))
			if (len(torn) == 1) != (len(left) > kept) || (found != "") != (len(left) > kept) {
				t.Fatalf("cut at %d of a record that begins at %d: torn files %v, found %q", at, kept, torn, found)
			}
			if len(torn) == 1 && !bytes.Equal(read(t, torn[0]), left[kept:]) {
				t.Fatalf("cut at %d: the torn file does not hold what was cut", at)
			}
		}
	}
}

func TestPagesOfTheLastGroupMayArriveInAnyOrder(t *testing.T) {
	dir := folder(t)
	build(t, dir, 1<<20, []string{"a"}, []string{"b", "c", "d"})
	path := filepath.Join(dir, segmentName(1))
	b := read(t, path)
	lines := bytes.SplitAfter(b, []byte("\n"))
	at := len(lines[0]) + len(lines[1])
	clear(b[at : at+len(lines[2])+20]) // the page with b is not there, those with c and d are
	write(t, path, b)
	build2 := &chain{dir: dir, segmentSize: 1 << 20, disk: unsynced(), now: time.Now}
	found, err := build2.open()
	if err != nil || !strings.Contains(string(found), "torn tail") {
		t.Fatalf("open: %q, %v", found, err)
	}
	_ = build2.close()
	if got := notes(t, dir); got != "a" {
		t.Errorf("the journal holds %q, want the first group alone", got)
	}
}

func TestAcknowledgedRecordsBehindDamageAreNeverCut(t *testing.T) {
	for name, harm := range map[string]func(b []byte, lines [][]byte) []byte{
		"a flipped byte in a content": func(b []byte, l [][]byte) []byte { b[len(l[0])+5] ^= 1; return b },
		"a flipped byte in a header":  func(b []byte, l [][]byte) []byte { b[len(l[0])+len(l[1])+15] ^= 1; return b },
		"a record that is missing":    func(b []byte, l [][]byte) []byte { return b[len(l[0])+len(l[1]):] },
		"a content that is missing":   func(b []byte, l [][]byte) []byte { return append(b[:len(l[0])], b[len(l[0])+len(l[1]):]...) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := folder(t)
			build(t, dir, 1<<20, []string{"a"}, []string{"b"}, []string{"c"}, []string{"d"})
			path := filepath.Join(dir, segmentName(1))
			b := read(t, path)
			harmed := harm(bytes.Clone(b), bytes.SplitAfter(b, []byte("\n")))
			write(t, path, harmed)
			c := &chain{dir: dir, segmentSize: 1 << 20, disk: unsynced(), now: time.Now}
			found, err := c.open()
			if err != nil || !strings.Contains(string(found), "damaged") || c.pos.seq != 4 {
				t.Fatalf("open: %q, %v, at record %d", found, err, c.pos.seq)
			}
			if err := c.append([]*entry{note(t, "e")}); err != nil {
				t.Fatal(err)
			}
			_ = c.close()
			if got := read(t, path); !bytes.HasPrefix(got, harmed) || len(got) == len(harmed) {
				t.Error("the damaged segment was changed, or the chain does not go on in it")
			}
			if _, err := Verify(dir); err == nil {
				t.Error("Verify does not find it")
			}
		})
	}
}

func TestTheChainGoesOnAcrossSegmentsAndRestarts(t *testing.T) {
	dir := folder(t)
	var want []string
	for n := range 12 {
		want = append(want, fmt.Sprint(n))
		build(t, dir, 600, want[n:]) // two small records fill a segment
	}
	if got := notes(t, dir); got != strings.Join(want, " ") {
		t.Errorf("the journal holds %q", got)
	}
	all := must(segments(dir))
	if len(all) < 4 || all[0].first != 1 {
		t.Errorf("segments = %v", all)
	}
	// A crash between the making of a segment and its first record.
	write(t, filepath.Join(dir, segmentName(13)), nil)
	build(t, dir, 600, []string{"after"})
	if got := notes(t, dir); !strings.HasSuffix(got, " 11 after") {
		t.Errorf("the journal holds %q", got)
	}
}

func TestARotationThatWasNotFinishedIsFinishedLater(t *testing.T) {
	dir := folder(t)
	build(t, dir, 1<<20, []string{"a"})
	write(t, filepath.Join(dir, segmentName(2)), []byte("torn in the first rec"))
	c := &chain{dir: dir, segmentSize: 1 << 20, disk: unsynced(), now: time.Now}
	if found, err := c.open(); err != nil || !strings.Contains(string(found), "torn tail of 21 bytes") {
		t.Fatalf("open: %q, %v", found, err)
	}
	if err := c.append([]*entry{note(t, "b")}); err != nil {
		t.Fatal(err)
	}
	_ = c.close()
	if got := notes(t, dir); got != "a b" {
		t.Errorf("the journal holds %q", got)
	}
}

func TestAFolderThatOthersMayEnterIsNoted(t *testing.T) {
	dir := folder(t)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := &chain{dir: dir, segmentSize: 1 << 20, disk: unsynced(), now: time.Now}
	if found, err := c.open(); err != nil || !strings.Contains(string(found), "others") {
		t.Errorf("open: %q, %v", found, err)
	}
	_ = c.close()
}

func TestVerifyFindsChangeRemovalInsertionAndReordering(t *testing.T) {
	origin := folder(t)
	build(t, origin, 600, []string{"a"}, []string{"b"}, []string{"c"}, []string{"d"}, []string{"e"}, []string{"f"})
	all := must(segments(origin))
	if len(all) != 3 {
		t.Fatalf("%d segments, want 3 of two records", len(all))
	}
	if report, err := Verify(origin); err != nil || report.Records != 6 || report.Segments != 3 {
		t.Fatalf("Verify of the untouched journal = %+v, %v", report, err)
	}
	middle := all[1].name
	b := read(t, filepath.Join(origin, middle))
	l := bytes.SplitAfter(b, []byte("\n"))
	join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
	for name, harmed := range map[string][]byte{
		"the first record is removed":      join(l[2], l[3]),
		"the last record is removed":       join(l[0], l[1]),
		"two records are swapped":          join(l[2], l[3], l[0], l[1]),
		"two contents are swapped":         join(l[0], l[3], l[2], l[1]),
		"a record stands twice":            join(b, l[2], l[3]),
		"a content line is removed":        join(l[0], l[2], l[3]),
		"a line is inserted":               join(l[0], l[1], []byte("{}\n"), l[2], l[3]),
		"an empty line is inserted":        join(l[0], l[1], []byte("\n"), l[2], l[3]),
		"the end is torn":                  b[:len(b)-1],
		"the segment is empty":             nil,
		"a header has a space more":        bytes.Replace(b, []byte(`,"time"`), []byte(`, "time"`), 1),
		"a header has capital digits":      join(bytes.ToUpper(l[0]), l[1], l[2], l[3]),
		"a line ends in carriage return":   bytes.Replace(b, []byte("\n"), []byte("\r\n"), 1),
		"a line is longer than any record": join(l[0], bytes.Repeat([]byte("x"), maxContent+2), []byte("\n"), l[2], l[3]),
	} {
		dir := folder(t)
		copyJournal(t, origin, dir)
		write(t, filepath.Join(dir, middle), harmed)
		if _, err := Verify(dir); err == nil || !strings.Contains(err.Error(), "segment-") {
			t.Errorf("%s: Verify = %v", name, err)
		}
	}
	for i := range b { // any byte of a segment that another one follows
		harmed := bytes.Clone(b)
		harmed[i] ^= 1
		dir := folder(t)
		copyJournal(t, origin, dir)
		write(t, filepath.Join(dir, middle), harmed)
		if _, err := Verify(dir); err == nil {
			t.Errorf("byte %d flipped: Verify finds nothing", i)
		}
	}
	for i, s := range all[:2] { // the removal of the last one needs a checkpoint
		dir := folder(t)
		copyJournal(t, origin, dir)
		if err := os.Remove(filepath.Join(dir, s.name)); err != nil {
			t.Fatal(err)
		}
		if _, err := Verify(dir); err == nil || !strings.Contains(err.Error(), "missing") {
			t.Errorf("segment %d removed: Verify = %v", i+1, err)
		}
	}
}

func copyJournal(t testing.TB, from, to string) {
	t.Helper()
	for _, s := range must(segments(from)) {
		write(t, filepath.Join(to, s.name), read(t, filepath.Join(from, s.name)))
	}
}

func TestContentCanBeTakenAwayAndTheHeadersStillVerify(t *testing.T) {
	dir := folder(t)
	build(t, dir, 1<<20, []string{"a", "b"}, []string{"c"})
	path := filepath.Join(dir, segmentName(1))
	l := bytes.SplitAfter(read(t, path), []byte("\n"))
	l[3] = []byte("\n")
	write(t, path, bytes.Join(l, nil))
	if report, err := Verify(dir); err != nil || report.Records != 3 || report.Withdrawn != 1 {
		t.Errorf("Verify = %+v, %v", report, err)
	}
}

// The format as an auditor would read it from the package comment, with nothing of ours.
func TestAnIndependentVerifierAgrees(t *testing.T) {
	dir := folder(t)
	build(t, dir, 600, []string{"a"}, []string{"b", "c"}, []string{"d"})
	names, _ := filepath.Glob(filepath.Join(dir, "segment-*.jsonl")) // sorted
	prev, seq := strings.Repeat("0", 64), 0
	for _, name := range names {
		lines := strings.Split(strings.TrimSuffix(string(read(t, name)), "\n"), "\n")
		for i := 0; i < len(lines); i += 2 {
			var h struct {
				V, Seq      int
				Prev        string
				ContentHash string `json:"content_hash"`
			}
			if err := json.Unmarshal([]byte(lines[i]), &h); err != nil {
				t.Fatal(err)
			}
			seq++
			sum := sha256.Sum256([]byte(lines[i+1]))
			if h.V != 1 || h.Seq != seq || h.Prev != prev || h.ContentHash != hex.EncodeToString(sum[:]) {
				t.Fatalf("record %d does not verify: %+v", seq, h)
			}
			sum = sha256.Sum256([]byte(lines[i]))
			prev = hex.EncodeToString(sum[:])
		}
	}
	if report, err := Verify(dir); err != nil || seq != 4 || report.Last.String() != prev {
		t.Errorf("it found %d records and the end %s; Verify = %+v, %v", seq, prev, report, err)
	}
}

func FuzzHeader(f *testing.F) {
	f.Add(Header{Seq: 1, Time: time.Unix(1_700_000_000, 5000)}.append(nil))
	f.Add(Header{Seq: 1<<64 - 1, Time: time.Unix(0, 0), Prev: sha256.Sum256(nil)}.append(nil))
	f.Add([]byte(`{"v":1,"seq":01,"time":"","prev":"","content_hash":""}`))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, line []byte) {
		h, err := parseHeader(line)
		if err == nil && (!bytes.Equal(h.append(nil), line) || len(line) > maxHeader) {
			t.Errorf("%q is accepted and written again as %q", line, h.append(nil))
		}
	})
}

func FuzzSegment(f *testing.F) {
	dir := folder(f)
	build(f, dir, 1<<20, []string{"a"}, []string{"b", "c"}, []string{"d"})
	whole := read(f, filepath.Join(dir, segmentName(1)))
	f.Add(whole, uint16(0), uint16(0))
	f.Add(whole[:len(whole)-3], uint16(100), uint16(200))
	f.Add([]byte("\n\n\n"), uint16(1), uint16(2))
	f.Fuzz(func(t *testing.T, b []byte, from, to uint16) {
		// Besides arbitrary bytes: a valid segment with a part replaced by them.
		for _, data := range [][]byte{b, splice(whole, b, int(from), int(to))} {
			end, damaged, err := survey(bytes.NewReader(data), 1, int64(len(data)))
			if err != nil {
				t.Fatal(err)
			}
			if end.offset < 0 || end.offset > int64(len(data)) || (end.seq == 0) != (end.offset == 0) {
				t.Fatalf("the end is %+v of %d bytes", end, len(data))
			}
			// What stays after the cut verifies, unless it was called damaged.
			_, err = readRecords(bytes.NewReader(data[:end.offset]), position{}, func(Header, []byte) error { return nil })
			if err != nil && !damaged && firstPrev(data) == (Hash{}) {
				t.Fatalf("what is kept does not verify: %v", err)
			}
		}
	})
}

func splice(whole, b []byte, from, to int) []byte {
	from, to = min(from, len(whole)), min(to, len(whole))
	return bytes.Join([][]byte{whole[:from], b, whole[max(from, to):]}, nil)
}

// firstPrev is the hash that the first record names; survey trusts it, Verify does not.
func firstPrev(data []byte) Hash {
	rec, err := newSegmentReader(bytes.NewReader(data)).next()
	if err != nil {
		return Hash{}
	}
	return rec.Prev
}

func TestVerifyWantsEverySequenceNumberOnce(t *testing.T) {
	dir := folder(t)
	var b []byte
	var prev Hash
	for _, seq := range []uint64{1, 3} { // chained, but a number is missing
		h := Header{Seq: seq, Time: time.Unix(1_700_000_000, 0), Prev: prev, Content: sha256.Sum256([]byte("{}"))}
		line := h.append(nil)
		prev = sha256.Sum256(line)
		b = append(append(b, line...), "\n{}\n"...)
	}
	write(t, filepath.Join(dir, segmentName(1)), b)
	if _, err := Verify(dir); err == nil || !strings.Contains(err.Error(), "record 3 stands where record 2 must be") {
		t.Errorf("Verify = %v", err)
	}
}
