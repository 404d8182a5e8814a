package core

import (
	"encoding/binary"

	"agora.dev/agora/api/mesos/v1"
)

// shape is what a task uses, as messages and as a sum. Neither is ever changed.
type shape struct {
	resources []*mesos.Resource
	sum       amounts
}

// maxShapes bounds the shapes that are kept; beyond it the keeping begins anew.
const maxShapes = 4096

// shapes keep one copy of what many tasks use: clusters run many tasks of few shapes, and the
// messages and sums of a task's own would be a third of what it costs.
type shapes struct {
	known map[string]shape
	key   []byte
}

// of gives the shape of resources, which nobody may change from now on.
func (s *shapes) of(resources []*mesos.Resource) shape {
	s.key = s.key[:0]
	for _, r := range resources {
		size := r.SizeVT()
		s.key = binary.AppendUvarint(s.key, uint64(size))
		start := len(s.key)
		s.key = append(s.key, make([]byte, size)...)
		if _, err := r.MarshalToSizedBufferVT(s.key[start:]); err != nil {
			return shape{resources, amountsOf(resources)}
		}
	}
	if known, ok := s.known[string(s.key)]; ok {
		return known
	}
	if s.known == nil || len(s.known) >= maxShapes {
		s.known = map[string]shape{}
	}
	fresh := shape{resources, amountsOf(resources)}
	s.known[string(s.key)] = fresh
	return fresh
}

// shareIDs has a record's identifiers be those that its framework, its agent and itself have already.
func (rec *Task) shareIDs(f *framework, a *agent) {
	if id := f.rec.Info.GetId(); id.GetValue() == rec.Base.GetFrameworkId().GetValue() {
		rec.Base.FrameworkId = id
	}
	if id := a.rec.Info.GetId(); id.GetValue() == rec.Base.GetAgentId().GetValue() {
		rec.Base.AgentId = id
	}
	for _, status := range rec.Statuses {
		rec.shareWith(status)
	}
}

// shareWith has a status that just came use the record's identifiers.
func (rec *Task) shareWith(status *mesos.TaskStatus) {
	if status.GetTaskId().GetValue() == rec.Base.GetTaskId().GetValue() {
		status.TaskId = rec.Base.TaskId
	}
	if status.AgentId != nil && status.AgentId.GetValue() == rec.Base.GetAgentId().GetValue() {
		status.AgentId = rec.Base.AgentId
	}
}
