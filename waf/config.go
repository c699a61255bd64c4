package waf

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/sallyport/sallyport/units"
)

// Config is the key waf of the file.
type Config struct {
	Mode      string   `yaml:"mode" doc:"What happens to an attack: enforce (refuse it), shadow (log and count it, and let it pass) or off. No site is stricter than this. Default enforce."`
	Paranoia  int      `yaml:"paranoia" doc:"Paranoia level of the OWASP Core Rule Set, 1 to 4: higher finds more attacks and more that are none. Default 1."`
	Preset    string   `yaml:"preset" doc:"Exclusions for a kind of application: empty for none, or crm. Default none."`
	Threshold int      `yaml:"threshold" doc:"Anomaly score from which a request is refused, 1 to 20; a critical rule adds 5, an error 4, a warning 3, a notice 2. Default 5."`
	Methods   []string `yaml:"methods" doc:"Request methods that are allowed. Default GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS."`
	Types     []string `yaml:"types" doc:"Media types of bodies that are allowed on every site, besides those that a site's bodies name. Default JSON, merge and JSON patch, forms, multipart, XML, plain text, CSV and octet-stream."`
	Limits    Limits   `yaml:"limits" doc:"How much of a request is inspected. What is beyond is refused, never passed uninspected."`
}

// Limits bound the work of one inspection. It grows with the number of values and
// with their bytes, so these are the defence against requests that are cheap to
// send and dear to judge.
type Limits struct {
	Arguments int        `yaml:"arguments" doc:"Most query parameters, and most fields or JSON values of a body, 1 to 10000. Default 1000."`
	Depth     int        `yaml:"depth" doc:"Deepest nesting of JSON and XML, 1 to 256. Default 64."`
	Files     int        `yaml:"files" doc:"Most files in one multipart body, 1 to 1000. Default 50."`
	Head      units.Size `yaml:"head" doc:"Most bytes of request line and headers, 1KiB to 1MiB. Default 32KiB."`
	Body      units.Size `yaml:"body" doc:"Most bytes of a body that are inspected, 1KiB to 16MiB; the content of uploaded files does not count. Stock rules cost about 5 µs of CPU a byte. Default 256KiB."`
}

// The modes and presets by their names in the file.
const (
	modeEnforce = "enforce"
	modeShadow  = "shadow"
	modeOff     = "off"

	presetCRM = "crm"
)

// maxThreshold is below the score of the self-test's attacks at paranoia level 1,
// so that no threshold can make the self-test, or an attack like its, pass.
const maxThreshold = 20

// WithDefaults fills in what the file leaves out.
func (c Config) WithDefaults() Config {
	if c.Mode == "" {
		c.Mode = modeEnforce
	}
	if len(c.Methods) == 0 {
		c.Methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
	}
	if len(c.Types) == 0 {
		c.Types = []string{
			"application/json", "application/merge-patch+json", "application/json-patch+json", "application/vnd.api+json",
			"application/x-www-form-urlencoded", "multipart/form-data",
			"application/xml", "text/xml", "application/soap+xml",
			"text/plain", "text/csv", "application/octet-stream",
		}
	}
	orDefault(&c.Paranoia, 1)
	orDefault(&c.Threshold, 5)
	orDefault(&c.Limits.Arguments, 1000)
	orDefault(&c.Limits.Depth, 64)
	orDefault(&c.Limits.Files, 50)
	orDefault(&c.Limits.Head, 32*units.KiB)
	orDefault(&c.Limits.Body, 256*units.KiB)
	return c
}

func orDefault[N int | units.Size](n *N, byDefault N) {
	if *n == 0 {
		*n = byDefault
	}
}

var (
	methodPattern = regexp.MustCompile(`^[A-Z][A-Z-]{0,31}$`)
	typePattern   = regexp.MustCompile(`^[a-z0-9][a-z0-9!#$&^_.+-]{0,63}/[a-z0-9][a-z0-9!#$&^_.+-]{0,127}$`)
)

// Check reports all problems of the file's values; zero values are defaults. It
// does no I/O.
func (c Config) Check(problem, warn func(path, what, hint string)) {
	c = c.WithDefaults()
	switch c.Mode {
	case modeEnforce:
	case modeShadow, modeOff:
		warn("mode", "attacks are let through on every site", "set mode: enforce when the log shows no false alarms")
	default:
		problem("mode", fmt.Sprintf("unknown mode %q", c.Mode), "use enforce, shadow or off")
	}
	if c.Preset != "" && c.Preset != presetCRM {
		problem("preset", fmt.Sprintf("unknown preset %q", c.Preset), "use crm, or leave it out")
	}
	within(problem, "paranoia", c.Paranoia, 1, 4)
	within(problem, "threshold", c.Threshold, 1, maxThreshold)
	if c.Threshold > 10 && c.Threshold <= maxThreshold {
		warn("threshold", "attacks that only one or two rules recognize pass", "use mode: shadow to find false alarms, and keep the threshold at 5")
	}
	within(problem, "limits.arguments", c.Limits.Arguments, 1, 10_000)
	within(problem, "limits.depth", c.Limits.Depth, 1, 256)
	within(problem, "limits.files", c.Limits.Files, 1, 1000)
	within(problem, "limits.head", c.Limits.Head, units.KiB, units.MiB)
	within(problem, "limits.body", c.Limits.Body, units.KiB, 16*units.MiB)
	for i, m := range c.Methods {
		path := fmt.Sprintf("methods[%d]", i)
		switch {
		case !methodPattern.MatchString(m):
			problem(path, "not a request method", "use an upper-case name such as PATCH")
		case m == "TRACE" || m == "CONNECT":
			problem(path, m+" is never let through", "leave it out")
		}
	}
	for i, t := range c.Types {
		if !typePattern.MatchString(t) {
			problem(fmt.Sprintf("types[%d]", i), "not a media type", "use lower case without parameters, such as application/json")
		}
	}
}

func within[N int | units.Size](problem func(path, what, hint string), path string, n, least, most N) {
	if n < least || n > most {
		problem(path, fmt.Sprintf("%v is out of range", n), fmt.Sprintf("use %v to %v", least, most))
	}
}

// problems is what Check finds, as one error: New builds nothing from a
// configuration that was not checked, since its values become directives.
func (c Config) problems() error {
	var all []string
	c.Check(func(path, what, _ string) { all = append(all, path+": "+what) }, func(string, string, string) {})
	if len(all) == 0 {
		return nil
	}
	slices.Sort(all)
	return fmt.Errorf("waf: configuration: %s", strings.Join(all, "; "))
}
