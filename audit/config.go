package audit

import (
	"path/filepath"
	"strings"
	"time"

	"github.com/sallyport/sallyport/units"
)

// The values of Config.OnFailure.
const (
	OnFailureRefuse   = "refuse"
	OnFailureContinue = "continue"
)

// Bounds and defaults of the configuration.
const (
	DefaultDir         = "/var/lib/sallyport/audit"
	DefaultSegmentSize = 64 * units.MiB
	MinSegmentSize     = 1 * units.MiB
	MaxSegmentSize     = 1 * units.GiB
	DefaultDeadline    = units.Span(2 * time.Second)
	MinDeadline        = units.Span(50 * time.Millisecond)
	MaxDeadline        = units.Span(30 * time.Second)
)

// Config is the key "audit". Its zero value is a working default.
type Config struct {
	Dir         string     `yaml:"dir" doc:"Absolute path of the folder that holds the audit journal; one folder belongs to one running gateway. Default /var/lib/sallyport/audit."`
	SegmentSize units.Size `yaml:"segment_size" doc:"Size at which the journal begins its next file, 1MiB to 1GiB. Default 64MiB."`
	OnFailure   string     `yaml:"on_failure" doc:"What happens to changes and logins while the journal cannot be written: refuse (503) or continue (kept in memory and on stderr only, lost with the process). Default refuse."`
	Deadline    units.Span `yaml:"deadline" doc:"How long a change may wait for its record to be durable before it is refused, 50ms to 30s. Default 2s."`
}

// WithDefaults fills in what the file leaves out.
func (c Config) WithDefaults() Config {
	if c.Dir == "" {
		c.Dir = DefaultDir
	}
	if c.SegmentSize == 0 {
		c.SegmentSize = DefaultSegmentSize
	}
	if c.OnFailure == "" {
		c.OnFailure = OnFailureRefuse
	}
	if c.Deadline == 0 {
		c.Deadline = DefaultDeadline
	}
	return c
}

// Check reports everything that is wrong (problem) or unwise (warn). It does no I/O.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	c = c.WithDefaults()
	if !filepath.IsAbs(c.Dir) || strings.ContainsRune(c.Dir, 0) {
		problem("dir", "the audit folder is not an absolute path", "write the whole path, such as "+DefaultDir)
	}
	for _, volatile := range []string{"/tmp", "/var/tmp", "/run", "/dev/shm"} {
		if dir := filepath.Clean(c.Dir); dir == volatile || strings.HasPrefix(dir, volatile+"/") {
			warn("dir", "the audit folder lies where the system removes files by itself", "choose a folder on a lasting disk, such as "+DefaultDir)
		}
	}
	if c.SegmentSize < MinSegmentSize || c.SegmentSize > MaxSegmentSize {
		problem("segment_size", "the segment size is out of range", "choose 1MiB to 1GiB")
	}
	switch c.OnFailure {
	case OnFailureRefuse:
	case OnFailureContinue:
		warn("on_failure", "changes go on while the journal cannot be written, and their record is lost if the process ends before it is back",
			"use refuse unless going on matters more than the record")
	default:
		problem("on_failure", "not a way to act on failure", "write refuse or continue")
	}
	if c.Deadline < MinDeadline || c.Deadline > MaxDeadline {
		problem("deadline", "the deadline is out of range", "choose 50ms to 30s")
	}
}
