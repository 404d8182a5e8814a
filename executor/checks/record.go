package checks

import (
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// Record is what a restarted executor needs of a Set, beside the task. Since is a
// distance from the boot of the machine; 0 for a task that did not run yet.
type Record struct {
	Since     time.Duration `json:"since,omitempty"`
	Settled   bool          `json:"settled,omitempty"`
	Failures  uint32        `json:"failures,omitempty"`
	Healthy   *bool         `json:"healthy,omitempty"`
	Unhealthy bool          `json:"unhealthy,omitempty"` // being killed for its health
	Status    []byte        `json:"status,omitempty"`    // CheckStatusInfo
}

// Record returns nil for a Set without checks.
func (s *Set) Record(boot time.Time) *Record {
	if s.check == nil && s.health == nil {
		return nil
	}
	r := &Record{Unhealthy: s.unhealthy}
	for _, c := range s.each() {
		if !c.since.IsZero() {
			r.Since = c.since.Sub(boot)
		}
	}
	if c := s.health; c != nil {
		r.Settled, r.Failures, r.Healthy = c.settled, c.failures, c.healthy
	}
	if c := s.check; c != nil {
		r.Status, _ = c.status.MarshalVT()
	}
	return r
}

// Restore makes a Set of a task from a Record. It is paused: the host resumes it when it
// knows that the container lives.
func Restore(task *mesos.TaskInfo, r *Record, boot time.Time) Set {
	s := New(task)
	if r == nil {
		return s
	}
	s.unhealthy = r.Unhealthy
	for _, c := range s.each() {
		c.paused = true
		if r.Since != 0 {
			c.since = boot.Add(r.Since)
		}
	}
	if c := s.health; c != nil {
		c.settled, c.failures, c.healthy = r.Settled, r.Failures, r.Healthy
	}
	if c := s.check; c != nil && len(r.Status) > 0 {
		status := &mesos.CheckStatusInfo{}
		if status.UnmarshalVT(r.Status) == nil {
			c.status = status
		}
	}
	return s
}
