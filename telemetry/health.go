package telemetry

import (
	"cmp"
	"slices"
	"sync"
	"time"

	"github.com/sallyport/sallyport/observe"
)

// MaxComponents bounds how many components can report; further ones are not shown.
const MaxComponents = 256

// State is how a component is.
type State string

// The states. Only a fatal component can be starting or down.
const (
	Well     State = "ok"
	Starting State = "starting"
	Degraded State = "degraded"
	Down     State = "down"
)

// Component is one line of /readyz.
type Component struct {
	Name  string    `json:"name"`
	State State     `json:"state"`
	Fatal bool      `json:"fatal"`
	Since time.Time `json:"since"` // when it came into this state
	// Detail says what is wrong, for operators; at most MaxLogValue bytes.
	Detail string `json:"detail,omitempty"`
}

// Report is what /readyz shows.
type Report struct {
	// Ready is false while a fatal component is starting or down, and before any has
	// reported: an instance that knows nothing of itself is not ready.
	Ready  bool   `json:"ready"`
	Status State  `json:"status"` // the worst state of a component
	Build  Build  `json:"build"`
	Config string `json:"config,omitempty"` // hash of the active configuration
	Policy string `json:"policy,omitempty"` // revision of the active policy

	Components []Component `json:"components"` // by name
}

type health struct {
	mu             sync.Mutex
	components     map[string]*Component
	config, policy string
	up             observe.Gauge
}

// Expect names fatal components that must report that they are well before the
// instance is ready. Without it an instance would be ready between the first report
// and the last one.
func (t *Telemetry) Expect(components ...string) {
	for _, name := range components {
		t.report(Component{Name: name, State: Starting, Fatal: true, Detail: "has not reported yet"}, false)
	}
}

// Report implements observe.Health.
func (t *Telemetry) Report(component string, fatal bool, err error) {
	c := Component{Name: component, Fatal: fatal, State: Well}
	if err != nil {
		c.State, c.Detail = Degraded, Printable(err.Error())
		if fatal {
			c.State = Down
		}
	}
	t.report(c, true)
}

func (t *Telemetry) report(c Component, overwrite bool) {
	h := &t.health
	h.mu.Lock()
	defer h.mu.Unlock()
	c.Since = t.now().UTC()
	old, known := h.components[c.Name]
	switch {
	case !known && len(h.components) >= MaxComponents, known && !overwrite:
		return
	case known && old.State == c.State:
		c.Since = old.Since
	}
	h.components[c.Name] = &c
	up := 0.0
	if c.State == Well {
		up = 1
	}
	h.up.Set(up, c.Name)
}

// Health is how the instance is now.
func (t *Telemetry) Health() Report {
	h := &t.health
	h.mu.Lock()
	defer h.mu.Unlock()
	r := Report{Status: Well, Build: t.build, Config: h.config, Policy: h.policy, Ready: len(h.components) > 0,
		Components: make([]Component, 0, len(h.components))}
	if !r.Ready {
		r.Status = Starting
	}
	for _, c := range h.components {
		r.Components = append(r.Components, *c)
		r.Status = worse(r.Status, c.State)
		if c.Fatal && c.State != Well {
			r.Ready = false
		}
	}
	slices.SortFunc(r.Components, func(a, b Component) int { return cmp.Compare(a.Name, b.Name) })
	return r
}

func worse(a, b State) State {
	order := []State{Well, Degraded, Starting, Down}
	return order[max(slices.Index(order, a), slices.Index(order, b))]
}
