package sim

import (
	"fmt"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
)

// offer takes what it needs of an offer, sits on it for a while, or declines.
func (f *frameworkNode) offer(offer *mesos.Offer) {
	if f.hoards {
		return
	}
	need := f.wanted - f.live()
	if need <= 0 {
		f.decline(offer)
		return
	}
	delay := f.w.upTo(50 * time.Millisecond)
	if f.w.chance(0.1) && !f.w.calm {
		delay = f.w.upTo(20 * time.Second) // long enough for the offer to be rescinded
	}
	f.later(delay, func() {
		if need := f.wanted - f.live(); need > 0 && f.conn != nil {
			f.accept(offer, need)
			return
		}
		if f.conn != nil {
			f.decline(offer)
		}
	})
}

func (f *frameworkNode) decline(offer *mesos.Offer) {
	f.call(&scheduler.Call{Type: scheduler.Call_DECLINE.Enum(), Decline: &scheduler.Call_Decline{
		OfferIds: []*mesos.OfferID{offer.GetId()}, Filters: &mesos.Filters{RefuseSeconds: ptr(float64(f.w.between(1, 10)))}}})
}

func (f *frameworkNode) accept(offer *mesos.Offer, need int) {
	var tasks []*mesos.TaskInfo
	cpus, mem, soft := f.room(offer)
	for range need {
		if cpus < 0.5 || mem < 128 {
			break
		}
		cpus, mem = cpus-0.5, mem-128
		tasks = append(tasks, f.task(offer, soft))
	}
	operation := &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH.Enum(),
		Launch: &mesos.Offer_Operation_Launch{TaskInfos: tasks}}
	if len(tasks) == 0 {
		f.decline(offer)
		return
	}
	if f.grouped {
		operation = f.group(tasks, soft)
	} else if f.w.chance(0.03) && !f.w.calm {
		f.reuse(offer, operation.Launch)
	}
	if f.w.chance(0.03) && !f.w.calm {
		doomed := f.tasks[tasks[0].GetTaskId().GetValue()]
		f.later(f.w.upTo(30*time.Millisecond), func() { f.kill(doomed) })
	}
	operations := []*mesos.Offer_Operation{operation}
	if f.keeper != nil {
		operations = append(f.keeper.plan(offer, tasks), operation)
	}
	ids := []*mesos.OfferID{offer.GetId()}
	if f.before != nil && f.w.chance(0.03) && !f.w.calm {
		ids = append(ids, f.before) // of another agent, or used long ago: the whole ACCEPT is refused
	}
	f.before = offer.GetId()
	f.call(&scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), Accept: &scheduler.Call_Accept{
		OfferIds: ids, Operations: operations}})
}

// room is what an offer has for tasks, of the revocable resources or of the others.
func (f *frameworkNode) room(offer *mesos.Offer) (cpus, mem float64, soft bool) {
	own := 0.0 // the executor's
	if f.grouped {
		own = 1
	}
	if f.soft && offered(offer, "disk", false) >= own {
		if cpus, mem = offered(offer, "cpus", true)-0.1*own, offered(offer, "mem", true)-32*own; cpus >= 0.5 && mem >= 128 {
			return cpus, mem, true
		}
	}
	return offered(offer, "cpus", false) - 0.1*own, offered(offer, "mem", false) - 32*own, false
}

func offered(offer *mesos.Offer, name string, revocable bool) (n float64) {
	for _, r := range offer.GetResources() {
		if r.GetName() == name && (r.Revocable != nil) == revocable {
			n += r.GetScalar().GetValue()
		}
	}
	return n
}

func (f *frameworkNode) task(offer *mesos.Offer, soft bool) *mesos.TaskInfo {
	f.count++
	id := fmt.Sprintf("%s.t%d", f.host, f.count)
	f.tasks[id] = &simTask{id: id, agent: offer.GetAgentId(), state: mesos.TaskState_TASK_STAGING, launched: f.w.now, soft: soft}
	info := &mesos.TaskInfo{Name: ptr("task"), TaskId: &mesos.TaskID{Value: &id}, AgentId: offer.GetAgentId(),
		Resources: amounts(0.5, 128, 0), Command: &mesos.CommandInfo{Value: ptr("sleep 1000")}}
	if soft {
		info.Resources = softened(info.Resources)
	}
	if f.w.chance(0.2) {
		info.HealthCheck = &mesos.HealthCheck{Type: mesos.HealthCheck_HTTP.Enum(), Http: &mesos.HealthCheck_HTTPCheckInfo{Port: ptr(uint32(80))}}
	}
	return info
}

