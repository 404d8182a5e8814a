package executor

import (
	"math"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor/checks"
)

// phase is where a task stands.
type phase int

const (
	launching phase = iota + 1
	running
	ended
)

// destroyRetry is the time between attempts to kill by force, and until a failed SIGTERM
// is sent again.
const destroyRetry = time.Second

// Task is the life of one task in one container.
type Task struct {
	Info      *mesos.TaskInfo
	Container ContainerID
	// Group tells task groups of one executor apart.
	Group int

	phase    phase
	killing  bool
	timedOut bool      // killed because of max_completion_time
	forceAt  time.Time // SIGKILL, and again from then on; zero when no kill is on
	retryAt  time.Time // SIGTERM again: the last one failed; zero for no retry
	finishBy time.Time // max_completion_time; zero for none
	final    mesos.TaskState
	checks   checks.Set
}

// ID is the task's ID.
func (t *Task) ID() string { return t.Info.GetTaskId().GetValue() }

// Ended says whether the terminal update was made.
func (t *Task) Ended() bool { return t.phase == ended }

// FinalState is the terminal state of an ended task.
func (t *Task) FinalState() mesos.TaskState { return t.final }

// Killing says whether a kill has begun.
func (t *Task) Killing() bool { return t.killing }

func (t *Task) status(state mesos.TaskState, message string) *mesos.TaskStatus {
	status := &mesos.TaskStatus{TaskId: t.Info.GetTaskId(), State: &state}
	if message != "" {
		status.Message = &message
	}
	t.checks.Describe(status, terminal(state))
	return status
}

func (t *Task) launch(r *Ready) {
	t.phase = launching
	r.Commands = append(r.Commands, Launch{Container: t.Container, Task: t.Info})
}

func (t *Task) launched(now time.Time, box *Outbox, r *Ready) {
	if t.phase != launching {
		return
	}
	t.phase = running
	if limit := duration(t.Info.GetMaxCompletionTime()); t.Info.GetMaxCompletionTime() != nil {
		t.finishBy = now.Add(limit)
	}
	if !t.killing {
		box.Add(now, t.status(mesos.TaskState_TASK_RUNNING, ""), r)
		t.checks.Start(now)
	}
}

// probed takes the result of a check.
func (t *Task) probed(now time.Time, report checks.Report, announce bool, box *Outbox, r *Ready) {
	if t.phase != running || t.killing {
		return
	}
	verdict := t.checks.Handle(now, report)
	if verdict.Reason == 0 {
		return
	}
	status := t.status(mesos.TaskState_TASK_RUNNING, "")
	status.Reason = &verdict.Reason
	box.Add(now, status, r)
	if verdict.Kill {
		t.kill(now, t.grace(nil), announce, box, r)
	}
}

// terminateFailed plans another SIGTERM.
func (t *Task) terminateFailed(now time.Time) {
	if t.phase == running && t.killing {
		t.retryAt = now.Add(destroyRetry)
	}
}

// resume goes on with the checks of a task that is not being killed.
func (t *Task) resume(now time.Time) {
	if t.phase == running && !t.killing {
		t.checks.Resume(now)
	}
}

// kill begins a kill, or hastens one: a grace period can shrink and never grow. Each
// call tries again what was tried before.
func (t *Task) kill(now time.Time, grace time.Duration, announce bool, box *Outbox, r *Ready) {
	if t.phase == ended {
		return
	}
	force := now.Add(grace)
	if !t.killing {
		t.killing, t.forceAt = true, force
		t.checks.Pause()
		if announce && t.phase == running {
			box.Add(now, t.status(mesos.TaskState_TASK_KILLING, ""), r)
		}
	} else if force.Before(t.forceAt) {
		t.forceAt = force
	}
	if t.phase == launching {
		t.forceAt = now
	} else {
		r.Commands = append(r.Commands, Terminate{Container: t.Container})
	}
	t.tick(now, box, r)
}

func (t *Task) tick(now time.Time, box *Outbox, r *Ready) {
	if t.phase == ended {
		return
	}
	if !t.killing && !t.finishBy.IsZero() && !now.Before(t.finishBy) {
		t.timedOut = true
		t.kill(now, t.grace(nil), false, box, r)
		return
	}
	if !t.retryAt.IsZero() && !now.Before(t.retryAt) {
		t.retryAt = time.Time{}
		if now.Before(t.forceAt) {
			r.Commands = append(r.Commands, Terminate{Container: t.Container})
		}
	}
	if t.killing && !now.Before(t.forceAt) {
		t.forceAt = now.Add(destroyRetry)
		r.Commands = append(r.Commands, Destroy{Container: t.Container})
	}
	for _, probe := range t.checks.Due(now) {
		r.Commands = append(r.Commands, Probe{Container: t.Container, Task: t.Info, Probe: probe})
	}
}

