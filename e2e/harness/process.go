package harness

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// patience bounds every wait. Nothing is measured by it: a wait ends when what is waited for is true.
const patience = 60 * time.Second

// Root is the folder e2e.
func Root() string {
	_, file, _, _ := runtime.Caller(0)
	return filepath.Dir(filepath.Dir(file))
}

// Tool finds a program that e2e/setup.sh installs, by the names or paths it may have.
func Tool(t testing.TB, names ...string) string {
	t.Helper()
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Fatalf("%s is missing: run e2e/setup.sh", names[0])
	return ""
}

// Needs fails the test unless a file that e2e/setup.sh makes is there.
func Needs(t testing.TB, path string) string {
	t.Helper()
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s is missing: run e2e/setup.sh", path)
	}
	return path
}

// Eventually polls until ok says yes.
func Eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		if ok() {
			return
		}
	}
	t.Fatalf("it did not happen: %s", what)
}

// Port gives a port that was free a moment ago on an address of loopback.
func Port(t testing.TB, host string) int {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// Output is what a process has written so far.
type Output struct {
	mu sync.Mutex
	b  bytes.Buffer
}

// Write implements io.Writer.
func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.b.String()
}

// Process is a program that a test has started. It ends with the test at the latest.
type Process struct {
	Name   string
	Stdout Output
	Stderr Output

	cmd   *exec.Cmd
	ended chan struct{}
	err   error
}

// Start starts a program. Its output is shown when the test fails.
func Start(t testing.TB, name string, cmd *exec.Cmd) *Process {
	t.Helper()
	p := &Process{Name: name, cmd: cmd, ended: make(chan struct{})}
	cmd.Stdout, cmd.Stderr = &p.Stdout, &p.Stderr
	cmd.WaitDelay = 5 * time.Second // for children that keep our pipes open
	// A test that is killed, or times out, takes what it has started along. The kernel minds the
	// thread that has started it, so that waits as well.
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Pdeathsig = syscall.SIGTERM
	started := make(chan error)
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
		}
		close(p.ended)
	}()
	if err := <-started; err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	t.Cleanup(func() {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.ended:
		case <-time.After(10 * time.Second):
			p.signal(syscall.SIGKILL)
			<-p.ended
		}
		if t.Failed() {
			t.Logf("%s wrote:\n%s%s", name, tail(p.Stdout.String()), tail(p.Stderr.String()))
		}
	})
	return p
}

func tail(s string) string {
	const most = 16000
	if len(s) > most {
		return "…" + s[len(s)-most:]
	}
	return s
}

// PID is the process's id.
func (p *Process) PID() int { return p.cmd.Process.Pid }

func (p *Process) signal(sig os.Signal) {
	select {
	case <-p.ended: // its id may belong to somebody else by now
	default:
		_ = p.cmd.Process.Signal(sig) // it may have ended this moment
	}
}

// Signal sends a signal.
func (p *Process) Signal(sig os.Signal) { p.signal(sig) }

// Running says whether it has not ended.
func (p *Process) Running() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Wait gives the exit code when the process has ended; -1 after a signal.
func (p *Process) Wait(t testing.TB) int {
	t.Helper()
	select {
	case <-p.ended:
	case <-time.After(patience):
		t.Fatalf("%s has not ended", p.Name)
	}
	if exit, ok := errors.AsType[*exec.ExitError](p.err); ok {
		return exit.ExitCode()
	}
	if p.err != nil {
		t.Fatalf("%s: %v", p.Name, p.err)
	}
	return 0
}

// Listening waits until somebody accepts connections at an address, and fails when the process
// ends before.
func (p *Process) Listening(t testing.TB, address string) {
	t.Helper()
	Eventually(t, p.Name+" listens at "+address, func() bool {
		if !p.Running() {
			t.Fatalf("%s has ended: %s%s", p.Name, tail(p.Stdout.String()), tail(p.Stderr.String()))
		}
		conn, err := net.DialTimeout("tcp", address, time.Second)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

// Run runs a program to its end and gives what it wrote.
func Run(t testing.TB, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, tail(string(out)))
	}
	return string(out)
}

// WriteFile writes a file into a new folder of the test's own and gives its path.
func WriteFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// Binary builds the gateway and gives the path of the binary. Building again is quick.
func Binary() (string, error) {
	path := filepath.Join(Root(), ".cache", "sallyport")
	args := []string{"build"}
	if raceDetector {
		path += "-race"
		args = append(args, "-race")
	}
	cmd := exec.Command("go", append(args, "-o", path, "./cmd/sallyport")...)
	cmd.Dir = filepath.Dir(Root())
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the gateway: %w\n%s", err, out)
	}
	return path, nil
}
