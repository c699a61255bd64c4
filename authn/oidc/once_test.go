package oidc

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

type brokenOnce struct{}

func (brokenOnce) Use(context.Context, string, time.Time, time.Duration) (bool, error) {
	return true, errors.New("the store is down")
}

func use(t *testing.T, o *MemoryOnce, key string, made time.Time) bool {
	t.Helper()
	first, err := o.Use(t.Context(), key, made, AttemptLife)
	if err != nil {
		t.Fatal(err)
	}
	return first
}

func TestOnceLetsAKeyThroughOnce(t *testing.T) {
	c := newClock()
	o := NewMemoryOnce(10, c.now)
	made := c.now()
	if !use(t, o, "a", made) || use(t, o, "a", made) || !use(t, o, "b", made) {
		t.Error("a key is used twice, or a new one never")
	}
	c.add(AttemptLife + time.Second)
	if use(t, o, "a", made) || use(t, o, "c", made) {
		t.Error("an expired key is used")
	}
	if use(t, o, "d", c.now()); len(o.used) != 1 || len(o.order) != 1 {
		t.Errorf("%d expired keys are kept", len(o.used)-1)
	}
}

func TestOnceThatOverflowsClosesOldKeysInsteadOfOpeningThem(t *testing.T) {
	c := newClock()
	o := NewMemoryOnce(10, c.now)
	type key struct {
		name string
		made time.Time
	}
	var keys []key
	for i := range 25 {
		c.add(time.Second)
		k := key{fmt.Sprint(i), c.now()}
		keys = append(keys, k)
		if !use(t, o, k.name, k.made) {
			t.Fatalf("key %d, the youngest, is taken for used", i)
		}
		if len(o.used) > 10 || len(o.order) > 10 {
			t.Fatalf("%d keys are kept", len(o.used))
		}
	}
	for _, k := range keys {
		if use(t, o, k.name, k.made) {
			t.Errorf("key %s is used a second time", k.name)
		}
	}
	if use(t, o, "never seen, but as old as the forgotten", keys[3].made) {
		t.Error("what cannot be told is let through")
	}
}

func TestOnceUnderRace(t *testing.T) {
	c := newClock()
	o := NewMemoryOnce(1000, c.now)
	var wins atomic.Int32
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			if first, _ := o.Use(context.Background(), "k", c.now(), AttemptLife); first {
				wins.Add(1)
			}
		})
	}
	group.Wait()
	if wins.Load() != 1 {
		t.Errorf("%d of 50 were first", wins.Load())
	}
}
