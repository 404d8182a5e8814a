package core

import (
	"fmt"
	"maps"
	"slices"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// progress lets an agent's tasks go on, and repeats what is not acknowledged.
func (w *world) progress(a *fakeAgent) {
	if a.link == 0 || a.id == "" {
		return
	}
	for _, t := range a.tasksInOrder() {
		if !Terminal(t.state) {
			next := mesos.TaskState_TASK_RUNNING
			if t.killed {
				next = mesos.TaskState_TASK_KILLED
			} else if !w.calm && w.rng.IntN(3) == 0 {
				next = mesos.TaskState_TASK_FINISHED
			}
			if next != t.state {
				t.state = next
				w.nextTask++
				t.unacked = append(t.unacked, &mesos.TaskStatus{TaskId: taskID(t.key.task), State: next.Enum(), AgentId: agentID(a.id),
					Uuid: scriptUUID(fmt.Sprint("u", w.nextTask)), Source: mesos.TaskStatus_SOURCE_EXECUTOR.Enum()})
			}
		}
		if len(t.unacked) > 0 {
			w.tell(AgentMessage{Link: a.link, Message: &link.FromAgent{Message: &link.FromAgent_StatusUpdate{StatusUpdate: &link.StatusUpdate{
				FrameworkId: frameworkID(t.key.framework), AgentId: agentID(a.id), Status: t.unacked[0], LatestState: t.state.Enum()}}}})
		}
	}
	w.drain()
}

func (w *world) connectFramework(f *fakeFramework) {
	if f.conn != 0 && w.rng.IntN(10) != 0 || f.conn != 0 && w.calm {
		return
	}
	w.nextConn++
	f.conn = w.nextConn
	f.stale = append(f.stale, f.offers...)
	f.offers = nil
	info := &mesos.FrameworkInfo{User: ptr("root"), Name: ptr("fw"), Roles: []string{"web"}, FailoverTimeout: ptr(100000.0),
		Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()},
			{Type: mesos.FrameworkInfo_Capability_PARTITION_AWARE.Enum()}}}
	if f.id != "" {
		info.Id = frameworkID(f.id)
	}
	w.step(FrameworkSubscribed{Conn: f.conn, Call: &scheduler.Call_Subscribe{FrameworkInfo: info}})
}

// makeOffers is the allocator's cycle: everything free of one agent goes to somebody.
func (w *world) makeOffers() {
	for _, id := range sortedKeys(w.books) {
		b := w.books[id]
		f := w.frameworks[w.rng.IntN(len(w.frameworks))]
		if !b.active || f.id == "" {
			continue
		}
		free := b.total
		for _, fw := range sortedKeys(b.allocated) {
			free = free.minus(b.allocated[fw].allocated(""))
		}
		if free.empty() {
			continue
		}
		offer := free.allocated("web")
		b.allocated[f.id] = b.allocated[f.id].plus(offer)
		w.tell(Offered{Offers: []AllocatorOffer{{Framework: f.id, Role: "web", Agent: id, Resources: offer.protos(),
			Generation: b.generation}}})
	}
}

// useOffer accepts or declines, now and then wrongly.
func (w *world) useOffer(f *fakeFramework) {
	if f.conn == 0 {
		return
	}
	var o *mesos.Offer
	switch {
	case len(f.offers) > 0 && w.rng.IntN(8) != 0:
		i := w.rng.IntN(len(f.offers))
		o = f.offers[i]
		f.offers = slices.Delete(f.offers, i, i+1)
	case len(f.stale) > 0:
		o = f.stale[w.rng.IntN(len(f.stale))]
	default:
		return
	}
	ids := []*mesos.OfferID{o.Id}
	if w.rng.IntN(6) == 0 {
		ids = append(ids, o.Id) // invalid
	}
	if w.rng.IntN(5) == 0 {
		w.call(f, &scheduler.Call{Type: scheduler.Call_DECLINE.Enum(), Decline: &scheduler.Call_Decline{OfferIds: ids[:1]}})
		return
	}
	w.nextTask++
	id := TaskID(fmt.Sprint("t", w.nextTask))
	if len(f.tasks) > 0 && w.rng.IntN(10) == 0 {
		id = f.tasks[w.rng.IntN(len(f.tasks))] // perhaps in use
		if f.ended[id] || f.kills[id] {
			return
		}
	} else {
		f.tasks = append(f.tasks, id)
	}
	f.asked[id] = true
	w.call(f, &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{OfferIds: ids,
		Operations: []*mesos.Offer_Operation{{Type: mesos.Offer_Operation_LAUNCH.Enum(), Launch: &mesos.Offer_Operation_Launch{
			TaskInfos: []*mesos.TaskInfo{{Name: ptr("t"), TaskId: taskID(id), AgentId: o.AgentId, Command: &mesos.CommandInfo{},
				Resources: parseResources("cpus:0.5;mem:32", "")}}}}}}})
}

