package master

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"agora.dev/agora/internal/loop"
	"agora.dev/agora/internal/metrics"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
)

// allocatorQueue bounds the batches of commands that wait; the core waits when it is full. The
// allocator never waits for the core.
const allocatorQueue = 1024

// allocatorMachine binds the allocator to its outputs.
type allocatorMachine struct {
	allocator *allocator.Allocator
	loop      *loop.Loop[[]core.AllocatorEvent]
	offer     func(allocator.Ready)
	runs      *metrics.Counter
	duration  *metrics.Timer
	latency   *metrics.Timer
	ran       uint64
	due       time.Time // of the next run without commands
	// asked is when the first of the commands that wait was posted, in Unix nanoseconds; zero: none waits.
	asked  atomic.Int64
	queued atomic.Int64

	mu      sync.Mutex
	waiting []question
	last    allocator.Figures
}

func newAllocatorMachine(a *allocator.Allocator, offer func(allocator.Ready), r *metrics.Registry) *allocatorMachine {
	m := &allocatorMachine{
		allocator: a, offer: offer, loop: loop.New[[]core.AllocatorEvent](allocatorQueue, 64),
		runs:     r.Counter("allocator/mesos/allocation_runs"),
		duration: r.Timer("allocator/mesos/allocation_run_ms"),
		latency:  r.Timer("allocator/mesos/allocation_run_latency_ms"),
	}
	r.Register(m.emit)
	return m
}

func (m *allocatorMachine) post(commands []core.AllocatorEvent) {
	m.asked.CompareAndSwap(0, time.Now().UnixNano())
	m.queued.Add(1)
	if m.loop.Post(context.Background(), commands) != nil {
		m.queued.Add(-1)
	}
}

// Step implements loop.Machine.
func (m *allocatorMachine) Step(now time.Time, batch [][]core.AllocatorEvent) time.Time {
	m.queued.Add(-int64(len(batch)))
	commands := batch[0]
	for _, more := range batch[1:] {
		commands = append(commands, more...)
	}
	return m.run(now, commands)
}

// Tick implements loop.Machine.
func (m *allocatorMachine) Tick(now time.Time) time.Time {
	if !m.due.IsZero() { // as it is before the first run
		m.asked.CompareAndSwap(0, m.due.UnixNano())
	}
	return m.run(now, nil)
}

func (m *allocatorMachine) run(now time.Time, commands []core.AllocatorEvent) time.Time {
	asked := m.asked.Swap(0)
	begin := time.Now()
	ready := m.allocator.Step(now, commands)
	if runs := m.allocator.Runs(); runs != m.ran {
		m.ran = runs
		m.runs.Add(1)
		m.duration.Observe(time.Since(begin))
		if asked != 0 {
			m.latency.Observe(begin.Sub(time.Unix(0, asked)))
		}
	}
	if len(ready.Offers) > 0 || len(ready.Answers) > 0 {
		m.offer(ready)
	}
	m.due = ready.Wake
	if m.tell() {
		m.due = now
	}
	return m.due
}

// tell answers the first of those who ask and are still there, and says whether there are more: between two answers offers are made.
func (m *allocatorMachine) tell() (more bool) {
	m.mu.Lock()
	m.waiting = slices.DeleteFunc(m.waiting, func(q question) bool { return q.ctx.Err() != nil })
	if len(m.waiting) == 0 {
		m.mu.Unlock()
		return false
	}
	first := m.waiting[0]
	m.waiting = slices.Delete(m.waiting, 0, 1)
	more = len(m.waiting) > 0
	m.mu.Unlock()
	first.look(m.allocator)
	return more
}

// question is what somebody wants to see of the allocator until ctx ends.
type question struct {
	ctx  context.Context
	look func(*allocator.Allocator)
}

// ask has the loop look, that alone may look at the allocator. It is false when the loop or ctx ended before.
func ask[T any](ctx context.Context, m *allocatorMachine, look func(*allocator.Allocator) T) (answer T, answered bool) {
	to := make(chan T, 1)
	m.mu.Lock()
	m.waiting = append(m.waiting, question{ctx, func(a *allocator.Allocator) { to <- look(a) }})
	m.mu.Unlock()
	m.queued.Add(1)
	if m.loop.Post(ctx, nil) != nil {
		m.queued.Add(-1)
	}
	select {
	case answer = <-to:
		return answer, true
	case <-m.loop.Done():
	case <-ctx.Done():
	}
	return answer, false
}

// figures are the last ones when ctx ends before there are new ones.
func (m *allocatorMachine) figures(ctx context.Context) allocator.Figures {
	f, answered := ask(ctx, m, (*allocator.Allocator).Figures)
	m.mu.Lock()
	defer m.mu.Unlock()
	if answered {
		m.last = f
	}
	return m.last
}

// explain answers questions, false when ctx ended before.
func (m *allocatorMachine) explain(ctx context.Context, questions []allocator.Question) ([]allocator.Explanation, bool) {
	answers := make([]allocator.Explanation, 0, len(questions))
	for _, q := range questions {
		answer, answered := ask(ctx, m, func(a *allocator.Allocator) allocator.Explanation { return a.Explain(q) })
		if !answered {
			return nil, false
		}
		answers = append(answers, answer)
	}
	return answers, true
}

// emit gives Mesos's keys of the allocator.
func (m *allocatorMachine) emit(ctx context.Context, emit func(string, float64)) {
	const prefix = "allocator/mesos/"
	queued := float64(m.queued.Load())
	emit("allocator/event_queue_dispatches", queued)
	emit(prefix+"event_queue_dispatches", queued)
	f := m.figures(ctx)
	for _, name := range []string{"cpus", "mem", "disk"} { // known before any agent is
		if _, known := f.Total[name]; !known {
			emit(prefix+"resources/"+name+"/total", 0)
			emit(prefix+"resources/"+name+"/offered_or_allocated", 0)
		}
	}
	for name, total := range f.Total {
		emit(prefix+"resources/"+name+"/total", total)
		emit(prefix+"resources/"+name+"/offered_or_allocated", f.Taken[name])
	}
	for role, consumed := range f.Consumed {
		for name, amount := range consumed {
			emit(prefix+"quota/roles/"+role+"/resources/"+name+"/consumed", amount)
		}
	}
	for _, r := range f.Roles {
		if r.Frameworks {
			emit(prefix+"roles/"+r.Role+"/shares/dominant", r.Share)
		}
		emit(prefix+"offer_filters/roles/"+r.Role+"/active", float64(r.Filters))
		quota := prefix + "quota/roles/" + r.Role + "/resources/"
		for name, amount := range r.Guarantee {
			emit(quota+name+"/guarantee", amount)
		}
		for name, amount := range r.Limit {
			emit(quota+name+"/limit", amount)
		}
		for name, amount := range r.Taken {
			emit(quota+name+"/offered_or_allocated", amount)
		}
	}
}
