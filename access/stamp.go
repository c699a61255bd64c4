package access

import "fmt"

// MaxStamps bounds how many stamps one Mint can cut dies for.
const MaxStamps = 32

type stampSet uint32

// Mint makes the dies of one corridor. An Exchange belongs to one Mint, and a die
// of another Mint leaves no mark on it; so a stamp can only come from the holder of
// the die, and the corridor gives each gate its own. archtest allows NewMint in
// proxy alone.
type Mint struct {
	names [MaxStamps]string
	n     int
}

// NewMint returns a mint that has cut no die.
func NewMint() *Mint { return new(Mint) }

// Die cuts the one die of the given name. It panics when the name was used before
// or the mint is worn out: both are mistakes of the programmer, found at start-up.
func (m *Mint) Die(name string) Die {
	for _, taken := range m.names[:m.n] {
		if taken == name {
			panic(fmt.Sprintf("access: a die for stamp %q was cut before", name))
		}
	}
	if m.n == MaxStamps {
		panic("access: too many stamps")
	}
	m.names[m.n] = name
	m.n++
	return Die{mint: m, bit: 1 << (m.n - 1)}
}

// Receive makes an Exchange that bears this mint's stamps. It has none yet.
func (m *Mint) Receive(ex Exchange) *Exchange {
	ex.mint, ex.stamps = m, 0
	return &ex
}

// Missing names the stamps of want that the Exchange lacks. Nil means that it has
// them all. An Exchange of another mint lacks every one.
func (m *Mint) Missing(ex *Exchange, want []Die) []string {
	var missing []string
	for _, d := range want {
		if !d.On(ex) {
			missing = append(missing, d.Name())
		}
	}
	return missing
}

// Die presses one stamp. The zero Die presses nothing.
type Die struct {
	mint *Mint
	bit  stampSet
}

// Press leaves the stamp: the gate that holds this die has let the Exchange pass.
func (d Die) Press(ex *Exchange) {
	if d.mint != nil && d.mint == ex.mint {
		ex.stamps |= d.bit
	}
}

// On says whether the Exchange bears the stamp. The zero Die is on nothing.
func (d Die) On(ex *Exchange) bool {
	return d.mint != nil && d.mint == ex.mint && ex.stamps&d.bit != 0
}

// Name is the stamp's name, or "" for the zero Die.
func (d Die) Name() string {
	if d.mint != nil {
		for i, name := range d.mint.names[:d.mint.n] {
			if d.bit == 1<<i {
				return name
			}
		}
	}
	return ""
}
