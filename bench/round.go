package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/sallyport/sallyport/bench/job"
)

// sample is one target's cost in one round.
type sample struct {
	CPU      time.Duration `json:"cpu_ns"` // per request
	Requests int           `json:"requests"`
	// Busy is the share of the time in which the proxy ran or waited for a core. Well below 1
	// the proxy waited for the load, and woke up more often than a busy one.
	Busy float64 `json:"busy"`
}

// measured is a row: for each column its samples, one per round.
type measured struct {
	scenario
	Samples map[string][]sample `json:"samples"`
}

// bench is a run.
type bench struct {
	targets     map[string]*target
	load        *process
	roots       string // file
	connections int
	cell        time.Duration // how long one target is loaded in one round
	seed        uint64
	progress    func(format string, args ...any)
}

// rounds measures every scenario in every round, target by target, so that what slows the
// machine down for a while slows all of them down. The first round warms up and is not counted.
func (b *bench) rounds(list []scenario, rounds int) ([]measured, error) {
	rows := make([]measured, len(list))
	for i, s := range list {
		rows[i] = measured{scenario: s, Samples: map[string][]sample{}}
	}
	for round := range rounds + 1 {
		b.progress("round %d of %d", round, rounds)
		for i, s := range list {
			for _, column := range columns() {
				if s.columns[column] == "" {
					continue
				}
				length := b.cell
				if round == 0 {
					length /= 4
				}
				one, err := b.measure(s, column, length)
				if err != nil {
					return nil, fmt.Errorf("%s, %s: %w", s.Title, column, err)
				}
				if round > 0 {
					rows[i].Samples[column] = append(rows[i].Samples[column], one)
				}
			}
		}
	}
	for _, t := range b.targets {
		if err := t.audited(); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

// measure loads a column's target and gives the CPU time of its process per request.
func (b *bench) measure(s scenario, column string, length time.Duration) (sample, error) {
	t := b.targets[s.columns[column]]
	j, err := b.warm(s, column, length)
	if err != nil {
		return sample{}, err
	}
	pid := t.proc.cmd.Process.Pid
	waited := waitTime(pid)
	before, err := cpuTime(pid)
	if err != nil {
		return sample{}, err
	}
	result, err := b.fire(j, t)
	if err != nil {
		return sample{}, err
	}
	after, err := cpuTime(pid)
	if err != nil {
		return sample{}, err
	}
	used := after - before
	return sample{CPU: used / time.Duration(result.Requests), Requests: result.Requests,
		Busy: min(1, float64(used+waitTime(pid)-waited)/float64(result.Took))}, nil
}

// warm opens the connections and makes the first requests.
func (b *bench) warm(s scenario, column string, length time.Duration) (job.Job, error) {
	b.seed++
	t := b.targets[s.columns[column]]
	j := job.Job{Addr: t.addr, Roots: b.roots, HTTP2: s.http2, Kind: s.kind, Tenant: t.tenant, Cookie: t.cookie,
		Connections: s.inFlight(column, b.connections), Warm: length / 10, For: length, Seed: b.seed}
	var ready job.Ready
	if err := b.load.tell(j); err != nil {
		return j, err
	}
	if err := b.load.hear(&ready); err != nil {
		return j, err
	}
	t.sent(s.kind, ready.Requests)
	if ready.Failure != "" {
		return j, fmt.Errorf("%s\n%s", ready.Failure, t.proc.tail())
	}
	return j, nil
}

// fire makes the requests that are measured.
func (b *bench) fire(j job.Job, t *target) (job.Result, error) {
	var result job.Result
	if err := b.load.tell(true); err != nil {
		return result, err
	}
	if err := b.load.hear(&result); err != nil {
		return result, err
	}
	t.sent(j.Kind, result.Requests)
	if result.Failure != "" {
		return result, fmt.Errorf("%s\n%s", result.Failure, t.proc.tail())
	}
	return result, nil
}

func (t *target) sent(kind job.Kind, requests int) {
	if kind == job.Post || kind == job.PostNew {
		t.posts += requests
	}
}

// spread is the middle and the ends of some numbers.
type spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(list []float64) spread {
	list = slices.Sorted(slices.Values(list))
	n := len(list)
	if n == 0 {
		return spread{}
	}
	return spread{Median: (list[(n-1)/2] + list[n/2]) / 2, Min: list[0], Max: list[n-1]}
}

// micros is the CPU time per request of a column, in microseconds.
func (m measured) micros(column string) spread {
	var list []float64
	for _, s := range m.Samples[column] {
		list = append(list, float64(s.CPU)/float64(time.Microsecond))
	}
	return spreadOf(list)
}

// ratio is a column's cost over the floor's in the same round.
func (m measured) ratio(column string) spread {
	var list []float64
	for i, s := range m.Samples[column] {
		list = append(list, float64(s.CPU)/float64(m.Samples[floorName][i].CPU))
	}
	return spreadOf(list)
}

// busy is the least share of time in which a column's proxy had work to do.
func (m measured) busy(column string) float64 {
	least := 1.0
	for _, s := range m.Samples[column] {
		least = min(least, s.Busy)
	}
	return least
}
