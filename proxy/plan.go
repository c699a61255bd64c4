package proxy

import (
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

// Plan is one configuration of the corridor, ready to serve. It is immutable.
type Plan struct {
	mint     *access.Mint
	dies     dies
	gates    []gate
	demanded map[demandKey][]access.Die
	rooms    Rooms
	sites    *sites
	backends *backends
	meters   meters

	active  atomic.Int64  // requests under way
	retired atomic.Bool   // another plan is the current one
	idle    chan struct{} // closed when retired and without requests
	once    sync.Once
}

// NewPlan builds a Plan aside; it starts nothing. The configuration must have passed
// Check. An error names every room that is missing.
func NewPlan(cfg Config, rooms Rooms) (*Plan, error) {
	if err := rooms.complete(); err != nil {
		return nil, err
	}
	p := &Plan{mint: access.NewMint(), rooms: rooms, meters: newMeters(rooms.Meter), idle: make(chan struct{})}
	p.dies = cutDies(p.mint)
	p.demanded = p.dies.allDemands()
	var err error
	if p.sites, err = newSites(cfg, rooms.Endpoints); err != nil {
		return nil, err
	}
	if p.backends, err = newBackends(p.sites, rooms); err != nil {
		return nil, err
	}
	p.gates = p.table()
	return p, nil
}

// Idle says when a plan that has been swapped out has answered its last request.
func (p *Plan) Idle() <-chan struct{} {
	p.retired.Store(true)
	if p.active.Load() == 0 {
		p.once.Do(func() { close(p.idle) })
	}
	return p.idle
}

func (p *Plan) leave() {
	if p.active.Add(-1) == 0 && p.retired.Load() {
		p.once.Do(func() { close(p.idle) })
	}
}

// Close lets go of the plan's connections to backends. Requests in flight finish.
func (p *Plan) Close() { p.backends.close() }

// complete refuses a nil room: one that is missing cannot refuse.
func (r *Rooms) complete() error {
	v := reflect.ValueOf(*r)
	for i := range v.NumField() {
		name := v.Type().Field(i).Name
		switch f := v.Field(i); f.Kind() {
		case reflect.Interface, reflect.Pointer:
			if f.IsNil() {
				return fmt.Errorf("build corridor: no %s", name)
			}
		}
	}
	return nil
}

type meters struct {
	requests, refusals observe.Counter
	seconds            observe.Histogram
}

func newMeters(m observe.Meter) meters {
	return meters{
		requests: m.Counter("sallyport_requests_total", "Requests answered.", "site", "class", "status"),
		refusals: m.Counter("sallyport_refusals_total", "Requests refused.", "gate", "code"),
		seconds: m.Histogram("sallyport_request_seconds", "Time from head to last byte, in seconds.",
			[]float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 300}, "class"),
	}
}
