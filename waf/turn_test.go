package waf

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

func TestNoMoreAreJudgedAtOnceThanThereAreTurns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{turns: make(chan struct{}, 1)}
		if err := e.takeTurn(t.Context()); err != nil {
			t.Fatal(err)
		}
		gone, cancel := context.WithCancel(t.Context())
		cancel()
		if err := e.takeTurn(gone); !errors.Is(err, errNoTurn) || !errors.Is(err, context.Canceled) {
			t.Errorf("a client that has gone: %v", err)
		}
		if err := e.takeTurn(t.Context()); !errors.Is(err, errNoTurn) {
			t.Errorf("after the longest wait: %v", err)
		}
		waiting := make(chan error)
		go func() { waiting <- e.takeTurn(t.Context()) }()
		synctest.Wait()
		<-e.turns
		if err := <-waiting; err != nil {
			t.Errorf("when a turn is free: %v", err)
		}
	})
}

func TestATurnIsGivenBackWhateverHappens(t *testing.T) {
	e := shared(t, Config{})
	for _, q := range []request{{}, {target: "/?q=%3Cscript%3Ealert(1)%3C/script%3E"}, jsonRequest("{")} {
		through(e, q.exchange(t))
		if len(e.turns) != 0 {
			t.Errorf("%+v keeps its turn", q)
		}
	}
}
