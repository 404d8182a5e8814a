package core

import (
	"slices"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// kill passes a KILL on, and repeats it when an agent that is away returns. A task that the
// master does not know, or knows elsewhere, is answered as by a reconciliation.
func (c *Core) kill(f *framework, call *scheduler.Call_Kill) {
	id := TaskID(call.GetTaskId().GetValue())
	t := f.tasks[id]
	elsewhere := t != nil && call.AgentId != nil && call.GetAgentId().GetValue() != string(t.agent.id)
	if t == nil || elsewhere {
		c.reconcileTask(f, &scheduler.Call_Reconcile_Task{TaskId: call.TaskId, AgentId: call.AgentId})
		return
	}
	message := &link.KillTask{FrameworkId: frameworkID(f.id), TaskId: call.TaskId, KillPolicy: call.KillPolicy}
	t.agent.rememberKill(message)
	c.toAgent(t.agent, &link.FromMaster{Message: &link.FromMaster_KillTask{KillTask: message}})
}

// rememberKill keeps the newest kill of each task.
func (a *agent) rememberKill(message *link.KillTask) {
	a.dropKill(taskKey{FrameworkID(message.GetFrameworkId().GetValue()), TaskID(message.GetTaskId().GetValue())})
	a.kills = append(a.kills, message)
}

func (a *agent) dropKill(key taskKey) {
	a.kills = slices.DeleteFunc(a.kills, func(k *link.KillTask) bool {
		return k.GetTaskId().GetValue() == string(key.task) && k.GetFrameworkId().GetValue() == string(key.framework)
	})
}
