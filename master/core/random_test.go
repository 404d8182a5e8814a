package core

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/planted"
	"agora.dev/agora/master/registry"
)

// TestRandomHistoriesKeepTheBooks plays random histories against a core, with agents,
// frameworks, a registry and an allocator that keep books of their own.
func TestRandomHistoriesKeepTheBooks(t *testing.T) {
	for seed := range uint64(200) {
		if err := playRandom(seed, 300); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
	}
}

// TestPlantedBugsAreFound proves that the histories bite.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, bug := range []string{"master-keep-invalid-offers", "master-forget-kill", "master-stale-offer",
		"master-drop-terminal", "master-readmit-gone", "master-revive-terminal", "master-double-recover",
		"master-launch-duplicate"} {
		t.Run(bug, func(t *testing.T) {
			defer planted.Plant(bug)()
			for seed := range uint64(300) {
				if err := playRandom(seed, 300); err != nil {
					t.Logf("seed %d: %v", seed, err)
					return
				}
			}
			t.Error("no history found it")
		})
	}
}

// TestEqualHistoriesGiveEqualResults replays histories and compares everything that was sent.
func TestEqualHistoriesGiveEqualResults(t *testing.T) {
	for seed := range uint64(20) {
		one, two := newWorld(seed), newWorld(seed)
		for range 200 {
			if one.act() != nil || two.act() != nil {
				break
			}
		}
		if a, b := one.trace.String(), two.trace.String(); a != b {
			t.Fatalf("seed %d: %s", seed, firstDifference(a, b))
		}
	}
}

func FuzzHistories(f *testing.F) {
	f.Add(uint64(1), 50)
	f.Fuzz(func(t *testing.T, seed uint64, steps int) {
		if err := playRandom(seed, min(steps, 500)); err != nil {
			t.Fatal(err)
		}
	})
}

func playRandom(seed uint64, steps int) error {
	w := newWorld(seed)
	for i := range steps {
		if err := w.act(); err != nil {
			return fmt.Errorf("step %d: %w", i, err)
		}
	}
	return w.settle()
}

// world is all that is outside the core.
type world struct {
	rng        *rand.Rand
	core       *Core
	now        time.Time
	trace      strings.Builder
	problem    error
	queue      []Event
	writes     []PersistID
	agents     []*fakeAgent
	frameworks []*fakeFramework
	books      map[AgentID]*book
	gone       map[AgentID]bool
	nextConn   ConnID
	nextLink   LinkID
	nextTask   int
	calm       bool
}

// book is what the allocator believes of an agent.
type book struct {
	total      amounts
	allocated  map[FrameworkID]amounts
	active     bool
	generation uint64
}

type fakeAgent struct {
	id     AgentID
	host   string
	link   LinkID
	tasks  map[taskKey]*fakeTask
	infos  map[FrameworkID]*mesos.FrameworkInfo
	killed bool
}

type fakeTask struct {
	key       taskKey
	resources []*mesos.Resource
	state     mesos.TaskState
	unacked   []*mesos.TaskStatus
	killed    bool
}

type fakeFramework struct {
	id     FrameworkID
	conn   ConnID
	offers []*mesos.Offer
	stale  []*mesos.Offer
	seen   map[string]bool // uuids of updates
	ended  map[TaskID]bool // by an agent's word
	asked  map[TaskID]bool // launches without an answer
	tasks  []TaskID
	kills  map[TaskID]bool
	acks   []*scheduler.Call
}

func newWorld(seed uint64) *world {
	w := &world{rng: rand.New(rand.NewPCG(seed, 7)), core: New(testConfig()), now: testStart, books: map[AgentID]*book{}, gone: map[AgentID]bool{}}
	for i := range 3 {
		w.agents = append(w.agents, &fakeAgent{host: fmt.Sprintf("h%d", i), tasks: map[taskKey]*fakeTask{}, infos: map[FrameworkID]*mesos.FrameworkInfo{}})
	}
	for range 2 {
		w.frameworks = append(w.frameworks, newFramework())
	}
	w.step(Elected{Contents: registry.NewContents()})
	return w
}

