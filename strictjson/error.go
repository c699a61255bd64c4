package strictjson

import "fmt"

// Reason says why a document was refused.
type Reason uint8

// The reasons. Syntax is what no JSON reader should accept; every other one is a
// document that some readers accept.
const (
	Syntax    Reason = iota + 1 // not the grammar of RFC 8259
	Encoding                    // invalid UTF-8 or a lone surrogate
	Name                        // a control character in a member name
	Duplicate                   // a member name given twice in one object
	TooDeep                     // more nested than Limits.Depth
	TooMany                     // more leaves than Limits.Leaves
	TooLong                     // a path over MaxPath or a number over MaxNumber bytes
)

var reasons = [...]string{
	Syntax:    "not JSON",
	Encoding:  "not Unicode",
	Name:      "a control character in a member name",
	Duplicate: "a member name given twice",
	TooDeep:   "nested too deep",
	TooMany:   "too many values",
	TooLong:   "a path or number is too long",
}

// String is the reason in words.
func (r Reason) String() string {
	if int(r) < len(reasons) && reasons[r] != "" {
		return reasons[r]
	}
	return "unknown"
}

// Error is why Walk refused, and where. It holds no part of the document.
type Error struct {
	Reason Reason
	// Offset is where the reader stood, in bytes.
	Offset int
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s (at byte %d)", e.Reason, e.Offset) }

// Excessive says that the document may be well-formed but is over a limit.
func (e *Error) Excessive() bool {
	return e.Reason == TooDeep || e.Reason == TooMany || e.Reason == TooLong
}
