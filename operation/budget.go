package operation

import (
	"errors"
	"fmt"
	"sync"

	"github.com/sallyport/sallyport/observe"
)

// errBudget is wrapped when a bound across all requests is reached.
var errBudget = errors.New("bodies of all requests together are over their bound")

// budget bounds how many bytes all requests hold at one place.
type budget struct {
	place string // memory or disk
	max   int64
	gauge observe.Gauge

	mu   sync.Mutex
	used int64
}

func (b *budget) take(n int64) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n > b.max-b.used {
		return fmt.Errorf("%w: %d more bytes of %s, %d of %d are taken", errBudget, n, b.place, b.used, b.max)
	}
	b.used += n
	b.gauge.Set(float64(b.used), b.place)
	return nil
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.gauge.Set(float64(b.used), b.place)
}

// claim is what one request holds of a budget. It is locked because the upstream may still
// read a stream while its request ends.
type claim struct {
	of *budget

	mu    sync.Mutex
	n     int64
	freed bool
}

// grow takes n more bytes; after free it fails.
func (c *claim) grow(n int64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.freed {
		return errReleased
	}
	if err := c.of.take(n); err != nil {
		return err
	}
	c.n += n
	return nil
}

func (c *claim) held() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.n
}

// shrink gives back all but n bytes.
func (c *claim) shrink(n int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n > n {
		c.of.give(c.n - n)
		c.n = n
	}
}

// free gives everything back; more than once does no harm.
func (c *claim) free() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.of.give(c.n)
	c.n, c.freed = 0, true
}
