package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sallyport/sallyport/bench/job"
)

// scenario is a row of the table: one kind of request, sent to some of the targets.
type scenario struct {
	ID    string `json:"id"`
	Title string `json:"title"`
	kind  job.Kind
	http2 bool
	// durable requests wait for the disk. There are so many more of them in flight that the proxy
	// has work all the same, as on a busy gateway; the WAF keeps it busy anyway.
	durable bool
	// columns says which target fills which column of the table.
	columns map[string]string
	// reach is the ratio to get below, by column; 0 where there is none.
	reach map[string]float64
}

func scenarios() []scenario {
	all := map[string]string{floorName: floorName, noWAF: noWAF, withWAF: withWAF}
	return []scenario{
		{ID: "get", Title: "HTTPS GET, 2 KB", kind: job.Get, columns: all, reach: map[string]float64{noWAF: 1.15}},
		{ID: "get_logged", Title: "HTTPS GET, 2 KB, access log in a file", kind: job.Get, columns: map[string]string{floorName: floorName, noWAF: withLogName}},
		{ID: "get_http2", Title: "HTTP/2 GET, 2 KB", kind: job.Get, http2: true, columns: all},
		{ID: "get_new", Title: "HTTPS GET, 4 parameters never seen before", kind: job.GetQuery, columns: all, reach: map[string]float64{withWAF: 5}},
		{ID: "post", Title: "1 KB JSON POST, 24 values, audited", kind: job.Post, durable: true, columns: all, reach: map[string]float64{noWAF: 1.5}},
		{ID: "post_new", Title: "the same, values never seen before", kind: job.PostNew, durable: true, columns: all, reach: map[string]float64{withWAF: 15}},
	}
}

// moreDurable is how many times as many durable requests are in flight.
const moreDurable = 8

// inFlight is how many requests a column's proxy gets at a time.
func (s scenario) inFlight(column string, connections int) int {
	if s.durable && column != withWAF {
		return connections * moreDurable
	}
	return connections
}

// columns in the order in which a round takes them.
func columns() []string { return []string{floorName, noWAF, withWAF} }

// intents counts the records that the journal of a gateway holds of changes by requests.
func intents(dir string) (count int, err error) {
	files, err := filepath.Glob(filepath.Join(dir, "segment-*.jsonl"))
	if err != nil {
		return 0, err
	}
	for _, name := range files {
		f, err := os.Open(name)
		if err != nil {
			return 0, err
		}
		lines := bufio.NewScanner(f)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			if bytes.Contains(lines.Bytes(), []byte(`"action":"create"`)) && bytes.Contains(lines.Bytes(), []byte(`"outcome":"intended"`)) {
				count++
			}
		}
		f.Close()
		if err := lines.Err(); err != nil {
			return 0, err
		}
	}
	return count, nil
}

// audited makes sure that every record that was sent stands in the journal.
func (t *target) audited() error {
	if t.audit == "" {
		return nil
	}
	count, err := intents(t.audit)
	if err != nil {
		return err
	}
	if count != t.posts {
		return fmt.Errorf("%s: %d records were sent, %d intents stand in the journal", t.name, t.posts, count)
	}
	return nil
}
