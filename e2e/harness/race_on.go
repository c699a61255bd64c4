//go:build race

package harness

// raceDetector says that the tests run with the race detector; then the binary does so, too.
const raceDetector = true
