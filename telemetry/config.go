package telemetry

import (
	"fmt"
	"log/slog"
	"slices"
)

// Config is the key "telemetry" of the file.
type Config struct {
	Log Log `yaml:"log" doc:"How the log is written."`
}

// Log is the key "telemetry.log".
type Log struct {
	Format string `yaml:"format" doc:"Format of a line: json or text. Default json."`
	Level  string `yaml:"level" doc:"Least level that is logged: debug, info, warn or error. Default info."`
}

// The formats of the log.
const (
	FormatJSON = "json"
	FormatText = "text"
)

// WithDefaults fills in what the file leaves out.
func (c Config) WithDefaults() Config {
	if c.Log.Format == "" {
		c.Log.Format = FormatJSON
	}
	if c.Log.Level == "" {
		c.Log.Level = "info"
	}
	return c
}

// Check reports every problem of the configuration.
func (c Config) Check(problem, _ func(path, what, hint string)) {
	c = c.WithDefaults()
	if formats := []string{FormatJSON, FormatText}; !slices.Contains(formats, c.Log.Format) {
		problem("log.format", fmt.Sprintf("%q is not a log format", c.Log.Format), "write json or text")
	}
	if _, ok := level(c.Log.Level); !ok {
		problem("log.level", fmt.Sprintf("%q is not a log level", c.Log.Level), "write debug, info, warn or error")
	}
}

// level reads the name of a level.
func level(name string) (slog.Level, bool) {
	switch name {
	case "debug":
		return slog.LevelDebug, true
	case "info":
		return slog.LevelInfo, true
	case "warn":
		return slog.LevelWarn, true
	case "error":
		return slog.LevelError, true
	}
	return slog.LevelInfo, false
}

// Least is the least level that is logged; info when the text names none.
func (l Log) Least() slog.Level {
	least, _ := level(l.Level)
	return least
}
