package configs

import (
	"maps"
	"slices"
)

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }

// nearest gives the name that a typing mistake probably meant: at most two edits away
// (Levenshtein) and less than half of it, or "".
func nearest(typed string, names []string) string {
	if len(typed) > 64 {
		return ""
	}
	best, distance := "", min(3, len(typed)/2+1)
	for _, name := range names {
		if d := edits(typed, name); d < distance {
			best, distance = name, d
		}
	}
	return best
}

func edits(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			cost := 1
			if a[i] == b[j] {
				cost = 0
			}
			next := min(row[j+1]+1, row[j]+1, diagonal+cost)
			diagonal, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}
