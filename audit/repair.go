package audit

import (
	"context"
	"log/slog"
	"slices"
	"time"
)

// fail marks the journal as broken. Requests that wait are refused; the rest of group and
// queue is kept for the time after.
func (j *journal) fail(err error, group []*entry) {
	j.mu.Lock()
	first := j.broken == nil || j.broken == errNotOpen
	j.releaseLocked(err, group)
	j.mu.Unlock()
	j.health.Report(component, false, err)
	if first { // not at every attempt to repair
		j.log.Error("the audit journal cannot be written", "dir", j.chain.dir, "err", err)
	}
}

func (j *journal) releaseLocked(err error, group []*entry) {
	j.broken, j.busy, j.stalled = err, time.Time{}, false
	all := slices.Concat(group, j.queue)
	j.queue, j.bytes = nil, 0
	for _, e := range all {
		e.queued = e.claim != claimDurable
		if e.queued {
			j.queue = append(j.queue, e)
			j.bytes += len(e.content)
		} else {
			e.err = err
		}
		if e.done != nil && !e.kept {
			e.kept = e.queued
			close(e.done)
		}
	}
}

// watch reports a write that hangs; fail and settle report the rest.
func (j *journal) watch() {
	j.mu.Lock()
	err := j.failingLocked()
	report := err != nil && j.broken == nil && !j.stalled
	j.stalled = j.stalled || report
	j.mu.Unlock()
	if report {
		j.metrics.failures.Add(1, "stalled")
		j.health.Report(component, false, err)
		j.log.Error("the audit journal cannot be written", "dir", j.chain.dir, "err", err)
	}
}

// well says whether a record that comes now can be expected to be written.
func (j *journal) well() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.failingLocked() == nil
}

// repair brings a broken journal back, if it can be: it is well when a note of what
// happened to it is durable.
func (j *journal) repair() {
	j.mu.Lock()
	broken, lost := j.broken, j.lost
	j.mu.Unlock()
	if broken == nil && lost == 0 {
		return
	}
	text, level := "there was no room for records", slog.LevelError
	if broken != nil {
		found, err := j.mend()
		if err != nil {
			j.fail(err, nil)
			return
		}
		if text, level = "the journal can be written again", slog.LevelInfo; j.fresh() {
			text = "the journal was opened"
		}
		if found != "" {
			text, level = text+"; "+string(found), slog.LevelError
		}
	}
	note, err := j.notice(text, lost)
	if err == nil {
		j.mu.Lock()
		j.busy = j.now()
		j.mu.Unlock()
		err = j.chain.append([]*entry{note})
	}
	if err != nil {
		j.fail(err, nil)
		return
	}
	j.mu.Lock()
	j.broken, j.busy, j.stalled = nil, time.Time{}, false
	j.lost -= lost
	j.mu.Unlock()
	j.health.Report(component, false, nil)
	j.log.Log(context.Background(), level, text, "dir", j.chain.dir, "seq", j.chain.pos.seq, "records_lost", lost)
	j.metrics.records.Add(1, note.kind)
	j.written([]*entry{note})
	j.found = ""
	if j.fresh() {
		close(j.opened)
	}
}

// mend makes the chain writable as far as it can tell without writing.
func (j *journal) mend() (found, error) {
	if j.isOpen {
		note, err := j.chain.resume()
		j.found = j.found.and(note)
		return j.found, err
	}
	note, err := j.chain.open()
	j.found, j.isOpen = j.found.and(note), err == nil
	return j.found, err
}

// fresh says that the journal has not been well yet.
func (j *journal) fresh() bool {
	select {
	case <-j.opened:
		return false
	default:
		return true
	}
}
