package observe

// Meter makes instruments. Names follow Prometheus: sallyport_<what>_<unit>_total.
// Label values must come from bounded sets: a route's pattern, never a path.
// Making the same instrument twice gives the same one.
type Meter interface {
	Counter(name, help string, labels ...string) Counter
	Gauge(name, help string, labels ...string) Gauge
	Histogram(name, help string, buckets []float64, labels ...string) Histogram
}

// Counter counts up. Values stand in the order of the labels.
type Counter interface {
	Add(delta float64, values ...string)
}

// Gauge shows a level.
type Gauge interface {
	Set(level float64, values ...string)
}

// Histogram shows a distribution, of seconds or bytes.
type Histogram interface {
	Observe(value float64, values ...string)
}

// Health collects what /readyz shows.
type Health interface {
	// Report sets a component's state. A nil err is well. A fatal component that is
	// not well makes the instance unready; another one is shown as degraded.
	Report(component string, fatal bool, err error)
}

// Discard is a Meter and Health that keeps nothing, for tests.
type Discard struct{}

// Counter implements Meter.
func (Discard) Counter(string, string, ...string) Counter { return Discard{} }

// Gauge implements Meter.
func (Discard) Gauge(string, string, ...string) Gauge { return Discard{} }

// Histogram implements Meter.
func (Discard) Histogram(string, string, []float64, ...string) Histogram { return Discard{} }

// Add implements Counter.
func (Discard) Add(float64, ...string) {}

// Set implements Gauge.
func (Discard) Set(float64, ...string) {}

// Observe implements Histogram.
func (Discard) Observe(float64, ...string) {}

// Report implements Health.
func (Discard) Report(string, bool, error) {}
