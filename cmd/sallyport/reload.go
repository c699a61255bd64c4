package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/sallyport/sallyport/configs"
)

// settle is how long the file must be quiet before it is read: editors and deployments
// write in several steps.
const settle = 200 * time.Millisecond

// look is how often the file is read without any event: the content behind a bind mount of
// the file alone changes without the folder noticing.
const look = 5 * time.Second

// source tells when to load a configuration, and loads it.
type source struct {
	// changes calls reload whenever the configuration may differ from what was seen last, until ctx
	// ends. active is the hash of what serves at first: a change before the watching began counts.
	changes func(ctx context.Context, active string, reload func(why string)) error
	load    func() (*configs.Loaded, error)
}

// watchFile watches a file's directory, not the file: a bind mount or an atomic rename puts
// another inode in its place. SIGHUP counts as a change.
func watchFile(path string, log *slog.Logger) source {
	return source{
		load: func() (*configs.Loaded, error) { return configs.Load(path) },
		changes: func(ctx context.Context, active string, reload func(string)) error {
			hup := make(chan os.Signal, 1)
			signal.Notify(hup, syscall.SIGHUP)
			defer signal.Stop(hup)
			watcher, err := fsnotify.NewWatcher()
			if err == nil {
				defer watcher.Close()
				err = watcher.Add(filepath.Dir(path))
			}
			if err != nil { // SIGHUP still works
				log.Error("the configuration's folder cannot be watched", "error", err)
				watcher = &fsnotify.Watcher{}
			}
			quiet := time.NewTimer(settle)
			defer quiet.Stop()
			seen := active
			for {
				select {
				case <-ctx.Done():
					return nil
				case <-hup:
					seen = digest(path)
					reload("signal")
				case <-watcher.Events: // any event of the folder: Kubernetes swaps a link beside the file
					quiet.Reset(settle)
				case err := <-watcher.Errors:
					log.Warn("watching the configuration's folder", "error", err)
				case <-quiet.C:
					quiet.Reset(look)
					if now := digest(path); now != seen {
						seen = now
						reload("file")
					}
				}
			}
		},
	}
}

// digest is the hash of a file's content, as configs.Loaded has it; "" while there is none.
func digest(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return configs.Hash(text)
}

// reload builds the new configuration aside and swaps it whole. On any error the old one
// goes on, and says so.
func (rt *Runtime) reload(ctx context.Context, src source, why string) {
	err := rt.tryReload(ctx, src)
	if err != nil {
		rt.reloads.Add(1, "failed")
		rt.telemetry.Report("configuration", false, fmt.Errorf("the changed file cannot be used, %s goes on: %w", rt.active().hash(), err))
		var findings configs.Findings
		if errors.As(err, &findings) {
			for _, f := range findings {
				rt.log.Error("configuration", "file", f.File, "line", f.Line, "column", f.Column, "path", f.Path, "problem", f.What, "hint", f.Hint)
			}
		}
		rt.log.Error("the configuration was not reloaded; the old one goes on", "why", why, "active", rt.active().hash(), "error", err)
		return
	}
	rt.reloads.Add(1, "done")
	rt.telemetry.Report("configuration", false, nil)
}

func (rt *Runtime) tryReload(ctx context.Context, src source) error {
	loaded, err := src.load()
	if err != nil {
		return err
	}
	next, err := rt.plan(ctx, loaded)
	if err != nil {
		return err
	}
	change, err := rt.edge.Prepare(loaded.Tree.Edge, next.hosts())
	if err != nil {
		next.close()
		return err
	}
	var restart []string
	for _, key := range change.Restart {
		restart = append(restart, "edge."+key)
	}
	restart = append(restart, needsRestart(rt.active().loaded.Tree, loaded.Tree)...)
	rt.adopt(next)
	change.Commit() // after the plan: a handshake for a new host must find its site
	for _, key := range restart {
		rt.log.Warn("a changed key takes effect at the next start", "key", key)
	}
	return nil
}

// needsRestart names the keys outside edge whose change a reload does not carry out.
func needsRestart(old, changed configs.Tree) (keys []string) {
	for key, differs := range map[string]bool{
		"environment":   old.Environment != changed.Environment,
		"store":         old.Store != changed.Store,
		"authn.session": old.Authn.Session != changed.Authn.Session,
		"audit":         old.Audit != changed.Audit,
		"operation":     old.Operation != changed.Operation,
	} {
		if differs {
			keys = append(keys, key)
		}
	}
	return keys
}
