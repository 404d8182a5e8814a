// Package postmortem holds what an agent keeps of a run that has ended, in JSON. See docs/design/agent.md.
package postmortem

import "time"

// Record is one run of a task.
type Record struct {
	Framework string `json:"framework_id"`
	Executor  string `json:"executor_id"`
	Task      string `json:"task_id,omitempty"`
	Container string `json:"container_id"`
	// User is the account that it ran as; who may see its sandbox may see the record.
	User string `json:"user,omitempty"`
	// Started is zero when an earlier agent started it.
	Started time.Time `json:"started,omitzero"`
	Ended   time.Time `json:"ended"`
	// Failed says that it ended by itself and not with status 0, or was ended for a reason of the agent's.
	Failed bool `json:"failed"`
	// Cause is one line; Status the raw wait status, absent when it is lost.
	Cause  string `json:"cause"`
	Status *int32 `json:"wait_status,omitempty"`
	Reason string `json:"reason,omitempty"`
	// CPUSeconds and PeakMemoryBytes are absent where nobody counted.
	CPUSeconds      float64 `json:"cpu_seconds,omitempty"`
	PeakMemoryBytes uint64  `json:"peak_memory_bytes,omitempty"`
}