func newFramework() *fakeFramework {
	return &fakeFramework{seen: map[string]bool{}, ended: map[TaskID]bool{}, asked: map[TaskID]bool{}, kills: map[TaskID]bool{}}
}

func (w *world) fail(format string, args ...any) {
	if w.problem == nil {
		w.problem = fmt.Errorf(format, args...)
	}
}

// step feeds the core and lets everybody see what comes of it.
func (w *world) step(e Event) {
	ready := w.core.Step(w.now, e)
	writes := slices.Clone(ready.Persist)
	sent := slices.Clone(ready.Send)
	for _, line := range describeReady(ready) {
		w.trace.WriteString(line + "\n")
	}
	for _, p := range writes {
		w.writes = append(w.writes, p.ID)
	}
	for _, m := range sent {
		w.deliver(m)
	}
	if err := w.core.CheckInvariants(); err != nil {
		w.fail("%w", err)
	}
	if len(w.queue) == 0 {
		w.compareBooks()
	}
}

func (w *world) act() error {
	choice := w.rng.IntN(100)
	f := w.frameworks[w.rng.IntN(len(w.frameworks))]
	a := w.agents[w.rng.IntN(len(w.agents))]
	switch {
	case choice < 10:
		w.connectFramework(f)
	case choice < 20:
		w.connectAgent(a)
	case choice < 35:
		w.makeOffers()
	case choice < 55:
		w.useOffer(f)
	case choice < 70:
		w.progress(a)
	case choice < 78:
		w.acknowledge(f)
	case choice < 82:
		w.killSomething(f)
	case choice < 83 && f.conn != 0 && w.rng.IntN(3) == 0:
		w.call(f, &scheduler.Call{Type: scheduler.Call_TEARDOWN.Enum()})
		*f = *newFramework()
	case choice < 84 && f.conn != 0:
		conn := f.conn
		f.conn = 0
		w.step(ConnClosed{Conn: conn})
	case choice < 88 && a.link != 0:
		id := a.link
		a.link = 0
		w.step(AgentLinkClosed{Link: id})
	case choice < 89 && a.id != "" && w.rng.IntN(4) == 0:
		w.step(OperatorCall{Request: 1, Call: MarkGone{Agent: a.id}})
	case choice < 96:
		w.finishWrite()
	default:
		w.passTime(time.Duration(w.rng.IntN(40)) * time.Second)
	}
	w.drain()
	return w.problem
}

func (w *world) drain() {
	for len(w.queue) > 0 && w.problem == nil {
		e := w.queue[0]
		w.queue = w.queue[1:]
		w.step(e)
	}
}

func (w *world) finishWrite() {
	if len(w.writes) > 0 {
		id := w.writes[0]
		w.writes = w.writes[1:]
		w.step(RegistryDone{ID: id})
	}
}

func (w *world) passTime(d time.Duration) {
	end := w.now.Add(d)
	for wake := w.core.timers.next(); !wake.IsZero() && !wake.After(end) && w.problem == nil; wake = w.core.timers.next() {
		w.now = wake
		w.step(Tick{})
		w.drain()
		if w.calm {
			for len(w.writes) > 0 {
				w.finishWrite()
				w.drain()
			}
		}
	}
	w.now = end
}

// compareBooks holds what the core has allocated to what the allocator believes.
func (w *world) compareBooks() {
	for id, b := range w.books {
		a := w.core.agents[id]
		if a == nil {
			w.fail("the allocator has agent %s, the core does not", id)
			continue
		}
		var allocated amounts
		for _, fw := range sortedKeys(b.allocated) {
			allocated = allocated.plus(b.allocated[fw])
		}
		if mine := a.used.plus(a.offered); !mine.equal(allocated) {
			w.fail("agent %s: the core has %s in use or offered, the allocator %s", id, mine, allocated)
		}
	}
}

