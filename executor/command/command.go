// Package command is the built-in executor of a single task, which runs in the
// executor's own container.
//
// It promises one life to one task: a second LAUNCH is answered with TASK_FAILED. It
// ends when its task has ended and the agent has acknowledged the terminal update. It
// refuses task groups.
package command

import (
	"time"

	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/executor"
)

// Texts of refusals.
const (
	TextSecondTask = "The command executor runs one task only"
	TextTaskGroup  = "The command executor does not run task groups"
)

// Core is the executor. It implements executor.Core.
type Core struct {
	tasks    *executor.Tasks
	shutdown bool
}

// extra is what Core keeps beside its task.
type extra struct {
	Shutdown bool `json:"shutdown,omitempty"`
}

// New makes an executor without a task.
func New(config executor.Config) *Core {
	return &Core{tasks: executor.NewTasks(config)}
}

// Restore resumes from the state of an earlier Ready.
func Restore(config executor.Config, state []byte) (*Core, error) {
	var more extra
	tasks, err := executor.Decode(config, state, &more)
	if err != nil {
		return nil, err
	}
	return &Core{tasks: tasks, shutdown: more.Shutdown}, nil
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
	}
	r.Wake = c.tasks.Wake()
	r.Done = c.done()
	if changed {
		r.State = c.tasks.Encode(extra{Shutdown: c.shutdown})
	}
	return r
}

func (c *Core) done() bool {
	if len(c.tasks.All) == 0 {
		return c.shutdown
	}
	return c.tasks.Ended() && c.tasks.Outbox.Empty()
}

func (c *Core) event(now time.Time, event *execapi.Event, r *executor.Ready) {
	switch event.GetType() {
	case execapi.Event_SUBSCRIBED:
		c.tasks.Subscribed(now, event.GetSubscribed().GetFrameworkInfo())
	case execapi.Event_LAUNCH:
		c.launch(now, event.GetLaunch(), r)
	case execapi.Event_LAUNCH_GROUP:
		for _, t := range event.GetLaunchGroup().GetTaskGroup().GetTasks() {
			c.tasks.Refuse(now, t, TextTaskGroup, r)
		}
	case execapi.Event_KILL:
		kill := event.GetKill()
		if t := c.tasks.Task(kill.GetTaskId().GetValue()); t != nil {
			c.tasks.Kill(now, t, kill.GetKillPolicy(), r)
		}
	case execapi.Event_ACKNOWLEDGED:
		c.tasks.Outbox.Acknowledge(event.GetAcknowledged().GetTaskId().GetValue(), event.GetAcknowledged().GetUuid())
	case execapi.Event_SHUTDOWN, execapi.Event_ERROR:
		c.shutdown = true
		c.tasks.Shutdown(now, r)
	}
}

func (c *Core) launch(now time.Time, launch *execapi.Event_Launch, r *executor.Ready) {
	info := launch.GetTask()
	if len(c.tasks.All) > 0 {
		if c.tasks.Task(info.GetTaskId().GetValue()) == nil {
			c.tasks.Refuse(now, info, TextSecondTask, r)
		}
		return
	}
	c.tasks.Launch(now, &executor.Task{Info: info, Container: c.tasks.Config.Container}, r)
}
