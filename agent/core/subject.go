package core

import (
	"time"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Subject is whose a container is, or was a moment ago.
type Subject struct {
	Executor ExecutorKey
	Task     TaskID // empty for the container of a pod or custom executor
	// User is who its sandbox belongs to, as access rules name it.
	User    string
	Sandbox string
	// Command says that something ran in it: the container of a pod only holds others.
	Command bool
	// Started is when its task said that it runs; zero when nobody did.
	Started time.Time
	// Asked says that its end was asked for, by its framework or by this agent.
	Asked bool
}

// Subject says whose a container is; ok is false for one that this core has forgotten. Call it between steps
// only.
func (c *Core) Subject(id containerizer.ID) (s Subject, ok bool) {
	e, t := c.holder(id)
	if e == nil {
		return s, false
	}
	s = Subject{Executor: e.run.Key, User: e.user(), Sandbox: c.sandbox(e, id), Command: e.kind != TaskGroup || t != nil,
		Asked: e.cause != nil || e.destroying || e.framework.terminating}
	if t == nil {
		return s, true
	}
	s.Task, s.User, s.Asked = taskID(t.info), e.taskUser(t.info), s.Asked || t.killed
	for _, status := range t.proto.GetStatuses() {
		if status.GetState() == mesos.TaskState_TASK_RUNNING && s.Started.IsZero() {
			s.Started = time.UnixMicro(int64(status.GetTimestamp() * 1e6)).UTC()
		}
	}
	return s, true
}

// holder finds the executor and the task of a container. A recovered one that had ended may be off the
// books already.
func (c *Core) holder(id containerizer.ID) (*executorRun, *task) {
	if have := c.containers[id]; have != nil {
		return have.exec, have.task
	}
	for _, f := range c.frameworks {
		for _, e := range f.executors {
			if e.run.Container == id.Root() {
				return e, e.taskIn(id)
			}
		}
	}
	return nil, nil
}
