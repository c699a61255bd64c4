package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// process is a child of the benchmark. Its standard error is a file.
type process struct {
	cmd   *exec.Cmd
	in    io.WriteCloser
	lines *bufio.Reader
	log   string
}

// house starts processes, each kind on cores of its own, and stops them all.
type house struct {
	dir     string // everything that they write
	proxies []int  // cores of what is measured
	others  []int  // cores of the rest
	started []*process
}

func (h *house) start(ctx context.Context, cores []int, name string, args ...string) (*process, error) {
	p := &process{cmd: exec.CommandContext(ctx, filepath.Join(h.dir, args[0]), args[1:]...), log: filepath.Join(h.dir, name+".log")}
	p.cmd.Env = slices.DeleteFunc(os.Environ(), func(pair string) bool { // all run with Go's defaults
		return strings.HasPrefix(pair, "GOGC=") || strings.HasPrefix(pair, "GOMEMLIMIT=") || strings.HasPrefix(pair, "GOMAXPROCS=") || strings.HasPrefix(pair, "GODEBUG=")
	})
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	log, err := os.Create(p.log)
	if err != nil {
		return nil, err
	}
	defer log.Close()
	p.cmd.Stderr = log
	out, err := p.cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	p.lines = bufio.NewReader(out)
	if p.in, err = p.cmd.StdinPipe(); err != nil {
		return nil, err
	}
	if err := pinned(cores, p.cmd.Start); err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	h.started = append(h.started, p)
	return p, nil
}

// firstLine is the address that a process prints when it listens.
func (p *process) firstLine() (string, error) {
	line, err := p.lines.ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("%s ended before it listened: %s", p.cmd.Path, p.tail())
	}
	return strings.TrimSpace(line), nil
}

// tell writes a line of JSON; hear reads one.
func (p *process) tell(v any) error { return json.NewEncoder(p.in).Encode(v) }

func (p *process) hear(v any) error {
	line, err := p.lines.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("%s ended: %s", p.cmd.Path, p.tail())
	}
	return json.Unmarshal(line, v)
}

// tail is the end of what the process has written to its standard error.
func (p *process) tail() string {
	text, _ := os.ReadFile(p.log)
	if len(text) > 2000 {
		text = text[len(text)-2000:]
	}
	return string(text)
}

// stop ends all processes, the last one first.
func (h *house) stop() {
	for _, p := range slices.Backward(h.started) {
		p.in.Close()
		p.cmd.Process.Signal(syscall.SIGTERM)
		timer := time.AfterFunc(5*time.Second, func() { p.cmd.Process.Kill() })
		p.cmd.Wait() // its exit status says nothing: it was told to end
		timer.Stop()
	}
	h.started = nil
}
