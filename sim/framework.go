package sim

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
)

// frameworkNode is a scheduler that wants some tasks to run, and replaces those that end.
type frameworkNode struct {
	w         *world
	host      host
	life      int
	id        *mesos.FrameworkID
	mediaType codec.MediaType
	grouped   bool // launches task groups
	wanted    int
	tasks     map[string]*simTask
	count     int
	conn      *conn
	master    *masterNode
	stream    core.ConnID
	heard     time.Time
	watchdog  *timer
	removed   bool
	hoards    bool // keeps every offer
	before    *mesos.OfferID
	keeper    *keeper           // nil: it has no volumes
	soft      bool              // takes revocable resources where it can
	asked     map[string]string // inverse offers without an answer, by agent
}

// simTask is a task as its framework knows it.
type simTask struct {
	id       string
	agent    *mesos.AgentID
	state    mesos.TaskState
	terminal bool // by an update of the agent, not a guess of the master
	launched time.Time
	killed   bool
	// killedBy is the term of the leader that took the KILL and lives as long as its
	// answer binds: it repeats the kill to the agent until the task has ended.
	killedBy uint64
	soft     bool // on revocable resources
	// reused is until when a second launch under this ID may be on its way.
	reused time.Time
}

func newFrameworkNode(w *world, i int) *frameworkNode {
	f := &frameworkNode{w: w, host: host(fmt.Sprintf("fw%d", i)), mediaType: codec.Protobuf,
		wanted: w.between(1, 8), tasks: map[string]*simTask{}, asked: map[string]string{}, grouped: w.chance(0.3)}
	if w.chance(0.3) {
		f.mediaType = codec.JSON
	}
	if w.keepers && i < 90 {
		f.keeper = newKeeper(f)
	}
	f.soft = w.lending && (i >= 90 || w.chance(0.7))
	return f
}

func (f *frameworkNode) info() *mesos.FrameworkInfo {
	info := &mesos.FrameworkInfo{User: ptr("nobody"), Name: ptr(string(f.host)), Id: f.id, Roles: []string{f.role()},
		FailoverTimeout: ptr(float64(7 * 24 * 3600)), Checkpoint: ptr(true)}
	for _, c := range []mesos.FrameworkInfo_Capability_Type{mesos.FrameworkInfo_Capability_MULTI_ROLE,
		mesos.FrameworkInfo_Capability_PARTITION_AWARE, mesos.FrameworkInfo_Capability_RESERVATION_REFINEMENT,
		mesos.FrameworkInfo_Capability_TASK_KILLING_STATE} {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{Type: c.Enum()})
	}
	if f.soft {
		info.Capabilities = append(info.Capabilities, &mesos.FrameworkInfo_Capability{
			Type: mesos.FrameworkInfo_Capability_REVOCABLE_RESOURCES.Enum()})
	}
	return info
}

func (f *frameworkNode) role() string { return "r" + string(f.host) }

// connect subscribes to the leader, or tries again.
func (f *frameworkNode) connect() {
	if f.conn != nil || f.removed {
		return
	}
	m := f.w.leader()
	if m == nil || f.w.net.blocked[[2]host{f.host, m.host}] || f.w.net.blocked[[2]host{m.host, f.host}] {
		f.later(f.w.upTo(2*time.Second), f.connect)
		return
	}
	f.life++
	life, masterLife := f.life, m.life
	var stream core.ConnID
	c := f.w.net.connect(end{
		host:    f.host,
		receive: func(data []byte) { f.ifAlive(life, func() { f.receive(data) }) },
		closed:  func() { f.ifAlive(life, f.disconnected) },
	}, end{
		host:    m.host,
		receive: func([]byte) {},
		closed: func() {
			if m.life == masterLife {
				m.connClosed(stream)
			}
		},
	})
	f.conn, f.master, f.heard = c, m, f.w.now
	f.w.trace(f.host, "subscribes")
	body := f.encode(&scheduler.Call{Type: scheduler.Call_SUBSCRIBE.Enum(), FrameworkId: f.id,
		Subscribe: &scheduler.Call_Subscribe{FrameworkInfo: f.info()}})
	f.w.after(f.w.latency(), func() {
		if m.life == masterLife && !c.broken {
			stream = m.subscribe(c, f.mediaType, body)
			f.ifAlive(life, func() { f.stream = stream })
		}
	})
	f.watch()
}

func (f *frameworkNode) ifAlive(life int, do func()) {
	if f.life == life {
		do()
	}
}

// later runs do unless the framework has a newer subscription then.
func (f *frameworkNode) later(d time.Duration, do func()) {
	life := f.life
	f.w.after(d, func() { f.ifAlive(life, do) })
}

// watch gives the stream up after five missed heartbeats.
func (f *frameworkNode) watch() {
	f.watchdog.cancel()
	f.watchdog = f.w.after(15*time.Second, func() {
		if f.conn == nil {
			return
		}
		if f.w.now.Sub(f.heard) >= 75*time.Second {
			f.conn.cut()
			f.disconnected()
			return
		}
		f.watch()
	})
}

func (f *frameworkNode) disconnected() {
	if f.conn == nil {
		return
	}
	f.w.trace(f.host, "disconnected")
	f.life++
	f.conn.close(0)
	f.conn, f.stream = nil, 0
	f.later(f.w.upTo(2*time.Second), f.connect)
}

