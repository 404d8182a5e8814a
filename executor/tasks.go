package executor

import (
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor/checks"
)

// Tasks are the tasks of one executor with their updates: what the cores share.
type Tasks struct {
	Config Config
	Outbox Outbox
	// All are the tasks in the order of their launch. An ended one stays until
	// Forget.
	All []*Task
	// Killing is set when the framework wants TASK_KILLING.
	Killing bool

	disconnected bool
}

// NewTasks makes an empty set.
func NewTasks(config Config) *Tasks {
	return &Tasks{Config: config, Outbox: Outbox{config: config}}
}

// Launch starts a task in a container: TASK_STARTING, then the launch.
func (s *Tasks) Launch(now time.Time, t *Task, r *Ready) {
	t.checks = checks.New(t.Info)
	s.All = append(s.All, t)
	s.Outbox.tasks = append(s.Outbox.tasks, t.Info)
	s.Outbox.Add(now, t.status(mesos.TaskState_TASK_STARTING, ""), r)
	t.launch(r)
}

// Refuse answers a task that will not be launched.
func (s *Tasks) Refuse(now time.Time, info *mesos.TaskInfo, why string, r *Ready) {
	t := &Task{Info: info, checks: checks.New(info)}
	s.Outbox.Add(now, t.status(mesos.TaskState_TASK_FAILED, why), r)
}

// Task finds a task by its ID; nil for none.
func (s *Tasks) Task(id string) *Task {
	for _, t := range s.All {
		if t.ID() == id {
			return t
		}
	}
	return nil
}

// Kill kills by a policy that may be nil.
func (s *Tasks) Kill(now time.Time, t *Task, policy *mesos.KillPolicy, r *Ready) {
	t.kill(now, t.grace(policy), s.Killing, &s.Outbox, r)
}

// Shutdown kills all, in time to report it before the host's patience ends.
func (s *Tasks) Shutdown(now time.Time, r *Ready) {
	grace := max(s.Config.ShutdownGrace-time.Second, s.Config.ShutdownGrace/2)
	for _, t := range s.All {
		t.kill(now, grace, s.Killing, &s.Outbox, r)
	}
}

// Handle passes what happened to a container, a restart or the passing of time to the
// tasks concerned.
func (s *Tasks) Handle(now time.Time, in Input, r *Ready) {
	if _, lost := in.(Disconnected); lost {
		s.disconnected = true
	}
	for _, t := range s.All {
		switch in := in.(type) {
		case Tick:
			t.tick(now, &s.Outbox, r)
		case Launched:
			if in.Container == t.Container {
				t.launched(now, &s.Outbox, r)
			}
			if s.disconnected {
				t.checks.Pause()
			}
		case Probed:
			if in.Container == t.Container {
				t.probed(now, in.Report, s.Killing, &s.Outbox, r)
			}
		case TerminateFailed:
			if in.Container == t.Container {
				t.terminateFailed(now)
			}
		case Disconnected:
			t.checks.Pause()
		case LaunchFailed:
			if in.Container == t.Container {
				t.launchFailed(now, in, &s.Outbox, r)
			}
		case Terminated:
			if in.Container == t.Container {
				t.terminated(now, in.Termination, &s.Outbox, r)
			}
		case Recovered:
			t.recovered(now, in.live(t.Container), in.ended(t.Container), &s.Outbox, r)
		}
	}
}

// Subscribed notes what the agent says about the framework. Checks that stood still
// without the agent go on.
func (s *Tasks) Subscribed(now time.Time, framework *mesos.FrameworkInfo) {
	if s.disconnected {
		s.disconnected = false
		for _, t := range s.All {
			t.resume(now)
		}
	}
	s.Killing = false
	for _, c := range framework.GetCapabilities() {
		if c.GetType() == mesos.FrameworkInfo_Capability_TASK_KILLING_STATE {
			s.Killing = true
		}
	}
}

// Ended says whether every task has ended.
func (s *Tasks) Ended() bool {
	for _, t := range s.All {
		if !t.Ended() {
			return false
		}
	}
	return true
}

// Forget drops ended tasks whose updates were all acknowledged.
func (s *Tasks) Forget() {
	kept := s.All[:0]
	for _, t := range s.All {
		if !t.Ended() || s.Outbox.holds(t.ID()) {
			kept = append(kept, t)
		}
	}
	clear(s.All[len(kept):])
	s.All = kept
}

// Wake is when the first task wants a Tick.
func (s *Tasks) Wake() (at time.Time) {
	for _, t := range s.All {
		if w := t.wake(); !w.IsZero() && (at.IsZero() || w.Before(at)) {
			at = w
		}
	}
	return at
}

func (o *Outbox) holds(task string) bool {
	for _, u := range o.updates {
		if u.GetTaskId().GetValue() == task {
			return true
		}
	}
	return false
}

func (in Recovered) live(id ContainerID) bool {
	for _, have := range in.Live {
		if have == id {
			return true
		}
	}
	return false
}

func (in Recovered) ended(id ContainerID) *Termination {
	if how, ok := in.Ended[id]; ok {
		return &how
	}
	return nil
}
