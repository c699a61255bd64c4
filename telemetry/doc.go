// Package telemetry is what stands behind observe: metrics on Prometheus, the health
// of the components, the log, and the handler of the ops listener that shows them.
//
// Everything here is of the Runtime: a Telemetry and a logger live as long as the
// process. A reload only tells them what is active now (SetActive) and, through the
// logger's LevelVar, how much to log.
//
// Nothing here can refuse a request or fail one. A metric that is fed wrongly loses a
// value, never a request; what it must not lose is memory, so each metric has a bounded
// number of rows, and everything above them is counted under "other".
package telemetry
