// Package observe is what rooms speak to when they count, measure or report their
// health. It holds interfaces alone; telemetry implements them.
package observe
