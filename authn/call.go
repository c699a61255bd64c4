package authn

import (
	"context"
	"errors"
	"fmt"
	"time"
)

const (
	// storeTimeout bounds one question to the database.
	storeTimeout = 3 * time.Second
	// storeCalls bounds the questions that are open at once: a database that hangs
	// must not collect a goroutine for every request that comes by.
	storeCalls = 64
)

var errStoreTimeout = errors.New("the session store did not answer in time")

// ask puts one question to the store. It returns after storeTimeout at the latest,
// even if the store ignores its context, and turns a panic into an error. It outlives
// the client: an answer that has changed the database must be heard.
func ask[T any](ctx context.Context, s *Sessions, question func(context.Context) (T, error)) (T, error) {
	type answer struct {
		value T
		err   error
	}
	var none T
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeTimeout)
	defer cancel()
	select {
	case s.calls <- struct{}{}:
	case <-ctx.Done():
		return none, fmt.Errorf("%w: %d questions are open", errStoreTimeout, storeCalls)
	}
	heard := make(chan answer, 1) // buffered: a late answer is dropped, not waited for
	go func() {
		defer func() { <-s.calls }()
		defer func() {
			if p := recover(); p != nil {
				heard <- answer{err: fmt.Errorf("the session store panicked: %v", p)}
			}
		}()
		value, err := question(ctx)
		heard <- answer{value, err}
	}()
	select {
	case a := <-heard:
		return a.value, a.err
	case <-ctx.Done():
		return none, errStoreTimeout
	}
}
