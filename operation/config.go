package operation

import (
	"path/filepath"

	"github.com/sallyport/sallyport/units"
)

// Config bounds what bodies may cost the process. The bounds of a single body belong
// to its route (access.BodyRule). It is the key "operation".
type Config struct {
	Dir         string     `yaml:"dir" doc:"Directory of the temporary files that hold large bodies, encrypted under a key that never leaves memory and without a name; default: the system's directory for temporary files. A change needs a restart."`
	Memory      units.Size `yaml:"memory" doc:"How much of one body is kept in memory before the rest goes to a file, 4KiB to 16MiB; default 128KiB. Also bounds the fields before the first file of a stream: true upload, and each field after it."`
	MemoryTotal units.Size `yaml:"memory_total" doc:"How much memory all bodies together may take while they are judged; over it requests get 503. At least 16 times memory; default 256MiB. A change needs a restart."`
	DiskTotal   units.Size `yaml:"disk_total" doc:"How much disk all spooled bodies together may take; over it requests get 503. Default 1GiB. A change needs a restart."`
	Judged      units.Size `yaml:"judged" doc:"The largest JSON or form body, whatever its route allows, since it is judged as a whole and in memory; default 16MiB. Over it the request gets 413."`
}

// The defaults.
const (
	defaultMemory      = 128 * units.KiB
	defaultMemoryTotal = 256 * units.MiB
	defaultDiskTotal   = units.GiB
	defaultJudged      = 16 * units.MiB
)

// WithDefaults fills in what the file leaves out.
func (c Config) WithDefaults() Config {
	fill := func(size *units.Size, value units.Size) {
		if *size == 0 {
			*size = value
		}
	}
	fill(&c.Memory, defaultMemory)
	fill(&c.MemoryTotal, defaultMemoryTotal)
	fill(&c.DiskTotal, defaultDiskTotal)
	fill(&c.Judged, defaultJudged)
	return c
}

// Check reports every problem of the configuration. It does no I/O.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	c = c.WithDefaults()
	if c.Dir != "" && !filepath.IsAbs(c.Dir) {
		problem("dir", "not an absolute path", "write the whole path, such as /var/lib/sallyport/spool")
	}
	if c.Memory < 4*units.KiB || c.Memory > 16*units.MiB {
		problem("memory", "out of range", "use 4KiB to 16MiB; 128KiB suits most")
	}
	if c.MemoryTotal < 16*c.Memory {
		problem("memory_total", "too small for more than a few requests at once", "use at least 16 times memory")
	}
	if c.Judged > c.MemoryTotal/4 {
		problem("judged", "one body could take more than a quarter of memory_total", "lower judged or raise memory_total")
	}
	if c.DiskTotal < units.MiB {
		problem("disk_total", "too small", "use at least 1MiB")
	}
	if c.Judged > 64*units.MiB {
		warn("judged", "very large JSON bodies cost memory and time before anything can refuse them", "64MiB or less")
	}
}