func (w *world) call(f *fakeFramework, call *scheduler.Call) {
	call.FrameworkId = frameworkID(f.id)
	w.step(SchedulerCall{Conn: f.conn, Call: call})
}

func (w *world) acknowledge(f *fakeFramework) {
	acks := f.acks
	f.acks = nil
	for _, call := range acks {
		if f.conn != 0 {
			w.call(f, call)
		}
	}
}

func (w *world) killSomething(f *fakeFramework) {
	if f.conn == 0 || len(f.tasks) == 0 {
		return
	}
	id := f.tasks[w.rng.IntN(len(f.tasks))]
	t := w.core.frameworks[f.id].tasks[id]
	if t == nil || Terminal(t.rec.State) {
		return
	}
	f.kills[id] = true
	w.call(f, &scheduler.Call{Type: scheduler.Call_KILL.Enum(), Kill: &scheduler.Call_Kill{TaskId: taskID(id)}})
}

func (w *world) deliver(m Message) {
	switch m := m.(type) {
	case ToScheduler:
		for _, f := range w.frameworks {
			if f.conn == m.Conn {
				w.frameworkHears(f, m.Event)
			}
		}
	case CloseConn:
		for _, f := range w.frameworks {
			if f.conn == m.Conn {
				f.conn = 0
			}
		}
	case ToAgent:
		for _, a := range w.agents {
			if a.link == m.Link {
				w.agentHears(a, m.Message)
			}
		}
	case CloseLink:
		for _, a := range w.agents {
			if a.link == m.Link {
				a.link = 0
			}
		}
	case ToAllocator:
		w.allocatorHears(m.Event)
	}
}

func (w *world) frameworkHears(f *fakeFramework, e *scheduler.Event) {
	switch e.GetType() {
	case scheduler.Event_SUBSCRIBED:
		f.id = FrameworkID(e.GetSubscribed().GetFrameworkId().GetValue())
	case scheduler.Event_OFFERS:
		f.offers = append(f.offers, e.GetOffers().GetOffers()...)
	case scheduler.Event_RESCIND:
		for i, o := range f.offers {
			if o.GetId().GetValue() == e.GetRescind().GetOfferId().GetValue() {
				f.stale = append(f.stale, o)
				f.offers = slices.Delete(f.offers, i, i+1)
				break
			}
		}
	case scheduler.Event_UPDATE:
		w.frameworkUpdated(f, e.GetUpdate().GetStatus())
	}
}

func (w *world) frameworkUpdated(f *fakeFramework, s *mesos.TaskStatus) {
	id := TaskID(s.GetTaskId().GetValue())
	delete(f.asked, id)
	if s.Uuid == nil {
		if f.ended[id] && s.GetState() == mesos.TaskState_TASK_RUNNING {
			w.fail("task %s ended, and the master says %s", id, s.GetState())
		}
		return
	}
	if f.ended[id] && !Terminal(s.GetState()) {
		w.fail("task %s ended, and then it is %s", id, s.GetState())
	}
	if Terminal(s.GetState()) {
		f.ended[id] = true
	}
	f.seen[string(s.GetUuid())] = true
	f.acks = append(f.acks, &scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE.Enum(), Acknowledge: &scheduler.Call_Acknowledge{
		AgentId: s.AgentId, TaskId: s.TaskId, Uuid: s.Uuid}})
}

func (w *world) agentHears(a *fakeAgent, m *link.FromMaster) {
	switch m := m.GetMessage().(type) {
	case *link.FromMaster_Registered:
		a.id = AgentID(m.Registered.GetAgentId().GetValue())
	case *link.FromMaster_Reregistered:
		if w.gone[a.id] {
			w.fail("agent %s is gone and was taken back", a.id)
		}
		for _, r := range m.Reregistered.GetReconcile() {
			w.agentDropped(a, r)
		}
	case *link.FromMaster_Refused:
		w.tell(AgentLinkClosed{Link: a.link})
		a.link = 0
	case *link.FromMaster_ShutdownAgent:
		*a = fakeAgent{host: a.host, link: a.link, tasks: map[taskKey]*fakeTask{}, infos: map[FrameworkID]*mesos.FrameworkInfo{}, killed: true}
	case *link.FromMaster_RunTask:
		w.agentRuns(a, m.RunTask)
	case *link.FromMaster_KillTask:
		key := taskKey{FrameworkID(m.KillTask.GetFrameworkId().GetValue()), TaskID(m.KillTask.GetTaskId().GetValue())}
		if t := a.tasks[key]; t != nil {
			t.killed = true
		}
	case *link.FromMaster_ShutdownFramework:
		maps.DeleteFunc(a.tasks, func(key taskKey, _ *fakeTask) bool {
			return key.framework == FrameworkID(m.ShutdownFramework.GetFrameworkId().GetValue())
		})
	case *link.FromMaster_AcknowledgeUpdate:
		w.agentAcknowledged(a, m.AcknowledgeUpdate)
	case *link.FromMaster_Ping:
		if w.calm || w.rng.IntN(6) != 0 {
			w.tell(AgentMessage{Link: a.link, Message: &link.FromAgent{Message: &link.FromAgent_Pong{Pong: &link.Pong{}}}})
		}
	}
}

