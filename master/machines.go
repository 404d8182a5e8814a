package master

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"agora.dev/agora/auth/audit"
	"agora.dev/agora/internal/loop"
	"agora.dev/agora/master/agentlink"
	"agora.dev/agora/master/allocator"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/httpapi"
)

// Bounds of the core's queue: whoever posts waits when it is full.
const (
	coreQueue = 8192
	coreBatch = 512
)

// publishGap is the shortest time between two snapshots; a query waits for the next one when
// there is something newer than the last.
const publishGap = 2 * time.Millisecond

// coreMachine binds the core to its outputs.
type coreMachine struct {
	core      *core.Core
	loop      *loop.Loop[core.Event]
	log       *slog.Logger
	audit     *audit.Log
	fail      context.CancelCauseFunc
	api       *httpapi.Server
	links     *agentlink.Server
	allocator *allocatorMachine
	registrar *registrar

	commands  []core.AllocatorEvent
	lastWake  time.Time
	published time.Time
	newest    atomic.Pointer[publication]
	stale     atomic.Bool

	// waiting counts events in the queue, by where they come from.
	waiting [3]atomic.Int64

	mu      sync.Mutex
	offers  []core.AllocatorOffer
	answers []core.AllocatorAnswer
}

// publication is a snapshot, and next is closed when there is a newer one.
type publication struct {
	snapshot *core.Snapshot
	next     chan struct{}
}

func newCoreMachine(c *core.Core, log *slog.Logger) *coreMachine {
	m := &coreMachine{core: c, loop: loop.New[core.Event](coreQueue, coreBatch), log: log}
	m.newest.Store(&publication{snapshot: c.Snapshot(), next: make(chan struct{})})
	return m
}

func (m *coreMachine) post(ctx context.Context, event core.Event) error {
	queue := &m.waiting[originOf(event)]
	queue.Add(1)
	err := m.loop.Post(ctx, event)
	if err != nil {
		queue.Add(-1)
	}
	return err
}

// Where events come from, as Mesos counts its queues.
const (
	messages     = iota // agents
	httpRequests        // frameworks and operators
	dispatches          // this process
)

func originOf(event core.Event) int {
	switch event.(type) {
	case core.AgentMessage, core.AgentLinkOpened, core.AgentLinkClosed:
		return messages
	case core.SchedulerCall, core.FrameworkSubscribed, core.OperatorCall, core.ConnClosed:
		return httpRequests
	}
	return dispatches
}

// maxStale bounds how long a query waits for a snapshot that is due: longer than any step takes, on a machine that is
// short of processors too.
const maxStale = time.Second

// snapshot is the newest state: what was answered before is in it, unless the core stands still.
func (m *coreMachine) snapshot() *core.Snapshot {
	p := m.newest.Load()
	if !m.stale.Load() {
		return m.newest.Load().snapshot
	}
	timeout := time.NewTimer(maxStale)
	defer timeout.Stop()
	select {
	case <-p.next:
	case <-timeout.C:
	}
	return m.newest.Load().snapshot
}

// canceled makes a Post that does not wait.
var canceled = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// offer hands offers and answers of the allocator over without ever waiting for the core: if the queue
// is full, a step is about to come that finds them.
func (m *coreMachine) offer(ready allocator.Ready) {
	m.mu.Lock()
	m.offers = append(m.offers, ready.Offers...)
	m.answers = append(m.answers, ready.Answers...)
	m.mu.Unlock()
	m.post(canceled, core.Tick{})
}

func (m *coreMachine) takeOffers() ([]core.AllocatorOffer, []core.AllocatorAnswer) {
	m.mu.Lock()
	defer m.mu.Unlock()
	offers, answers := m.offers, m.answers
	m.offers, m.answers = nil, nil
	return offers, answers
}

// Step implements loop.Machine.
func (m *coreMachine) Step(now time.Time, batch []core.Event) time.Time {
	m.stale.Store(true)
	for _, event := range batch {
		m.waiting[originOf(event)].Add(-1)
		m.step(now, event)
	}
	offers, answers := m.takeOffers()
	// Answers first: offers that were made later may hold what an answered change made.
	if len(answers) > 0 {
		m.step(now, core.AllocatorAnswered{Answers: answers})
	}
	if len(offers) > 0 {
		m.step(now, core.Offered{Offers: offers})
	}
	return m.finish(now)
}

// Tick implements loop.Machine.
func (m *coreMachine) Tick(now time.Time) time.Time {
	if m.lastWake.IsZero() || now.Before(m.lastWake) {
		return m.finish(now)
	}
	m.waiting[dispatches].Add(1)
	return m.Step(now, []core.Event{core.Tick{}})
}

// finish sends what the batch collected, and publishes.
func (m *coreMachine) finish(now time.Time) time.Time {
	if len(m.commands) > 0 {
		m.allocator.post(m.commands)
		m.commands = nil
	}
	if !m.stale.Load() {
		return m.lastWake
	}
	if due := m.published.Add(publishGap); now.Before(due) {
		if m.lastWake.IsZero() || due.Before(m.lastWake) {
			return due
		}
		return m.lastWake
	}
	m.published = now
	snapshot := m.core.Snapshot()
	old := m.newest.Swap(&publication{snapshot: snapshot, next: make(chan struct{})})
	m.stale.Store(false)
	close(old.next)
	m.api.Published(snapshot)
	return m.lastWake
}

func (m *coreMachine) step(now time.Time, event core.Event) {
	ready := m.core.Step(now, event)
	m.lastWake = ready.Wake
	if len(ready.Persist) > 0 {
		m.registrar.put(ready.Persist)
	}
	for _, message := range ready.Send {
		m.send(message)
	}
	for _, note := range ready.Notes {
		if refusal := note.Refusal; refusal != nil {
			m.audit.RefusedWithin(refusal.Principal, refusal.What, refusal.Reason)
			continue
		}
		m.log.Log(context.Background(), slog.Level(note.Level), note.Text, note.Attrs...)
		if note.StepDown {
			m.fail(fmt.Errorf("%s: %w", note.Text, ErrLostLeadership))
		}
	}
}

func (m *coreMachine) send(message core.Message) {
	switch message := message.(type) {
	case core.ToAgent:
		m.links.Send(message.Link, message.Message)
	case core.CloseLink:
		m.links.CloseLink(message.Link)
	case core.ToAllocator:
		m.commands = append(m.commands, message.Event)
	default:
		if !m.api.Deliver(message) {
			panic(fmt.Sprintf("master: the core sends a %T, which nobody delivers", message))
		}
	}
}
