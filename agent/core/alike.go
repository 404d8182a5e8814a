package core

import (
	"bytes"
	"slices"

	mesos "agora.dev/agora/api/mesos/v1"
)

// share has a task use the messages of an earlier one where they say the same: identifiers, resources and the container are most of what a task costs.
func share(t, earlier *mesos.Task) {
	if earlier == nil {
		earlier = &mesos.Task{}
	}
	if earlier.GetFrameworkId().GetValue() == t.GetFrameworkId().GetValue() && earlier.FrameworkId != nil {
		t.FrameworkId = earlier.FrameworkId
	}
	if t.ExecutorId != nil && earlier.ExecutorId != nil && earlier.GetExecutorId().GetValue() == t.GetExecutorId().GetValue() {
		t.ExecutorId = earlier.ExecutorId
	}
	if earlier.AgentId != nil && earlier.GetAgentId().GetValue() == t.GetAgentId().GetValue() {
		t.AgentId = earlier.AgentId
	}
	if slices.EqualFunc(t.Resources, earlier.Resources, func(a, b *mesos.Resource) bool { return same(a, b) }) {
		t.Resources = earlier.Resources
	}
	if t.Container != nil && earlier.Container != nil && same(t.Container, earlier.Container) {
		t.Container = earlier.Container
	}
	var last *mesos.ContainerStatus
	if n := len(earlier.Statuses); n > 0 {
		last = earlier.Statuses[n-1].ContainerStatus
	}
	for _, s := range t.Statuses {
		if s.GetTaskId().GetValue() == t.GetTaskId().GetValue() {
			s.TaskId = t.TaskId
		}
		if s.AgentId != nil && s.GetAgentId().GetValue() == t.GetAgentId().GetValue() {
			s.AgentId = t.AgentId
		}
		if s.ExecutorId != nil && t.ExecutorId != nil && s.GetExecutorId().GetValue() == t.GetExecutorId().GetValue() {
			s.ExecutorId = t.ExecutorId
		}
		if s.ContainerStatus != nil && last != nil && same(s.ContainerStatus, last) {
			s.ContainerStatus = last
		}
		last = s.ContainerStatus
	}
}

// Share has completed tasks of one executor, read from disk and known to nobody yet, keep what they have in common
// once.
func Share(tasks []*mesos.Task) {
	var earlier *mesos.Task
	for _, t := range tasks {
		share(t, earlier)
		earlier = t
	}
}

// encoded is a message of the API.
type encoded interface {
	SizeVT() int
	MarshalVT() ([]byte, error)
}

// same reports whether two messages are encoded alike.
func same(a, b encoded) bool {
	if a.SizeVT() != b.SizeVT() {
		return false
	}
	one, err := a.MarshalVT()
	if err != nil {
		return false
	}
	other, err := b.MarshalVT()
	return err == nil && bytes.Equal(one, other)
}
