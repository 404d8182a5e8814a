package core_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/kv/memkv"
	"agora.dev/agora/orchestrator/core"
	"agora.dev/agora/orchestrator/store"
	"google.golang.org/protobuf/proto"
)

// world is a master with two agents in virtual time, and an orchestrator that may be killed.
type world struct {
	t           *testing.T
	now         time.Time
	kept        *store.Store
	core        *core.Core
	wake        time.Time
	ids, tick   int
	tasks       map[string]*task
	offers      map[string]string // offer to agent
	answers     map[uint64]core.Answer
	wants       bool // revived, not suppressed
	inbox       []core.Event
	loseSends   bool // the process dies after its writes
	loseAccepts int  // so many ACCEPT calls do not arrive
	agents      []string
	awaited     string // an agent that the master has not heard of since its election
	asked       int    // RECONCILE calls with tasks
}

type task struct {
	agent string
	state mesos.TaskState
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC), kept: store.New(memkv.New()), tasks: map[string]*task{},
		answers: map[uint64]core.Answer{}, agents: []string{"agent1", "agent2"}}
	w.start()
	return w
}

func (w *world) start() {
	state, err := w.kept.Load(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.core = core.New(core.Config{Role: "*", NewID: func() string { w.ids++; return fmt.Sprintf("id%d", w.ids) }}, state)
	w.inbox, w.offers, w.loseSends = nil, map[string]string{}, false
	w.wants = true
	w.step(core.Subscribed{FrameworkID: "framework"})
}

func (w *world) step(e core.Event) { w.carryOut(w.core.Step(w.now, e)) }

func (w *world) carryOut(r core.Ready) {
	if err := w.kept.Apply(w.t.Context(), r.Persist); err != nil {
		w.t.Fatal(err)
	}
	w.wake = r.Wake
	if w.loseSends {
		return
	}
	for _, call := range r.Send {
		w.call(call)
	}
	for _, a := range r.Answers {
		w.answers[a.ID] = a
	}
}

func (w *world) status(id, agent string, state mesos.TaskState, uuid string) {
	w.inbox = append(w.inbox, core.Update{Status: &mesos.TaskStatus{TaskId: &mesos.TaskID{Value: &id},
		AgentId: &mesos.AgentID{Value: &agent}, State: state.Enum(), Uuid: []byte(uuid)}})
}

func (w *world) call(c *scheduler.Call) {
	switch c.GetType() {
	case scheduler.Call_REVIVE:
		w.wants = true
	case scheduler.Call_SUPPRESS:
		w.wants = false
	case scheduler.Call_DECLINE:
		delete(w.offers, c.GetDecline().GetOfferIds()[0].GetValue())
		w.wants = false // the filter
	case scheduler.Call_ACCEPT:
		offer := c.GetAccept().GetOfferIds()[0].GetValue()
		agent, valid := w.offers[offer]
		delete(w.offers, offer)
		if w.loseAccepts > 0 {
			w.loseAccepts--
			w.inbox = append(w.inbox, core.CallLost{})
			return
		}
		for _, info := range c.GetAccept().GetOperations()[0].GetLaunch().GetTaskInfos() {
			id := info.GetTaskId().GetValue()
			if !valid {
				w.status(id, agent, mesos.TaskState_TASK_DROPPED, "")
				continue
			}
			if w.tasks[id] != nil {
				w.t.Fatalf("task %s launched twice", id)
			}
			w.tasks[id] = &task{agent, mesos.TaskState_TASK_RUNNING}
			w.status(id, agent, mesos.TaskState_TASK_RUNNING, "u")
		}
	case scheduler.Call_KILL:
		id := c.GetKill().GetTaskId().GetValue()
		if w.tasks[id] == nil {
			w.status(id, "", mesos.TaskState_TASK_GONE, "")
			return
		}
		delete(w.tasks, id)
		w.status(id, c.GetKill().GetAgentId().GetValue(), mesos.TaskState_TASK_KILLED, "u")
	case scheduler.Call_RECONCILE:
		w.reconcile(c.GetReconcile())
	}
}

func (w *world) reconcile(r *scheduler.Call_Reconcile) {
	if len(r.GetTasks()) == 0 {
		for id, t := range w.tasks {
			w.status(id, t.agent, t.state, "")
		}
	}
	if len(r.GetTasks()) > 0 {
		w.asked++
	}
	for _, asked := range r.GetTasks() {
		if asked.GetAgentId().GetValue() == w.awaited {
			continue
		}
		id, state := asked.GetTaskId().GetValue(), mesos.TaskState_TASK_GONE
		if t := w.tasks[id]; t != nil {
			state = t.state
		}
		w.status(id, asked.GetAgentId().GetValue(), state, "")
	}
}

// run lets time pass.
func (w *world) run(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); w.now = w.now.Add(100 * time.Millisecond) {
		for len(w.inbox) > 0 && !w.loseSends {
			event := w.inbox[0]
			w.inbox = w.inbox[1:]
			w.step(event)
		}
		if !w.wake.IsZero() && !w.now.Before(w.wake) {
			w.carryOut(w.core.Tick(w.now))
		}
		if w.wants && !w.loseSends {
			w.offer()
		}
	}
}

func (w *world) offer() {
	var offers []*mesos.Offer
	scalar := func(name string, value float64) *mesos.Resource {
		return &mesos.Resource{Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
	}
	for _, agent := range w.agents {
		w.tick++
		id := fmt.Sprintf("offer%d", w.tick)
		w.offers[id] = agent
		offers = append(offers, &mesos.Offer{Id: &mesos.OfferID{Value: &id}, AgentId: &mesos.AgentID{Value: &agent},
			Hostname: proto.String("host-" + agent), Resources: []*mesos.Resource{scalar("cpus", 8), scalar("mem", 4096),
				{Name: proto.String("ports"), Type: mesos.Value_RANGES.Enum(), Ranges: &mesos.Value_Ranges{
					Range: []*mesos.Value_Range{{Begin: proto.Uint64(31000), End: proto.Uint64(31999)}}}}}})
	}
	w.step(core.Offers{Offers: offers})
}

func (w *world) ask(c core.Command) core.Answer {
	w.t.Helper()
	w.ids++
	id := uint64(w.ids)
	w.step(core.Request{ID: id, Command: c})
	return w.answers[id]
}

func (w *world) change(mode core.Mode, app map[string]any) *core.Changed {
	w.t.Helper()
	body, _ := json.Marshal(app)
	a := w.ask(core.Change{Mode: mode, Bodies: []core.AppBody{{Body: body}}})
	if a.Err != nil {
		w.t.Fatalf("change %s: %v", body, a.Err)
	}
	return a.Value.(*core.Changed)
}

func (w *world) view() *core.View { w.t.Helper(); return w.ask(core.Look{}).Value.(*core.View) }

func (w *world) expectTasks(n int) {
	w.t.Helper()
	if len(w.tasks) != n {
		w.t.Fatalf("at %s: %d tasks run, want %d", w.now.Format(time.TimeOnly), len(w.tasks), n)
	}
}
