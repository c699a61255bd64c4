//go:build unix

package audit

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/sallyport/sallyport/access"
	"github.com/sallyport/sallyport/observe"
)

const killedDir = "SALLYPORT_TEST_AUDIT_DIR"

// TestKilledWriter is the process that is killed: it prints the id of every intent that
// was acknowledged, and does nothing when it runs as a test.
func TestKilledWriter(t *testing.T) {
	dir := os.Getenv(killedDir)
	if dir == "" {
		t.Skip("it is started by TestNoAcknowledgedIntentIsLostWhenTheProcessIsKilled")
	}
	l := must(New(Options{Config: Config{Dir: dir, SegmentSize: MinSegmentSize}, Meter: observe.Discard{}, Health: observe.Discard{},
		Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}))
	go func() { _ = l.Run(context.Background()) }()
	<-l.Opened()
	for range 8 {
		go func() {
			for {
				ex := exchange()
				if l.Intend(context.Background(), ex) == nil {
					fmt.Fprintf(os.Stdout, "intended %s\n", ex.EventID)
				}
				l.Finish(context.Background(), ex, access.Done, 200)
			}
		}()
	}
	time.Sleep(30 * time.Second) // a bound, should nobody kill it
}

func TestNoAcknowledgedIntentIsLostWhenTheProcessIsKilled(t *testing.T) {
	dir := folder(t)
	acknowledged := map[string]bool{}
	for round := range 6 {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestKilledWriter$")
		cmd.Env = append(os.Environ(), killedDir+"="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); {
			if id, ok := strings.CutPrefix(lines.Text(), "intended "); ok && len(id) == 36 {
				acknowledged[id] = true
				if n++; n == 40+37*round { // in the middle of its work; then what the pipe still holds
					_ = cmd.Process.Kill()
				}
			}
		}
		if err := cmd.Wait(); err == nil {
			t.Fatal("the process ended before it was killed")
		}
	}
	n := len(acknowledged)
	open(t, dir, realDisk(), Config{}) // repairs the last tail
	for _, ev := range events(t, dir) {
		if ev.Outcome == access.Intended {
			delete(acknowledged, ev.ID)
		}
	}
	if len(acknowledged) != 0 || n < 6*40 {
		t.Errorf("%d of %d acknowledged intents are not in the journal", len(acknowledged), n)
	}
}
