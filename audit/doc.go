// Package audit writes down what was changed, by whom, and keeps it provable.
//
// # Lifetimes
//
// [Log] is Runtime: it owns the journal's folder and lives as long as the process. The
// package has no part in a Plan; of its configuration, dir and segment_size need a restart,
// and so do deadline and on_failure, since New reads them once.
//
// # What is promised
//
// When [Log.Intend] returns nil the intent of a mutating request lies on the disk, or the
// operator has chosen otherwise (on_failure: continue), or the request is one that must
// never be stopped (Endpoint.Always: logout, revocation). In those two cases it waits in
// memory, and stands on stderr, until the journal can be written again. An intent without
// a later record of the same event id reads as "unknown": the backend may have seen it.
//
// # The journal
//
// A folder holds one chain of one node. Its segments are named for the sequence number of
// their first record, segment-00000000000000000001.jsonl, mode 0600. A record is two lines:
//
//	{"v":1,"seq":7,"time":"2026-01-02T03:04:05.678901Z","prev":"<64 hex>","content_hash":"<64 hex>"}
//	{"id":"…","time":"…","node":"…", … the event …}
//
// The first line is the header, the second the content. All hashes are SHA-256 over the
// raw bytes of a line without its line feed:
//
//   - content_hash is the hash of the content line that follows;
//   - prev is the hash of the header line before, 64 zeros in the first record of all;
//   - seq counts from 1 without a gap, across segments. Seq is the order, time is not: a
//     clock may jump.
//
// A header has exactly this form, these members in this order and no spaces. Content may be
// taken away (retention, the export of one tenant): its line is then empty, and the headers
// verify as before. What is left of it is a hash that nobody can guess by trial, because
// each content holds an event id with 74 random bits.
//
// The chain shows every change, removal and reordering inside it ([Verify]). It cannot show
// that its end is missing or was written anew by whoever owns the disk; that takes a
// checkpoint which has left the machine.
//
// # Crash and failure
//
// One goroutine writes: what waits goes out in one write and one fsync (group commit), and
// only then do the waiting requests proceed. After any error nothing more is written until
// the segment has been cut back to the last byte known to be durable and the cut is durable
// itself, so a short write never breaks the chain. After a crash the last segment's torn
// tail (never longer than one group) is copied to a .torn file beside it and cut off.
// Damage that cannot come from a crash is left where it is for Verify to name, and the
// chain goes on behind it. Either finding is itself written into the journal.
package audit
