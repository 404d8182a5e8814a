// Package launchtrace says where the time of a launch goes: a trace holds when each step
// of it has ended.
//
// It owns the names of the steps. It promises that marks of other processes of the same
// machine fit in, because all read the same clock, that a mark costs one reading of it, and
// that without a trace in the context a mark costs nothing. It refuses marks from two
// goroutines at once: a launch is one thing after the other.
package launchtrace

import (
	"cmp"
	"context"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// Step is a part of a launch, as metrics and logs call it.
type Step string

// Steps in the order in which they come. A launch has those that apply to it.
const (
	Admit      Step = "admit"      // from the master's message to the core's decision
	Checkpoint Step = "checkpoint" // task and executor are on disk
	Sandbox    Step = "sandbox"    // its directory and links
	Image      Step = "image"      // its layers are looked up, or pulled
	Network    Step = "network"    // its networks are attached
	Prepare    Step = "prepare"    // its specification, the directories of its root, what a later agent needs
	Fetch      Step = "fetch"      // its URIs
	Call       Step = "call"       // the launcher has the request
	Record     Step = "record"     // the launcher's record of intent
	Cgroups    Step = "cgroups"    // control groups with their limits
	Program    Step = "program"    // the list of calls for the shim
	Clone      Step = "clone"      // the new process in its namespaces executes the shim
	Join       Step = "join"       // it is in its groups and in the namespaces that it shares
	RootFS     Step = "rootfs"     // the overlay is mounted
	Mounts     Step = "mounts"     // everything in it is mounted
	Devices    Step = "devices"    // /dev is filled
	Masks      Step = "masks"      // read-only and masked paths
	Pivot      Step = "pivot"      // the host's root is gone
	Fork       Step = "fork"       // the command's process beside the init
	Identity   Step = "identity"   // limits, user, capabilities
	Exec       Step = "exec"       // the filter of system calls is set and the command executed
	Answer     Step = "answer"     // the agent knows the pid
	Status     Step = "status"     // the container's status is asked for
	Report     Step = "report"     // the core has made the update
	Log        Step = "log"        // the update is on disk and on its way to the master
)

// All are the steps in order.
func All() []Step {
	return []Step{Admit, Checkpoint, Sandbox, Image, Network, Prepare, Fetch, Call, Record, Cgroups, Program, Clone, Join, RootFS, Mounts,
		Devices, Masks, Pivot, Fork, Identity, Exec, Answer, Status, Report, Log}
}

// Time is a reading of the machine's monotonic clock, in nanoseconds; every process reads the same.
type Time int64

// Now reads the clock.
func Now() Time {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts) != nil {
		return 0 // no Linux: there is nothing to launch
	}
	return Time(ts.Nano())
}

// Mark is the end of a step.
type Mark struct {
	Step Step
	At   Time
}

// Trace is one launch.
type Trace struct {
	began Time
	marks []Mark
}

// New makes the trace of a launch that began at a time, with what is known of it already.
func New(began Time, marks ...Mark) *Trace { return &Trace{began: began, marks: marks} }

// Mark says that a step has ended. A nil trace takes it and keeps nothing.
func (t *Trace) Mark(step Step) {
	if t != nil {
		t.marks = append(t.marks, Mark{step, Now()})
	}
}

// Add takes marks that others made.
func (t *Trace) Add(marks ...Mark) {
	if t != nil {
		t.marks = append(t.marks, marks...)
	}
}

// Marks are those so far, in the order in which they were added.
func (t *Trace) Marks() []Mark {
	if t == nil {
		return nil
	}
	return t.marks
}

// Took is the duration of a step.
type Took struct {
	Step Step
	Took time.Duration
}

// Durations are the steps in the order of time. Together they are Total.
func (t *Trace) Durations() []Took {
	marks := slices.Clone(t.marks)
	slices.SortStableFunc(marks, func(a, b Mark) int { return cmp.Compare(a.At, b.At) })
	out, before := make([]Took, len(marks)), t.began
	for i, m := range marks {
		out[i] = Took{m.Step, time.Duration(m.At - before)}
		before = m.At
	}
	return out
}

// Total is the time from the beginning to the last mark.
func (t *Trace) Total() time.Duration {
	last := t.began
	for _, m := range t.marks {
		last = max(last, m.At)
	}
	return time.Duration(last - t.began)
}

type key struct{}

// With gives ctx a trace.
func With(ctx context.Context, t *Trace) context.Context { return context.WithValue(ctx, key{}, t) }

// Of is the trace of ctx; nil when it has none.
func Of(ctx context.Context) *Trace {
	t, _ := ctx.Value(key{}).(*Trace)
	return t
}