func amounts(cpus, mem, disk float64) []*mesos.Resource {
	var out []*mesos.Resource
	for _, r := range []struct {
		name  string
		value float64
	}{{"cpus", cpus}, {"mem", mem}, {"disk", disk}} {
		if r.value > 0 {
			out = append(out, &mesos.Resource{Name: ptr(r.name), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: ptr(r.value)}})
		}
	}
	return out
}

func (f *frameworkNode) group(tasks []*mesos.TaskInfo, soft bool) *mesos.Offer_Operation {
	executor := &mesos.ExecutorInfo{Type: mesos.ExecutorInfo_DEFAULT.Enum(), FrameworkId: f.id,
		ExecutorId: &mesos.ExecutorID{Value: ptr(fmt.Sprintf("%s.e%d", f.host, f.count))}, Resources: append(amounts(0.1, 32, 0), amounts(0, 0, 1)...)}
	if soft {
		softened(executor.Resources[:2])
	}
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_LAUNCH_GROUP.Enum(), LaunchGroup: &mesos.Offer_Operation_LaunchGroup{
		Executor: executor, TaskGroup: &mesos.TaskGroupInfo{Tasks: tasks}}}
}

// update takes note of a status and acknowledges it, mostly at once.
func (f *frameworkNode) update(status *mesos.TaskStatus) {
	id := status.GetTaskId().GetValue()
	t := f.tasks[id]
	if t == nil {
		f.w.fail("invariant 2: framework %s gets an update of task %s, which it never launched", f.host, id)
	}
	f.w.trace(f.host, "task %s is %v (%v %s)", id, status.GetState(), status.GetReason(), status.GetMessage())
	if now := f.w.now; now.Before(t.reused) {
		if status.GetState() == mesos.TaskState_TASK_ERROR && len(status.GetUuid()) == 0 {
			return // the answer to the second launch
		}
		if ended(status.GetState()) {
			return // once acknowledged, the second launch would be a good one
		}
	}
	f.w.check.update(f, t, status)
	if !ended(t.state) || len(status.GetUuid()) > 0 {
		t.state = status.GetState()
	}
	if len(status.GetUuid()) == 0 {
		return
	}
	if f.w.chance(0.05) && !f.w.calm {
		return // forgotten; the agent will send it again
	}
	times := 1
	if f.w.chance(0.03) && !f.w.calm {
		times = 2
	}
	for range times {
		f.call(&scheduler.Call{Type: scheduler.Call_ACKNOWLEDGE.Enum(), Acknowledge: &scheduler.Call_Acknowledge{
			AgentId: status.GetAgentId(), TaskId: status.GetTaskId(), Uuid: status.GetUuid()}})
	}
	f.w.check.acknowledged(f, t, status)
}

// reuse launches once more under the ID of a task that lives on the same agent: the master
// must refuse it, and the first task must not notice.
func (f *frameworkNode) reuse(offer *mesos.Offer, launch *mesos.Offer_Operation_Launch) {
	for _, id := range f.sorted() {
		t := f.tasks[id]
		if t.state != mesos.TaskState_TASK_RUNNING || t.agent.GetValue() != offer.GetAgentId().GetValue() {
			continue
		}
		t.reused = f.w.now.Add(time.Minute)
		delete(f.tasks, launch.TaskInfos[0].GetTaskId().GetValue())
		launch.TaskInfos[0].TaskId = &mesos.TaskID{Value: ptr(id)}
		return
	}
}

// killSome asks for the end of one living task.
func (f *frameworkNode) killSome() {
	for _, id := range f.sorted() {
		if t := f.tasks[id]; !ended(t.state) && f.w.chance(0.3) {
			f.kill(t)
			return
		}
	}
}

// kill asks, and asks again until the task has ended.
func (f *frameworkNode) kill(t *simTask) {
	t.killed = true
	if f.conn != nil && f.id != nil {
		t.killedBy = 0
		f.callThen(&scheduler.Call{Type: scheduler.Call_KILL.Enum(), Kill: &scheduler.Call_Kill{
			TaskId: &mesos.TaskID{Value: ptr(t.id)}, AgentId: t.agent}}, func(by *masterNode, status int) {
			state, known := by.follower.frameworks[core.FrameworkID(f.id.GetValue())][t.id]
			if status == 202 && known && state != mesos.TaskState_TASK_UNREACHABLE {
				t.killedBy = by.token
			}
		})
	}
}