func (w *world) agentRuns(a *fakeAgent, m *link.RunTask) {
	if !w.calm && w.rng.IntN(10) == 0 {
		// The link breaks before the message arrives.
		w.tell(AgentLinkClosed{Link: a.link})
		a.link = 0
		return
	}
	f := FrameworkID(m.GetFramework().GetId().GetValue())
	key := taskKey{f, TaskID(m.GetTask().GetTaskId().GetValue())}
	if a.tasks[key] != nil {
		w.fail("task %s is launched twice on agent %s", key.task, a.id)
	}
	a.infos[f] = m.GetFramework()
	a.tasks[key] = &fakeTask{key: key, resources: m.GetTask().GetResources(), state: mesos.TaskState_TASK_STAGING}
}

func (w *world) agentDropped(a *fakeAgent, r *link.ReconcileTask) {
	key := taskKey{FrameworkID(r.GetFrameworkId().GetValue()), TaskID(r.GetTaskId().GetValue())}
	if a.tasks[key] != nil {
		return
	}
	w.nextTask++
	t := &fakeTask{key: key, state: mesos.TaskState_TASK_DROPPED, resources: parseResources("cpus:0.5;mem:32", "web")}
	t.unacked = []*mesos.TaskStatus{{TaskId: taskID(key.task), State: t.state.Enum(), AgentId: agentID(a.id),
		Uuid: scriptUUID(fmt.Sprint("u", w.nextTask)), Source: mesos.TaskStatus_SOURCE_AGENT.Enum()}}
	a.tasks[key] = t
}

func (w *world) agentAcknowledged(a *fakeAgent, m *link.AcknowledgeUpdate) {
	key := taskKey{FrameworkID(m.GetFrameworkId().GetValue()), TaskID(m.GetTaskId().GetValue())}
	t := a.tasks[key]
	if t == nil || len(t.unacked) == 0 || string(t.unacked[0].GetUuid()) != string(m.GetUuid()) {
		return
	}
	for _, f := range w.frameworks {
		if f.id == key.framework && !f.seen[string(m.GetUuid())] {
			w.fail("an update of task %s is acknowledged that its framework never saw", key.task)
		}
	}
	t.unacked = t.unacked[1:]
	if len(t.unacked) == 0 && Terminal(t.state) {
		delete(a.tasks, key)
	}
}

func (w *world) allocatorHears(e AllocatorEvent) {
	switch e := e.(type) {
	case AllocatorAddAgent:
		b := &book{total: amountsOf(e.Total), allocated: map[FrameworkID]amounts{}, active: e.Active, generation: e.Generation}
		for id, used := range e.Used {
			b.allocated[id] = amountsOf(used)
		}
		w.books[e.ID] = b
	case AllocatorRemoveAgent:
		delete(w.books, e.ID)
		if w.core.gone[e.ID] != nil {
			w.gone[e.ID] = true
		}
	case AllocatorActivateAgent:
		w.books[e.ID].active = true
	case AllocatorDeactivateAgent:
		if b := w.books[e.ID]; b != nil {
			b.active = false
		}
	case AllocatorRemoveFramework:
		for _, id := range slices.Sorted(maps.Keys(w.books)) {
			delete(w.books[id].allocated, e.ID)
		}
	case AllocatorRecover:
		b := w.books[e.Agent]
		if b == nil {
			w.fail("recover on agent %s, which the allocator does not have", e.Agent)
			return
		}
		back := amountsOf(e.Resources)
		if !b.allocated[e.Framework].contains(back) {
			w.fail("framework %s returns %s on %s and has %s", e.Framework, back, e.Agent, b.allocated[e.Framework])
			return
		}
		b.allocated[e.Framework] = b.allocated[e.Framework].minus(back)
	}
}