// settle stops the faults and expects everything to come right.
func (w *world) settle() error {
	w.calm = true
	for range 400 {
		for _, f := range w.frameworks {
			w.connectFramework(f)
			w.drain()
			w.acknowledge(f)
			w.drain()
		}
		for _, a := range w.agents {
			w.connectAgent(a)
			w.drain()
			w.progress(a)
			w.drain()
		}
		for len(w.writes) > 0 {
			w.finishWrite()
			w.drain()
		}
		w.passTime(2 * time.Second)
		if w.problem != nil {
			return w.problem
		}
	}
	for _, f := range w.frameworks {
		w.reconcile(f)
		for id := range f.asked {
			if !w.runsAnywhere(taskKey{f.id, id}) {
				return fmt.Errorf("task %s was launched and never heard of", id)
			}
		}
		for id := range f.kills {
			if w.runsAnywhere(taskKey{f.id, id}) {
				return fmt.Errorf("task %s was killed and still runs", id)
			}
		}
	}
	return w.problem
}

// reconcile asks for what the framework has not heard of, as frameworks must after faults.
func (w *world) reconcile(f *fakeFramework) {
	for _, id := range sortedKeys(f.asked) {
		w.call(f, &scheduler.Call{Type: scheduler.Call_RECONCILE.Enum(), Reconcile: &scheduler.Call_Reconcile{
			Tasks: []*scheduler.Call_Reconcile_Task{{TaskId: taskID(id)}}}})
	}
	w.drain()
}

func (w *world) runsAnywhere(key taskKey) bool {
	return slices.ContainsFunc(w.agents, func(a *fakeAgent) bool {
		t := a.tasks[key]
		return t != nil && !Terminal(t.state)
	})
}

// tell queues what somebody says, so that it is handled after the step at hand.
func (w *world) tell(e Event) { w.queue = append(w.queue, e) }

func (w *world) connectAgent(a *fakeAgent) {
	if a.link != 0 {
		w.step(AgentMessage{Link: a.link, Message: &link.FromAgent{Message: &link.FromAgent_Pong{Pong: &link.Pong{}}}})
		return
	}
	w.nextLink++
	a.link = w.nextLink
	w.step(AgentLinkOpened{Link: a.link, IP: "10.0.0.1"})
	w.tell(AgentMessage{Link: a.link, Message: a.hello()})
}

// hello is the agent's registration, with all that it has.
func (a *fakeAgent) hello() *link.FromAgent {
	info := agentInfo(string(a.id), a.host, "cpus:4;mem:1024")
	if a.id == "" {
		return &link.FromAgent{Message: &link.FromAgent_Register{Register: &link.Register{Agent: info, Version: ptr("1")}}}
	}
	m := &link.Reregister{Agent: info, Version: ptr("1")}
	for _, id := range sortedKeys(a.infos) {
		m.Frameworks = append(m.Frameworks, a.infos[id])
	}
	for _, t := range a.tasksInOrder() {
		reported := &mesos.Task{Name: ptr("t"), TaskId: taskID(t.key.task), FrameworkId: frameworkID(t.key.framework), AgentId: agentID(a.id),
			State: t.state.Enum(), Resources: t.resources}
		if len(t.unacked) > 0 {
			reported.StatusUpdateState, reported.StatusUpdateUuid = t.unacked[0].State, t.unacked[0].Uuid
		}
		m.Tasks = append(m.Tasks, reported)
	}
	return &link.FromAgent{Message: &link.FromAgent_Reregister{Reregister: m}}
}

func (a *fakeAgent) tasksInOrder() []*fakeTask {
	list := make([]*fakeTask, 0, len(a.tasks))
	for _, t := range a.tasks {
		list = append(list, t)
	}
	slices.SortFunc(list, func(x, y *fakeTask) int {
		return strings.Compare(string(x.key.framework)+"/"+string(x.key.task), string(y.key.framework)+"/"+string(y.key.task))
	})
	return list
}