// retire ends the scheduler for ever; its tasks are no longer wanted.
func (f *frameworkNode) retire() {
	f.w.net.cutAll(f.host)
	f.life++
	f.removed, f.wanted = true, 0
	f.conn, f.stream = nil, 0
	for _, t := range f.tasks {
		t.state = mesos.TaskState_TASK_UNKNOWN
	}
}

// crash restarts the scheduler: it remembers its id and tasks, as a good one does.
func (f *frameworkNode) crash() {
	if f.removed {
		return
	}
	f.w.trace(f.host, "crashes")
	f.w.crashes++
	f.w.net.cutAll(f.host)
	f.life++
	f.conn, f.stream = nil, 0
	f.later(f.w.upTo(20*time.Second), f.connect)
}

func (f *frameworkNode) encode(call *scheduler.Call) []byte {
	data, err := codec.Marshal(f.mediaType, call)
	if err != nil {
		f.w.fail("encode call %v: %w", call.GetType(), err)
	}
	return data
}

// callTimeout is how long a framework waits for the answer to a call.
const callTimeout = 20 * time.Second

// call sends a call on a connection of its own. A call that cannot pass is kept by the
// network for a while. A framework without an answer does not know what became of the
// call, so it subscribes anew, as the client libraries do.
func (f *frameworkNode) call(call *scheduler.Call) {
	f.callThen(call, func(*masterNode, int) {})
}

func (f *frameworkNode) callThen(call *scheduler.Call, then func(by *masterNode, status int)) {
	call.FrameworkId = f.id
	body, m, life, stream := f.encode(call), f.master, f.master.life, f.stream
	f.w.trace(f.host, "calls %v", call.GetType())
	answered := false
	f.w.net.whenOpen(f.host, m.host, callTimeout+10*time.Second, func() {
		if m.life != life {
			return
		}
		m.call(stream, f.mediaType, body, func(status int, text string) {
			f.w.trace(f.host, "answer %d %s", status, text)
			answered = true
			then(m, status)
		})
	}, func() {
		f.later(callTimeout, func() {
			if !answered {
				f.disconnected()
			}
		})
	})
}

func (f *frameworkNode) receive(data []byte) {
	event := new(scheduler.Event)
	if err := codec.Unmarshal(f.mediaType, data, event); err != nil {
		f.w.fail("event does not decode: %w", err)
	}
	f.heard = f.w.now
	f.w.trace(f.host, "<- %v", event.GetType())
	switch event.GetType() {
	case scheduler.Event_SUBSCRIBED:
		f.id = event.GetSubscribed().GetFrameworkId()
		clear(f.asked)
		f.reconcile()
	case scheduler.Event_OFFERS:
		for _, offer := range event.GetOffers().GetOffers() {
			f.offer(offer)
		}
	case scheduler.Event_INVERSE_OFFERS:
		for _, offer := range event.GetInverseOffers().GetInverseOffers() {
			f.inverseOffer(offer)
		}
	case scheduler.Event_RESCIND_INVERSE_OFFER:
		f.inverseRescinded(event.GetRescindInverseOffer().GetInverseOfferId())
	case scheduler.Event_UPDATE:
		f.update(event.GetUpdate().GetStatus())
	case scheduler.Event_UPDATE_OPERATION_STATUS:
		if f.keeper == nil {
			f.w.fail("framework %s hears of an operation, and asked for none", f.host)
		}
		f.keeper.status(event.GetUpdateOperationStatus().GetStatus())
	case scheduler.Event_ERROR:
		f.w.fail("framework %s gets ERROR: %s", f.host, event.GetError().GetMessage())
	}
}

// reconcile asks for the state of all tasks, and again while some are in doubt.
func (f *frameworkNode) reconcile() {
	f.call(&scheduler.Call{Type: scheduler.Call_RECONCILE.Enum(), Reconcile: &scheduler.Call_Reconcile{}})
	explicit := &scheduler.Call_Reconcile{}
	for _, id := range f.sorted() {
		if t := f.tasks[id]; !ended(t.state) {
			explicit.Tasks = append(explicit.Tasks, &scheduler.Call_Reconcile_Task{TaskId: &mesos.TaskID{Value: ptr(id)}, AgentId: t.agent})
		}
	}
	if len(explicit.Tasks) > 0 {
		f.call(&scheduler.Call{Type: scheduler.Call_RECONCILE.Enum(), Reconcile: explicit})
	}
	if f.keeper != nil {
		f.keeper.reconcile()
	}
	f.later(time.Minute+f.w.upTo(time.Minute), func() {
		if f.conn != nil {
			f.reconcile()
		}
	})
}

func (f *frameworkNode) sorted() []string { return slices.Sorted(maps.Keys(f.tasks)) }

// live counts the tasks that run or may run.
func (f *frameworkNode) live() int {
	n := 0
	for _, t := range f.tasks {
		if !ended(t.state) {
			n++
		}
	}
	return n
}

func ended(state mesos.TaskState) bool {
	switch state {
	case mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_FAILED, mesos.TaskState_TASK_KILLED,
		mesos.TaskState_TASK_ERROR, mesos.TaskState_TASK_LOST, mesos.TaskState_TASK_DROPPED,
		mesos.TaskState_TASK_GONE, mesos.TaskState_TASK_GONE_BY_OPERATOR, mesos.TaskState_TASK_UNKNOWN:
		return true
	}
	return false
}
