// Package archtest is the floor plan of the house as a test. It has no code of its own:
// doors.go says who may import whom, homes.go which third-party library may live where, and
// the tests fail by name.
package archtest
