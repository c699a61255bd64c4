package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"
)

// conditions is under which circumstances a table was made.
type conditions struct {
	Date        string `json:"date"`
	Machine     string `json:"machine"`
	Kernel      string `json:"kernel"`
	Go          string `json:"go"`
	Cores       int    `json:"cores"`
	Pinned      bool   `json:"pinned"`
	LoadBefore  string `json:"load_average_before"`
	LoadAfter   string `json:"load_average_after"`
	Rounds      int    `json:"rounds"`
	CellSeconds string `json:"cell"`
	Connections int    `json:"connections"`
}

func conditionsNow() conditions {
	return conditions{Date: time.Now().UTC().Format("2006-01-02 15:04 MST"), Machine: machine(), Kernel: firstWords("/proc/sys/kernel/osrelease", 1),
		Go: runtime.Version(), Cores: runtime.NumCPU(), LoadBefore: loadAverage()}
}

func machine() string {
	text, _ := os.ReadFile("/proc/cpuinfo")
	for line := range strings.Lines(string(text)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// loadAverage is the number of processes that ran or wanted to, over 1 and 5 minutes.
func loadAverage() string { return firstWords("/proc/loadavg", 2) }

func firstWords(file string, n int) string {
	text, _ := os.ReadFile(file)
	words := strings.Fields(string(text))
	return strings.Join(words[:min(n, len(words))], " ")
}

// enoughBusy is the share below which a cell is marked: the proxy was not the bottleneck.
const enoughBusy = 0.9

func printTable(w io.Writer, c conditions, rows []measured) {
	fmt.Fprintf(w, "\nCPU time per request, and as a ratio to the floor in the same round: median (least–most of %d rounds).\n", c.Rounds)
	fmt.Fprintf(w, "%s; %s, %d cores, Linux %s, %s; load average %s before, %s after (1 and 5 minutes).\n", c.Date, c.Machine, c.Cores, c.Kernel, c.Go, c.LoadBefore, c.LoadAfter)
	pinned := "the proxy on one core, load generator and backend on the others"
	if !c.Pinned {
		pinned = "not pinned to cores"
	}
	fmt.Fprintf(w, "%d requests in flight (%d audited ones, without the WAF), %s per target and round; %s.\n\n", c.Connections, c.Connections*moreDurable, c.CellSeconds, pinned)

	lines := [][]string{{"", "floor, µs", "no WAF, µs", "no WAF ÷ floor", "full CRS, µs", "full CRS ÷ floor"}}
	for _, m := range rows {
		line := []string{m.Title, m.cost(floorName)}
		for _, column := range []string{noWAF, withWAF} {
			line = append(line, m.cost(column), m.against(column))
		}
		lines = append(lines, line)
	}
	writeMarkdown(w, lines)
	fmt.Fprintln(w)
	if slices.ContainsFunc(rows, measured.waitedForLoad) {
		fmt.Fprintf(w, "* the proxy had nothing to do for more than a tenth of the time in some round: it slept and woke, which costs extra.\n")
	}
	for _, m := range rows {
		for column, limit := range m.reach {
			if got := m.ratio(column).Median; got > limit {
				fmt.Fprintf(w, "not yet reached: %s, %s: %.2f, want at most %.2f\n", m.Title, strings.ReplaceAll(column, "_", " "), got, limit)
			}
		}
	}
}

// waitedForLoad says whether a cell of the row is marked.
func (m measured) waitedForLoad() bool {
	return slices.ContainsFunc(columns(), func(column string) bool { return m.busy(column) < enoughBusy })
}

func (m measured) cost(column string) string {
	if len(m.Samples[column]) == 0 {
		return "–"
	}
	mark := ""
	if m.busy(column) < enoughBusy {
		mark = "*"
	}
	s := m.micros(column)
	return fmt.Sprintf("%.0f (%.0f–%.0f)%s", s.Median, s.Min, s.Max, mark)
}

func (m measured) against(column string) string {
	if len(m.Samples[column]) == 0 {
		return "–"
	}
	s := m.ratio(column)
	digits := 2
	if s.Median >= 10 {
		digits = 0
	}
	return fmt.Sprintf("**%.*f** (%.*f–%.*f)", digits, s.Median, digits, s.Min, digits, s.Max)
}

// writeMarkdown writes a table that reads well both in a terminal and in a document.
func writeMarkdown(w io.Writer, lines [][]string) {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len([]rune(cell)))
		}
	}
	row := func(cells []string, pad string) {
		for i, cell := range cells {
			fmt.Fprintf(w, "| %s%s ", cell, strings.Repeat(pad, widths[i]-len([]rune(cell))))
		}
		fmt.Fprintln(w, "|")
	}
	row(lines[0], " ")
	rule := make([]string, len(widths))
	for i := range rule {
		rule[i] = "---"
	}
	row(rule, "-")
	for _, line := range lines[1:] {
		row(line, " ")
	}
}

// result is a row as -json prints it.
type result struct {
	measured
	Micros map[string]spread  `json:"micros"`
	Ratio  map[string]spread  `json:"ratio"`
	Reach  map[string]float64 `json:"reach,omitempty"`
}

func printJSON(w io.Writer, c conditions, rows []measured) error {
	out := struct {
		Conditions conditions `json:"conditions"`
		Rows       []result   `json:"rows"`
	}{Conditions: c}
	for _, m := range rows {
		r := result{measured: m, Micros: map[string]spread{}, Ratio: map[string]spread{}, Reach: m.reach}
		for column := range m.Samples {
			r.Micros[column], r.Ratio[column] = m.micros(column), m.ratio(column)
		}
		out.Rows = append(out.Rows, r)
	}
	enc := json.NewEncoder(w)
	enc.SetIndent("", "  ")
	return enc.Encode(out)
}
