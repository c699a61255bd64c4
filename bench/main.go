// Bench measures what the gateway costs: CPU time per request of the whole corridor, with and
// without the WAF, as a ratio to the floor, a plain Go reverse proxy, in the same run. It builds
// everything that it needs and uses nothing but loopback. It runs on Linux.
//
//	go run .                 the table, in at most 3 minutes
//	go run . -quick          a first impression, in at most 30 seconds
//	go run . -json           the same numbers for programs
//	go run . -profile DIR    CPU profiles of each scenario as well
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

type options struct {
	quick, asJSON, pin bool
	rounds             int
	cell               time.Duration
	connections        int
	only, profile      string
	root, dir          string
}

func main() {
	var o options
	flag.BoolVar(&o.quick, "quick", false, "two short rounds")
	flag.BoolVar(&o.asJSON, "json", false, "print JSON")
	flag.BoolVar(&o.pin, "pin", true, "give the proxy a core of its own, where there are two")
	flag.IntVar(&o.rounds, "rounds", 5, "how many rounds are counted")
	flag.DurationVar(&o.cell, "cell", 1500*time.Millisecond, "how long a target is loaded in each round")
	flag.IntVar(&o.connections, "connections", 16, "requests in flight, 4 to 1000")
	flag.StringVar(&o.only, "only", "", "measure the scenario of this `id` alone, such as get, get_logged, get_http2, get_new, post, post_new")
	flag.StringVar(&o.profile, "profile", "", "write CPU profiles to this `folder`")
	flag.StringVar(&o.root, "root", "..", "`folder` of the gateway's source")
	flag.StringVar(&o.dir, "dir", "", "`folder` for databases and journals, on the disk that fsync is to meet; default the system's temporary folder")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func (o *options) check() error {
	if o.quick {
		o.rounds, o.cell = 2, 200*time.Millisecond
	}
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("unknown argument %q", flag.Arg(0))
	case o.rounds < 1 || o.rounds > 1000:
		return errors.New("-rounds is out of range: 1 to 1000")
	case o.cell < 100*time.Millisecond || o.cell > time.Minute:
		return errors.New("-cell is out of range: 100ms to 1m")
	case o.connections < 4 || o.connections > 1000:
		return errors.New("-connections is out of range: 4 to 1000")
	}
	return nil
}

func run(ctx context.Context, o options) (err error) {
	if err := o.check(); err != nil {
		return err
	}
	list := scenarios()
	if o.only != "" {
		var chosen []scenario
		for _, s := range list {
			if s.ID == o.only {
				chosen = append(chosen, s)
			}
		}
		if list = chosen; list == nil {
			return fmt.Errorf("no scenario %q", o.only)
		}
	}
	h := new(house)
	if h.dir, err = os.MkdirTemp(o.dir, "sallyport-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(h.dir)
	if h.dir, err = filepath.Abs(h.dir); err != nil {
		return err
	}
	defer h.stop()
	progress := func(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
	progress("building")
	if err := build(ctx, o.root, h.dir); err != nil {
		return err
	}
	if cores, err := allowed(); err != nil {
		return err
	} else if list := cores.cores(); o.pin && len(list) > 1 {
		h.proxies, h.others = list[:1], list[1:]
	}
	c := conditionsNow()
	c.Pinned, c.Rounds, c.CellSeconds, c.Connections = len(h.proxies) > 0, o.rounds, o.cell.String(), o.connections
	b, err := h.furnish(ctx)
	if err != nil {
		return err
	}
	b.connections, b.cell, b.progress = o.connections, o.cell, progress
	rows, err := b.rounds(list, o.rounds)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		return err
	}
	c.LoadAfter = loadAverage()
	if o.profile != "" {
		if err := b.profiles(ctx, list, o.profile, max(2*time.Second, o.cell)); err != nil {
			return err
		}
	}
	if o.asJSON {
		return printJSON(os.Stdout, c, rows)
	}
	printTable(os.Stdout, c, rows)
	return nil
}

// build makes the programs: the gateway and those of the benchmark.
func build(ctx context.Context, root, into string) error {
	for _, b := range []struct{ dir, what, name string }{{root, "./cmd/sallyport", "sallyport"}, {".", "./floor", "floor"}, {".", "./backend", "backend"}, {".", "./load", "load"}} {
		cmd := exec.CommandContext(ctx, "go", "build", "-o", filepath.Join(into, b.name), b.what)
		cmd.Dir = b.dir
		if out, err := cmd.CombinedOutput(); err != nil {
			return fmt.Errorf("build %s: %w\n%s", b.what, err, out)
		}
	}
	return nil
}

// furnish starts everything, logs in at each gateway and makes sure that each is what the table
// will call it.
func (h *house) furnish(ctx context.Context) (*bench, error) {
	roots, err := h.secrets()
	if err != nil {
		return nil, err
	}
	provider, err := startIDP()
	if err != nil {
		return nil, err
	}
	backend, err := h.start(ctx, h.others, "backend", "backend")
	if err != nil {
		return nil, err
	}
	behind, err := backend.firstLine()
	if err != nil {
		return nil, err
	}
	b := &bench{targets: map[string]*target{}, roots: filepath.Join(h.dir, "cert.pem"), seed: uint64(time.Now().UnixNano()) >> 20}
	floor, err := h.floor(ctx, behind)
	if err != nil {
		return nil, err
	}
	b.targets[floorName] = floor
	for _, g := range gateways() {
		t, err := h.gateway(ctx, g, behind, provider.issuer)
		if err != nil {
			return nil, err
		}
		b.targets[g.name] = t
	}
	for _, g := range gateways() {
		t := b.targets[g.name]
		if err := t.ready(ctx); err != nil {
			return nil, err
		}
		if err := t.enter(ctx, roots); err != nil {
			return nil, err
		}
		floor.cookie = t.cookie // it passes the bytes on
	}
	b.load, err = h.start(ctx, h.others, "load", "load")
	return b, err
}
