package strictjson

import (
	"strconv"
	"unicode/utf8"
)

// The bounds that hold when Limits leaves them at zero, and those that always hold.
const (
	DefaultDepth  = 64    // nested arrays and objects
	DefaultLeaves = 5_000 // scalars and empty containers
	MaxPath       = 1_024 // bytes of a path; each leaf may have one, so this bounds amplification
	MaxNumber     = 1_024 // bytes of a number's literal
)

// Limits bounds a document. The zero value means the defaults. The size is bounded by
// the caller, who holds the text.
type Limits struct {
	Depth  int
	Leaves int
}

// Kind is the kind of a value. The zero Kind is none.
type Kind uint8

// The kinds of RFC 8259, section 3.
const (
	Null Kind = iota + 1
	False
	True
	Number
	String
	Array
	Object
)

// Leaf says that the kind has no values inside.
func (k Kind) Leaf() bool { return k < Array }

// Value is one value of a document, told before the values inside it.
type Value struct {
	Kind Kind
	// Text is a string's content after unescaping, or the literal of a number, true,
	// false or null; "" for arrays and objects.
	Text string
	// Empty says that an array or object has nothing inside.
	Empty bool
	// Depth is the number of elements in the path; 0 for the document itself.
	Depth int
	// Index is the place in the array that holds the value directly, else -1.
	Index int
	// Named says that the value is an object's member, or stands within arrays alone
	// below one; Name is then the member's name. In {"a":[[1]]} the 1 is named "a".
	Named bool
	Name  string
	// Escaped says that Name was written with an escape in the document.
	Escaped bool

	w *walker
}

// Path is where the value stands, such as "items.0.name"; "" for the document. Names
// that hold a dot are not marked: compare Depth as well when that matters.
func (v Value) Path() string {
	if v.Depth == 1 && v.Index < 0 {
		return v.Name // the same text, without copying it
	}
	return string(v.w.path)
}

// Walk reads the document and calls visit for each value in the order of the text,
// containers before their content. It returns an *Error, or the first error of visit as it is.
// visit may have been called for a part of a document that is refused in the end.
// Texts and names may share memory with text.
func Walk(text string, limits Limits, visit func(Value) error) error {
	if limits.Depth == 0 {
		limits.Depth = DefaultDepth
	}
	if limits.Leaves == 0 {
		limits.Leaves = DefaultLeaves
	}
	w := &walker{text: text, limits: limits, visit: visit}
	if !utf8.ValidString(text) {
		return w.fail(Encoding)
	}
	w.space()
	if err := w.value(Value{Index: -1, w: w}, 0); err != nil {
		return err
	}
	w.space()
	if w.pos != len(text) {
		return w.fail(Syntax)
	}
	return nil
}

type walker struct {
	text   string
	pos    int
	path   []byte
	names  []string // of all open objects, innermost last
	leaves int
	limits Limits
	visit  func(Value) error
}

func (w *walker) fail(r Reason) error { return &Error{Reason: r, Offset: w.pos} }

// peek gives the next byte, or 0 at the end: no JSON token begins with NUL.
func (w *walker) peek() byte {
	if w.pos < len(w.text) {
		return w.text[w.pos]
	}
	return 0
}

func (w *walker) space() {
	for w.pos < len(w.text) {
		switch w.text[w.pos] {
		case ' ', '\t', '\n', '\r':
			w.pos++
		default:
			return
		}
	}
}

// value reads one value. v holds what is known from outside; open is the number of
// open arrays and objects.
func (w *walker) value(v Value, open int) error {
	switch c := w.peek(); {
	case c == '{':
		return w.object(v, open)
	case c == '[':
		return w.array(v, open)
	case c == '"':
		text, _, err := w.str()
		if err != nil {
			return err
		}
		v.Kind, v.Text = String, text
	case c == '-' || '0' <= c && c <= '9':
		text, err := w.number()
		if err != nil {
			return err
		}
		v.Kind, v.Text = Number, text
	case c == 't':
		v.Kind, v.Text = True, "true"
	case c == 'f':
		v.Kind, v.Text = False, "false"
	case c == 'n':
		v.Kind, v.Text = Null, "null"
	default:
		return w.fail(Syntax)
	}
	if v.Kind <= True {
		if len(w.text)-w.pos < len(v.Text) || w.text[w.pos:w.pos+len(v.Text)] != v.Text {
			return w.fail(Syntax)
		}
		w.pos += len(v.Text)
	}
	return w.tell(v)
}

