// Package taskgroup is the built-in executor of task groups: each task runs in a
// container nested in the executor's own.
//
// It promises that a group lives and dies together (when a task of it fails or is
// killed, its siblings are killed; a task that finishes disturbs nobody), that groups
// of one executor do not touch each other, and that the executor ends when no task is
// left and the agent has acknowledged all updates. It refuses single tasks.
package taskgroup

import (
	"fmt"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/executor"
)

// TextSingleTask refuses a LAUNCH.
const TextSingleTask = "The default executor runs task groups only"

// Core is the executor. It implements executor.Core.
type Core struct {
	tasks *executor.Tasks
	extra extra
}

// extra is what Core keeps beside its tasks.
type extra struct {
	Shutdown bool `json:"shutdown,omitempty"`
	Groups   int  `json:"groups,omitempty"`
}

// New makes an executor without groups.
func New(config executor.Config) *Core {
	return &Core{tasks: executor.NewTasks(config)}
}

// Restore resumes from the state of an earlier Ready.
func Restore(config executor.Config, state []byte) (*Core, error) {
	c := &Core{}
	tasks, err := executor.Decode(config, state, &c.extra)
	c.tasks = tasks
	return c, err
}

// Subscribe is the call that connects.
func (c *Core) Subscribe() *execapi.Call { return c.tasks.Outbox.Subscribe() }

// Step handles one input.
func (c *Core) Step(now time.Time, in executor.Input) executor.Ready {
	var r executor.Ready
	changed := true
	switch in := in.(type) {
	case executor.FromAgent:
		c.event(now, in.Event, &r)
	case executor.Disconnected, executor.Tick, executor.Probed, executor.TerminateFailed:
		c.tasks.Handle(now, in, &r)
		changed = !r.Quiet()
	default:
		c.tasks.Handle(now, in, &r)
		c.applyGroupPolicy(now, &r)
	}
	r.Wake = c.tasks.Wake()
	r.Done = c.done()
	if changed {
		r.State = c.tasks.Encode(c.extra)
	}
	return r
}

func (c *Core) done() bool {
	if c.extra.Groups == 0 && !c.extra.Shutdown {
		return false
	}
	return c.tasks.Ended() && c.tasks.Outbox.Empty()
}

func (c *Core) event(now time.Time, event *execapi.Event, r *executor.Ready) {
	switch event.GetType() {
	case execapi.Event_SUBSCRIBED:
		c.tasks.Subscribed(now, event.GetSubscribed().GetFrameworkInfo())
	case execapi.Event_LAUNCH_GROUP:
		c.launchGroup(now, event.GetLaunchGroup().GetTaskGroup(), r)
	case execapi.Event_LAUNCH:
		c.tasks.Refuse(now, event.GetLaunch().GetTask(), TextSingleTask, r)
		c.shutdown(now, r)
	case execapi.Event_KILL:
		kill := event.GetKill()
		if t := c.tasks.Task(kill.GetTaskId().GetValue()); t != nil {
			c.tasks.Kill(now, t, kill.GetKillPolicy(), r)
		}
	case execapi.Event_ACKNOWLEDGED:
		c.tasks.Outbox.Acknowledge(event.GetAcknowledged().GetTaskId().GetValue(), event.GetAcknowledged().GetUuid())
		c.tasks.Forget()
	case execapi.Event_SHUTDOWN, execapi.Event_ERROR:
		c.shutdown(now, r)
	}
}

func (c *Core) shutdown(now time.Time, r *executor.Ready) {
	c.extra.Shutdown = true
	c.tasks.Shutdown(now, r)
}

func (c *Core) launchGroup(now time.Time, group *mesos.TaskGroupInfo, r *executor.Ready) {
	if c.extra.Shutdown {
		for _, t := range group.GetTasks() {
			c.tasks.Refuse(now, t, "The executor is shutting down", r)
		}
		return
	}
	c.extra.Groups++
	for _, info := range group.GetTasks() {
		if c.tasks.Task(info.GetTaskId().GetValue()) != nil {
			continue // delivered twice
		}
		c.tasks.Launch(now, &executor.Task{Info: info, Container: c.nested(), Group: c.extra.Groups}, r)
	}
}

func (c *Core) nested() executor.ContainerID {
	id := c.tasks.Config.NewUUID()
	return c.tasks.Config.Container + "." + executor.ContainerID(
		fmt.Sprintf("%x-%x-%x-%x-%x", id[:4], id[4:6], id[6:8], id[8:10], id[10:]))
}

// applyGroupPolicy kills what is left of a group one of whose tasks has failed or was
// killed.
func (c *Core) applyGroupPolicy(now time.Time, r *executor.Ready) {
	for _, cause := range c.tasks.All {
		if !cause.Ended() || cause.FinalState() == mesos.TaskState_TASK_FINISHED {
			continue
		}
		for _, t := range c.tasks.All {
			if t.Group == cause.Group && !t.Ended() && !t.Killing() {
				c.tasks.Kill(now, t, nil, r)
			}
		}
	}
}
