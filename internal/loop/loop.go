// Package loop runs a core: one goroutine, one bounded queue of events, one timer.
//
// It promises that events of one sender are handled in order, that Step is never
// called concurrently, and that after Run returns nothing of it is left. It refuses to
// look at events or results.
package loop

import (
	"context"
	"errors"
	"time"
)

// ErrStopped is returned by Post after the loop has ended.
var ErrStopped = errors.New("loop stopped")

// Machine is a core bound to its outputs.
type Machine[E any] interface {
	// Step handles the events of one batch in order, carries out the results
	// that may not wait, and returns when the machine wants Tick next (zero: never).
	Step(now time.Time, batch []E) (wake time.Time)
	// Tick handles the passing of time.
	Tick(now time.Time) (wake time.Time)
}

// Loop is the queue and the goroutine of one machine.
type Loop[E any] struct {
	queue chan E
	done  chan struct{}
	batch int
}

// New makes a loop whose queue holds capacity events; Post blocks while it is full.
// One Step gets at most batch events.
func New[E any](capacity, batch int) *Loop[E] {
	return &Loop[E]{queue: make(chan E, capacity), done: make(chan struct{}), batch: batch}
}

// Post queues an event. It fails when ctx or the loop ends first.
func (l *Loop[E]) Post(ctx context.Context, event E) error {
	select {
	case l.queue <- event:
		return nil
	default:
	}
	select {
	case l.queue <- event:
		return nil
	case <-l.done:
		return ErrStopped
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Done is closed when Run has returned.
func (l *Loop[E]) Done() <-chan struct{} { return l.done }

// Run handles events until ctx ends.
func (l *Loop[E]) Run(ctx context.Context, machine Machine[E]) {
	defer close(l.done)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	arm := func(wake time.Time) {
		if wake.IsZero() {
			timer.Reset(time.Hour)
			return
		}
		timer.Reset(max(0, time.Until(wake)))
	}
	arm(machine.Tick(time.Now()))
	batch := make([]E, 0, l.batch)
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
			arm(machine.Tick(time.Now()))
		case event := <-l.queue:
			batch = l.drain(append(batch[:0], event))
			arm(machine.Step(time.Now(), batch))
			clear(batch)
		}
	}
}

func (l *Loop[E]) drain(batch []E) []E {
	for len(batch) < l.batch {
		select {
		case event := <-l.queue:
			batch = append(batch, event)
		default:
			return batch
		}
	}
	return batch
}
