package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/sallyport/sallyport/observe"
)

// Telemetry implements observe.Meter and observe.Health on a registry of its own.
// It is safe for concurrent use.
type Telemetry struct {
	registry *prometheus.Registry
	build    Build
	now      func() time.Time

	mu          sync.Mutex
	instruments map[string]any
	overflows   *prometheus.CounterVec

	health health
	active *prometheus.GaugeVec
}

var (
	_ observe.Meter  = (*Telemetry)(nil)
	_ observe.Health = (*Telemetry)(nil)
)

// Build says which program this is.
type Build struct {
	Version string `json:"version"`
	Commit  string `json:"commit,omitempty"`
	Go      string `json:"go,omitempty"`
}

// New makes a Telemetry, with the collectors of the Go runtime and of the process.
func New(build Build, now func() time.Time) *Telemetry {
	t := &Telemetry{
		registry:    prometheus.NewRegistry(),
		build:       build,
		now:         now,
		instruments: map[string]any{},
		overflows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "sallyport_metric_overflows_total",
			Help: "Values that were counted in the row 'other' because the metric has too many rows or was fed wrongly."}, []string{"metric"}),
		active: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "sallyport_config_info",
			Help: "1 for the configuration and policy that are active."}, []string{"hash", "policy"}),
	}
	info := prometheus.NewGauge(prometheus.GaugeOpts{Name: "sallyport_build_info", Help: "1; the labels say which program this is.",
		ConstLabels: prometheus.Labels{"version": build.Version, "commit": build.Commit, "go": build.Go}})
	info.Set(1)
	t.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
		t.overflows, t.active, info)
	t.health.components = map[string]*Component{}
	t.health.up = t.Gauge("sallyport_component_up", "1 while a component of the gateway is well, 0 while it is starting, degraded or down.", "component")
	return t
}

// SetActive says which configuration (its hash) and policy (its revision) requests are
// judged by from now on. It is called at start-up and after each reload that took.
func (t *Telemetry) SetActive(config, policy string) {
	t.health.mu.Lock()
	defer t.health.mu.Unlock()
	t.health.config, t.health.policy = config, policy
	t.active.Reset()
	t.active.WithLabelValues(labelValue(config), labelValue(policy)).Set(1)
}