func (t *Task) wake() time.Time {
	switch {
	case t.phase == ended:
		return time.Time{}
	case t.killing:
		return earliest(t.forceAt, t.retryAt)
	}
	return earliest(t.finishBy, t.checks.Wake())
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// grace chooses the policy: of the kill, else of the task, else the default.
func (t *Task) grace(policy *mesos.KillPolicy) time.Duration {
	if policy.GetGracePeriod() != nil {
		return duration(policy.GetGracePeriod())
	}
	if own := t.Info.GetKillPolicy().GetGracePeriod(); own != nil {
		return duration(own)
	}
	return DefaultKillGrace
}

func (t *Task) launchFailed(now time.Time, in LaunchFailed, box *Outbox, r *Ready) {
	if t.phase == ended {
		return
	}
	status := t.status(mesos.TaskState_TASK_FAILED, in.Message)
	reason := in.Reason
	if reason == 0 {
		reason = mesos.TaskStatus_REASON_CONTAINER_LAUNCH_FAILED
	}
	if t.killing && !t.timedOut {
		state := mesos.TaskState_TASK_KILLED
		status = t.status(state, "The task was killed while it was being launched")
		reason = mesos.TaskStatus_REASON_TASK_KILLED_DURING_LAUNCH
	}
	status.Reason = &reason
	t.end(now, status, box, r)
}

func (t *Task) terminated(now time.Time, how Termination, box *Outbox, r *Ready) {
	if t.phase == ended {
		return
	}
	r.Commands = append(r.Commands, Remove{Container: t.Container})
	t.end(now, t.verdict(how), box, r)
}

func (t *Task) verdict(how Termination) *mesos.TaskStatus {
	state, message := outcome(how)
	status := t.status(state, message)
	switch {
	case how.State != 0 || how.Reason != 0:
		if how.State != 0 {
			*status.State = how.State
		}
		if how.Reason != 0 {
			status.Reason = &how.Reason
		}
		if len(how.Limited) > 0 {
			status.Limitation = &mesos.TaskResourceLimitation{Resources: how.Limited}
		}
	case t.timedOut:
		*status.State = mesos.TaskState_TASK_FAILED
		status.Reason = mesos.TaskStatus_REASON_MAX_COMPLETION_TIME_REACHED.Enum()
	case t.killing:
		*status.State = mesos.TaskState_TASK_KILLED
	case how.Status == nil:
		status.Reason = mesos.TaskStatus_REASON_EXECUTOR_TERMINATED.Enum()
	}
	return status
}

func (t *Task) end(now time.Time, status *mesos.TaskStatus, box *Outbox, r *Ready) {
	t.phase, t.final = ended, status.GetState()
	t.checks.Pause()
	t.forceAt, t.finishBy, t.retryAt = time.Time{}, time.Time{}, time.Time{}
	box.Add(now, status, r)
}

// recovered tells a task what became of its container while its host was away.
func (t *Task) recovered(now time.Time, live bool, how *Termination, box *Outbox, r *Ready) {
	switch {
	case t.phase == ended:
	case how != nil:
		t.terminated(now, *how, box, r)
	case live && t.phase == launching:
		t.launched(now, box, r)
	case live:
		t.resume(now)
	case t.phase == launching:
		t.launchFailed(now, LaunchFailed{
			Reason:  mesos.TaskStatus_REASON_AGENT_RESTARTED,
			Message: "The agent was restarted while it launched the container",
		}, box, r)
	default:
		t.terminated(now, Termination{}, box, r)
	}
	if t.phase == running && t.killing && now.Before(t.forceAt) {
		r.Commands = append(r.Commands, Terminate{Container: t.Container})
	}
}

func terminal(state mesos.TaskState) bool {
	switch state {
	case mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_FAILED, mesos.TaskState_TASK_KILLED:
		return true
	}
	return false
}

func duration(d *mesos.DurationInfo) time.Duration {
	return time.Duration(max(0, min(d.GetNanoseconds(), math.MaxInt64/4)))
}
