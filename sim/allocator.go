package sim

import (
	"time"

	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

// allocatorNode runs the allocator of one master on its own queue, as the real master
// does on its own loop.
type allocatorNode struct {
	m         *masterNode
	allocator *allocator.Allocator
	stopped   bool
	queue     []core.AllocatorEvent
	wake      *timer
	answered  time.Time // when the last answer comes
}

func newAllocatorNode(m *masterNode) *allocatorNode {
	return &allocatorNode{m: m, allocator: allocator.New(allocator.Config{Seed: m.w.rng.Uint64()})}
}

func (a *allocatorNode) stop() {
	a.stopped = true
	a.wake.cancel()
}

// post queues a command; commands that come close together are handled as one batch.
func (a *allocatorNode) post(event core.AllocatorEvent) {
	a.queue = append(a.queue, event)
	if len(a.queue) == 1 {
		w := a.m.w
		w.after(w.upTo(w.latency()), a.run)
	}
}

func (a *allocatorNode) run() {
	if a.stopped {
		return
	}
	w := a.m.w
	batch := a.queue
	a.queue = nil
	ready := a.allocator.Step(w.now, batch)
	a.wake.cancel()
	a.wake = w.at(ready.Wake, a.run)
	if len(ready.Answers) > 0 {
		// What was answered is done: offers that are made after it must not come before it.
		a.answered = w.now.Add(w.upTo(w.latency()))
		w.at(a.answered, func() { a.tell(core.AllocatorAnswered{Answers: ready.Answers}) })
	}
	if len(ready.Offers) > 0 {
		w.trace(a.m.host, "allocator makes %d offers", len(ready.Offers))
		at := w.now.Add(w.upTo(w.latency()))
		if at.Before(a.answered) {
			at = a.answered
		}
		w.at(at, func() { a.tell(core.Offered{Offers: ready.Offers}) })
	}
}

func (a *allocatorNode) tell(event core.Event) {
	if !a.stopped {
		a.m.step(event)
	}
}

func (a *allocatorNode) check() error { return a.allocator.CheckInvariants() }
