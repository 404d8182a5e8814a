// Package oversubscription decides what an agent lends of the resources that it promised to others
// and that they do not use, and whom it stops when they want them after all.
//
// It owns the resource estimators and the QoS controllers. It promises that they lend no more than
// is unused, and that a correction names executors on revocable resources only. It refuses I/O and
// clocks: what was measured, and when, comes with each call.
package oversubscription

import (
	"time"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// Executor is what one live executor holds and uses.
type Executor struct {
	core.Allocation
	// Measured says that the figures below are known.
	Measured bool
	// CPUSeconds is what it has used since its start.
	CPUSeconds float64
	MemMiB     float64
	// Waits is the part of the last ten seconds in which some of its threads waited for a CPU, in
	// percent; negative where the kernel does not tell (cgroup version 1).
	Waits float64
}

// amount is how much it holds of a resource, of the revocable or of the others.
func (e *Executor) amount(name string, revocable bool) float64 {
	total := 0.0
	for _, r := range e.Resources {
		if r.GetName() == name && (r.GetRevocable() != nil) == revocable {
			total += r.GetScalar().GetValue()
		}
	}
	return total
}

// Revocable says whether an executor holds anything that can be taken back.
func (e *Executor) Revocable() bool { return Revocable(e.Resources) }

// Revocable says whether any of the resources can be taken back.
func Revocable(list []*mesos.Resource) bool {
	for _, r := range list {
		if r.GetRevocable() != nil {
			return true
		}
	}
	return false
}

// Host is the state of the machine.
type Host struct {
	Load5  float64 // runnable threads, mean of 5 and of 15 minutes
	Load15 float64
	// MemAvailableMiB is what could be given to programs without swapping.
	MemTotalMiB, MemAvailableMiB float64
	// CPUWaits is the part of the last ten seconds in which some thread waited for a CPU, MemoryStalls
	// that in which all that could run waited for memory, in percent; negative where the kernel
	// does not tell (no pressure stall information).
	CPUWaits, MemoryStalls float64
}

// Estimator says what can be lent. It is called once per --oversubscribed_resources_interval.
type Estimator interface {
	// Estimate gives the revocable resources that may be lent beside those that are.
	Estimate(now time.Time, executors []Executor) resources.Resources
	// Measures says whether it needs the executors' figures.
	Measures() bool
}

// Controller says who has to go.
type Controller interface {
	// Correct names the executors to stop, all of them on revocable resources.
	Correct(now time.Time, host Host, executors []Executor) []core.Preempt
	// Measures says whether it needs the executors' figures.
	Measures() bool
}

// rate is how much CPU an executor used between two looks.
type rate struct {
	at      time.Time
	seconds float64
	cpus    float64
	known   bool // two looks at least
}

// rates remember the last look at each container.
type rates map[string]rate

// look takes new figures over, and forgets containers that are gone.
func (r rates) look(now time.Time, executors []Executor) {
	live := map[string]bool{}
	for i := range executors {
		e := &executors[i]
		id := string(e.Container)
		live[id] = true
		before, seen := r[id]
		if !e.Measured || seen && !now.After(before.at) {
			continue
		}
		next := rate{at: now, seconds: e.CPUSeconds}
		if seen {
			next.cpus, next.known = max(0, e.CPUSeconds-before.seconds)/now.Sub(before.at).Seconds(), true
		}
		r[id] = next
	}
	for id := range r {
		if !live[id] {
			delete(r, id)
		}
	}
}
