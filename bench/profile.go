package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"
)

// profiles loads each gateway once more with each scenario and writes a CPU profile and a profile
// of allocations of it to dir, for `go tool pprof`. Profiling costs: this is not measured.
func (b *bench) profiles(ctx context.Context, list []scenario, dir string, length time.Duration) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, s := range list {
		for _, column := range columns()[1:] {
			if s.columns[column] == "" {
				continue
			}
			t := b.targets[s.columns[column]]
			j, err := b.warm(s, column, length+time.Second)
			if err != nil {
				return err
			}
			taken := make(chan error, 1)
			go func() {
				taken <- fetch(ctx, fmt.Sprintf("http://%s/debug/pprof/profile?seconds=%d", t.ops, max(1, int(length/time.Second))), filepath.Join(dir, s.ID+"."+column+".cpu"))
			}()
			if _, err := b.fire(j, t); err != nil {
				return err
			}
			if err := <-taken; err != nil {
				return err
			}
			b.progress("profile of %s, %s", s.Title, column)
		}
	}
	for _, t := range b.targets {
		if t.ops == "" {
			continue
		}
		if err := fetch(ctx, "http://"+t.ops+"/debug/pprof/allocs", filepath.Join(dir, t.name+".allocs")); err != nil {
			return err
		}
	}
	return nil
}

func fetch(ctx context.Context, url, file string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	client := &http.Client{Timeout: time.Minute}
	resp, err := client.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, resp.Status)
	}
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(file, text, 0o644)
}
