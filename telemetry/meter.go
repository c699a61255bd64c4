package telemetry

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/sallyport/sallyport/observe"
)

// The bounds of a metric. A program error that feeds it paths or user names must not
// eat the memory of the gateway or of the Prometheus that scrapes it.
const (
	MaxLabels     = 6
	MaxRows       = 1000 // combinations of label values; the rest is counted as Other
	MaxLabelValue = 128  // bytes
)

// Other stands in every label of the row that takes what does not fit.
const Other = "other"

// key is a row's label values. An array compares and hashes without an allocation.
type key [MaxLabels]string

// family is one metric: its rows by label values. Rows are looked up without a lock:
// the map is replaced, never changed, and that happens at most MaxRows times.
type family[R any] struct {
	name   string
	labels []string
	make   func(values []string) (R, error)
	remove func(values []string)
	full   func() // a value went to the row Other
	max    int

	mu   sync.Mutex // held to replace rows
	rows atomic.Pointer[map[key]R]
}

func newFamily[R any](name string, labels []string, create func([]string) (R, error), remove func([]string), full func()) *family[R] {
	f := &family[R]{name: name, labels: labels, make: create, remove: remove, full: full, max: MaxRows}
	f.rows.Store(&map[key]R{})
	return f
}

// row finds or makes the row of the values.
func (f *family[R]) row(values []string) (R, bool) {
	if len(values) == len(f.labels) {
		var k key
		copy(k[:], values)
		if r, ok := (*f.rows.Load())[k]; ok {
			return r, true
		}
	}
	return f.slow(values)
}

func (f *family[R]) slow(values []string) (none R, ok bool) {
	clean := make([]string, len(f.labels))
	if len(values) != len(f.labels) {
		return f.other() // a mistake of the caller, which must not cost a request
	}
	for i, v := range values {
		clean[i] = labelValue(v)
	}
	return f.add(clean, f.max)
}

func (f *family[R]) other() (R, bool) {
	f.full()
	others := make([]string, len(f.labels))
	for i := range others {
		others[i] = Other
	}
	return f.add(others, f.max+1)
}

func (f *family[R]) add(values []string, limit int) (none R, ok bool) {
	var k key
	copy(k[:], values)
	f.mu.Lock()
	rows := *f.rows.Load()
	if r, ok := rows[k]; ok {
		f.mu.Unlock()
		return r, true
	}
	if len(rows) >= limit {
		f.mu.Unlock()
		if limit > f.max {
			return none, false
		}
		return f.other()
	}
	defer f.mu.Unlock()
	r, err := f.make(values)
	if err != nil {
		return none, false
	}
	next := maps.Clone(rows)
	next[k] = r
	f.rows.Store(&next)
	return r, true
}

// drop takes a row away.
func (f *family[R]) drop(values []string) {
	if len(values) != len(f.labels) {
		return
	}
	var k key
	for i, v := range values {
		k[i] = labelValue(v)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	next := maps.Clone(*f.rows.Load())
	delete(next, k)
	f.rows.Store(&next)
	f.remove(k[:len(f.labels)])
}

// labelValue makes a value that Prometheus accepts: valid UTF-8 of bounded length.
func labelValue(v string) string {
	if len(v) > MaxLabelValue {
		v = v[:MaxLabelValue]
	}
	return strings.ToValidUTF8(v, "?")
}

type counter struct{ *family[prometheus.Counter] }

// Add implements observe.Counter. A counter only rises: a negative delta is dropped.
func (c counter) Add(delta float64, values ...string) {
	if !(delta >= 0) {
		return
	}
	if row, ok := c.row(values); ok {
		row.Add(delta)
	}
}

type gauge struct{ *family[prometheus.Gauge] }

// Set implements observe.Gauge. NaN takes the row away: the thing is gone.
func (g gauge) Set(level float64, values ...string) {
	if math.IsNaN(level) {
		g.drop(values)
		return
	}
	if row, ok := g.row(values); ok {
		row.Set(level)
	}
}

type histogram struct {
	*family[prometheus.Observer]
	buckets []float64
}

// Observe implements observe.Histogram.
func (h histogram) Observe(value float64, values ...string) {
	if row, ok := h.row(values); ok {
		row.Observe(value)
	}
}

// Counter implements observe.Meter. Like Gauge and Histogram it panics when the name
// stands for another kind of instrument or other labels, or is none that Prometheus
// takes: mistakes of the programmer, found when the room is built.
func (t *Telemetry) Counter(name, help string, labels ...string) observe.Counter {
	return instrument(t, name, labels, func() counter {
		vec := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
		t.registry.MustRegister(vec)
		return counter{newFamily(name, labels, func(v []string) (prometheus.Counter, error) { return vec.GetMetricWithLabelValues(v...) },
			func(v []string) { vec.DeleteLabelValues(v...) }, t.overflow(name))}
	}, func(c counter) []string { return c.labels })
}

// Gauge implements observe.Meter.
func (t *Telemetry) Gauge(name, help string, labels ...string) observe.Gauge {
	return instrument(t, name, labels, func() gauge {
		vec := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: help}, labels)
		t.registry.MustRegister(vec)
		return gauge{newFamily(name, labels, func(v []string) (prometheus.Gauge, error) { return vec.GetMetricWithLabelValues(v...) },
			func(v []string) { vec.DeleteLabelValues(v...) }, t.overflow(name))}
	}, func(g gauge) []string { return g.labels })
}

// Histogram implements observe.Meter.
func (t *Telemetry) Histogram(name, help string, buckets []float64, labels ...string) observe.Histogram {
	h := instrument(t, name, labels, func() histogram {
		vec := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, labels)
		t.registry.MustRegister(vec)
		return histogram{newFamily(name, labels, func(v []string) (prometheus.Observer, error) { return vec.GetMetricWithLabelValues(v...) },
			func(v []string) { vec.DeleteLabelValues(v...) }, t.overflow(name)), slices.Clone(buckets)}
	}, func(h histogram) []string { return h.labels })
	if !slices.Equal(h.buckets, buckets) {
		panic(fmt.Sprintf("telemetry: metric %s was made with other buckets before", name))
	}
	return h
}

// instrument gives the instrument of the name, or makes it.
func instrument[I any](t *Telemetry, name string, labels []string, create func() I, labelsOf func(I) []string) I {
	if len(labels) > MaxLabels {
		panic(fmt.Sprintf("telemetry: metric %s has %d labels, at most %d", name, len(labels), MaxLabels))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if made, ok := t.instruments[name]; ok {
		same, ok := made.(I)
		if !ok || !slices.Equal(labelsOf(same), labels) {
			panic(fmt.Sprintf("telemetry: metric %s was made with another kind or other labels before", name))
		}
		return same
	}
	made := create()
	t.instruments[name] = made
	return made
}

// overflow counts what went to the row Other, by metric: their number is bounded by
// the program's text.
func (t *Telemetry) overflow(name string) func() {
	row := t.overflows.WithLabelValues(name)
	return row.Inc
}
