package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/sallyport/sallyport/units"
)

// Config is the key "policy" of the configuration.
type Config struct {
	Areas    map[string]string `yaml:"areas" doc:"Which area a resource type belongs to, beyond the built-in names: records, sequences, integrations, users, billing, settings or other. Default: a type that is not named is records."`
	Deadline units.Span        `yaml:"deadline" doc:"How long one decision may take before the request is refused, 1ms to 5s. It is measured by the clock, so it must outlast the wait for a processor of a busy machine. Default 250ms."`
}

const (
	defaultDeadline = units.Span(250 * time.Millisecond)
	minDeadline     = units.Span(time.Millisecond)
	maxDeadline     = units.Span(5 * time.Second)
)

// WithDefaults fills in what the file leaves out.
func (c Config) WithDefaults() Config {
	if c.Deadline == 0 {
		c.Deadline = defaultDeadline
	}
	return c
}

// Check reports everything that is wrong or odd. It is pure.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	folded := map[string]string{}
	for _, kind := range slices.Sorted(maps.Keys(c.Areas)) {
		path, area := "areas."+kind, c.Areas[kind]
		if kind == "" || len(kind) > maxName {
			problem(path, fmt.Sprintf("a resource type has 1 to %d bytes, this one %d", maxName, len(kind)), "write a type that a site's resources name")
		}
		if !slices.Contains(areaNames, area) {
			problem(path, fmt.Sprintf("%q is not an area", area), "write one of "+strings.Join(areaNames, ", "))
			continue
		}
		if other, twice := folded[strings.ToLower(kind)]; twice && c.Areas[other] != area {
			problem(path, fmt.Sprintf("the types %q and %q differ in case only, but are put into two areas", other, kind), "remove one of them")
		}
		folded[strings.ToLower(kind)] = kind
		if builtin, ok := builtinAreas[strings.ToLower(kind)]; ok && builtin != area && wider(area, builtin) {
			warn(path, fmt.Sprintf("%q is in the area %s by itself; in %s more roles may use it", kind, builtin, area),
				"leave it out unless the application means something else by the name")
		}
	}
	if c.Deadline != 0 && (c.Deadline < minDeadline || c.Deadline > maxDeadline) {
		problem("deadline", fmt.Sprintf("%v is out of range", c.Deadline), "write 1ms to 5s")
	}
}