func (w *walker) tell(v Value) error {
	if v.Kind.Leaf() || v.Empty {
		if w.leaves++; w.leaves > w.limits.Leaves {
			return w.fail(TooMany)
		}
	}
	if w.visit == nil {
		return nil
	}
	return w.visit(v)
}

// enter steps over the opening bracket and tells the container.
func (w *walker) enter(v Value, kind Kind, end byte, open int) (empty bool, err error) {
	if open >= w.limits.Depth {
		return false, w.fail(TooDeep)
	}
	w.pos++
	w.space()
	v.Kind, v.Empty = kind, w.peek() == end
	if v.Empty {
		w.pos++
	}
	return v.Empty, w.tell(v)
}

// next steps over the comma (more is true) or the closing bracket.
func (w *walker) next(end byte) (more bool, err error) {
	w.space()
	c := w.peek()
	if c != ',' && c != end {
		return false, w.fail(Syntax)
	}
	w.pos++
	w.space()
	return c == ',', nil
}

func (w *walker) array(v Value, open int) error {
	empty, err := w.enter(v, Array, ']', open)
	if empty || err != nil {
		return err
	}
	outer := len(w.path)
	inner := Value{Depth: v.Depth + 1, Named: v.Named, Name: v.Name, Escaped: v.Escaped, w: w}
	for more := true; more; inner.Index++ {
		w.dot()
		w.path = strconv.AppendInt(w.path, int64(inner.Index), 10)
		if len(w.path) > MaxPath {
			return w.fail(TooLong)
		}
		if err := w.value(inner, open+1); err != nil {
			return err
		}
		w.path = w.path[:outer]
		if more, err = w.next(']'); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) object(v Value, open int) error {
	empty, err := w.enter(v, Object, '}', open)
	if empty || err != nil {
		return err
	}
	outer := len(w.path)
	seen := nameSet{w: w, first: len(w.names)}
	for more := true; more; {
		inner := Value{Depth: v.Depth + 1, Index: -1, Named: true, w: w}
		if w.peek() != '"' {
			return w.fail(Syntax)
		}
		if inner.Name, inner.Escaped, err = w.str(); err != nil {
			return err
		}
		if hasControl(inner.Name) {
			return w.fail(Name)
		}
		if !seen.add(inner.Name) {
			return w.fail(Duplicate)
		}
		w.space()
		if w.peek() != ':' {
			return w.fail(Syntax)
		}
		w.pos++
		w.space()
		if outer+1+len(inner.Name) > MaxPath {
			return w.fail(TooLong)
		}
		w.dot()
		w.path = append(w.path, inner.Name...)
		if err := w.value(inner, open+1); err != nil {
			return err
		}
		w.path = w.path[:outer]
		if more, err = w.next('}'); err != nil {
			return err
		}
	}
	w.names = w.names[:seen.first]
	return nil
}

func (w *walker) dot() {
	if len(w.path) > 0 {
		w.path = append(w.path, '.')
	}
}

// nameSet is the set of one object's names: compared one by one while they are few,
// hashed when they are many, so that no document costs quadratic time.
type nameSet struct {
	w     *walker
	first int
	many  map[string]struct{}
}

func (s *nameSet) add(name string) bool {
	const few = 16
	own := s.w.names[s.first:]
	if s.many == nil && len(own) == few {
		s.many = make(map[string]struct{}, 4*few)
		for _, n := range own {
			s.many[n] = struct{}{}
		}
	}
	if s.many != nil {
		if _, taken := s.many[name]; taken {
			return false
		}
		s.many[name] = struct{}{}
		return true
	}
	for _, n := range own {
		if n == name {
			return false
		}
	}
	s.w.names = append(s.w.names, name)
	return true
}

func hasControl(s string) bool {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] == 0x7f {
			return true
		}
	}
	return false
}
