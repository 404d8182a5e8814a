// Package statusupdates owns the streams of status updates of an agent: one per task,
// acknowledged by its framework.
//
// It promises that the updates of a task are sent in order, one at a time, again and
// again until acknowledged, that a duplicate is dropped, and that a stream closes when
// its terminal update is acknowledged. It refuses to know how an update is written to
// disk or sent: its caller does both, writing first.
package statusupdates

import (
	"bytes"
	"container/heap"
	"errors"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/planted"
)

// Retry delays of an update without acknowledgement (mesos.md §1.4).
const (
	FirstRetry = 10 * time.Second
	LastRetry  = 10 * time.Minute
)

// remembered bounds the uuids of acknowledged updates kept to drop duplicates.
const remembered = 32

// Key names a stream.
type Key struct{ Framework, Task string }

// Errors of Add and Acknowledge.
var (
	// ErrDuplicate: the update was received before.
	ErrDuplicate = errors.New("status update is a duplicate")
	// ErrTerminated: the task's terminal update was received before.
	ErrTerminated = errors.New("status update follows a terminal one")
	// ErrUnknownStream: no such stream is open.
	ErrUnknownStream = errors.New("no status update stream")
	// ErrUnexpected: the acknowledged uuid is not that of the update in flight.
	ErrUnexpected = errors.New("unexpected acknowledgement of a status update")
)

// Due is an update to send now.
type Due struct {
	Key    Key
	Status *mesos.TaskStatus
	// Latest is the state of the newest update of the stream.
	Latest mesos.TaskState
}

type stream struct {
	key      Key
	sequence uint64
	pending  []*mesos.TaskStatus
	acked    [][]byte
	terminal bool // a terminal update was added
	latest   mesos.TaskState
	retry    time.Duration
	at       time.Time // when pending[0] is sent next
	index    int       // in the heap; -1: not there
}

// Manager holds the streams. The zero value is not usable; see New.
type Manager struct {
	streams  map[Key]*stream
	queue    schedule
	paused   bool
	sequence uint64
}

// New makes a manager without streams. It is paused: nothing is due before Resume.
func New() *Manager {
	return &Manager{streams: map[Key]*stream{}, paused: true}
}

// Add appends an update, which has a uuid; the stream is opened by its first. When it
// is alone in its stream it is due at once.
func (m *Manager) Add(now time.Time, key Key, status *mesos.TaskStatus) error {
	s := m.streams[key]
	if s == nil {
		s = m.open(key)
	}
	if s.has(status.GetUuid()) {
		return ErrDuplicate
	}
	if s.terminal {
		return ErrTerminated
	}
	s.push(status)
	if len(s.pending) == 1 {
		m.arm(s, now)
	}
	return nil
}

// Check says what Add would, and changes nothing.
func (m *Manager) Check(key Key, status *mesos.TaskStatus) error {
	s := m.streams[key]
	switch {
	case s == nil:
		return nil
	case s.has(status.GetUuid()):
		return ErrDuplicate
	case s.terminal:
		return ErrTerminated
	}
	return nil
}

// Restore opens a stream with what was on disk: the updates in order, and the uuids of
// those acknowledged. A stream whose terminal update was acknowledged stays shut, and
// closed is true.
func (m *Manager) Restore(now time.Time, key Key, updates []*mesos.TaskStatus, acked [][]byte) (closed bool) {
	s := m.open(key)
	for _, status := range updates {
		if containsUUID(acked, status.GetUuid()) {
			s.remember(status.GetUuid())
			s.latest = status.GetState()
			s.terminal = s.terminal || Terminal(status.GetState())
			continue
		}
		if planted.Active("agent-lose-unacked-update") {
			continue
		}
		s.push(status)
	}
	if s.terminal && len(s.pending) == 0 {
		delete(m.streams, key)
		return true
	}
	if len(s.pending) > 0 {
		m.arm(s, now)
	}
	return false
}

// Acknowledge releases the update in flight. closed is true when it was terminal: the
// stream is gone. The next update, if any, is due at once.
func (m *Manager) Acknowledge(now time.Time, key Key, uuid []byte) (closed bool, err error) {
	s := m.streams[key]
	if s == nil {
		return false, ErrUnknownStream
	}
	early := len(s.pending) > 0 && planted.Active("updates-any-acknowledgement")
	if !early && (len(s.pending) == 0 || !bytes.Equal(s.pending[0].GetUuid(), uuid)) {
		if containsUUID(s.acked, uuid) {
			return false, ErrDuplicate
		}
		return false, ErrUnexpected
	}
	done := s.pending[0]
	s.pending = s.pending[1:]
	if planted.Active("updates-skip-to-last") && len(s.pending) > 1 {
		s.pending = s.pending[len(s.pending)-1:]
	}
	s.remember(uuid)
	if Terminal(done.GetState()) {
		m.Remove(key)
		return true, nil
	}
	if len(s.pending) == 0 {
		m.disarm(s)
		return false, nil
	}
	m.arm(s, now)
	return false, nil
}

// Front returns the oldest update without acknowledgement, or nil.
func (m *Manager) Front(key Key) *mesos.TaskStatus {
	if s := m.streams[key]; s != nil && len(s.pending) > 0 {
		return s.pending[0]
	}
	return nil
}

// Open says whether the stream exists.
func (m *Manager) Open(key Key) bool { return m.streams[key] != nil }

// Pending counts the updates of a stream without acknowledgement.
func (m *Manager) Pending(key Key) int {
	if s := m.streams[key]; s != nil {
		return len(s.pending)
	}
	return 0
}

// Remove closes a stream and drops what it holds.
func (m *Manager) Remove(key Key) {
	if s := m.streams[key]; s != nil {
		m.disarm(s)
		delete(m.streams, key)
	}
}

// Pause stops all sending: the master is out of reach.
func (m *Manager) Pause() { m.paused = true }

// Resume makes the head of every stream due at once.
func (m *Manager) Resume(now time.Time) {
	m.paused = false
	for _, s := range m.queue {
		s.retry, s.at = 0, now
	}
	heap.Init(&m.queue)
}

// Due returns what is to be sent now, oldest first, and plans each one's retry.
func (m *Manager) Due(now time.Time) []Due {
	if m.paused {
		return nil
	}
	var due []Due
	for len(m.queue) > 0 && !m.queue[0].at.After(now) {
		s := m.queue[0]
		due = append(due, Due{Key: s.key, Status: s.pending[0], Latest: s.latest})
		s.retry = min(max(FirstRetry, 2*s.retry), LastRetry)
		s.at = now.Add(s.retry)
		heap.Fix(&m.queue, 0)
	}
	return due
}

// Wake returns when Due has something to say next; zero: never.
func (m *Manager) Wake() time.Time {
	if m.paused || len(m.queue) == 0 {
		return time.Time{}
	}
	return m.queue[0].at
}

func (m *Manager) open(key Key) *stream {
	m.sequence++
	s := &stream{key: key, sequence: m.sequence, index: -1}
	m.streams[key] = s
	return s
}

func (m *Manager) arm(s *stream, now time.Time) {
	s.retry, s.at = 0, now
	if s.index < 0 {
		heap.Push(&m.queue, s)
		return
	}
	heap.Fix(&m.queue, s.index)
}

func (m *Manager) disarm(s *stream) {
	if s.index >= 0 {
		heap.Remove(&m.queue, s.index)
	}
}

func (s *stream) push(status *mesos.TaskStatus) {
	s.pending = append(s.pending, status)
	s.latest = status.GetState()
	s.terminal = s.terminal || Terminal(status.GetState())
}

func (s *stream) has(uuid []byte) bool {
	for _, p := range s.pending {
		if bytes.Equal(p.GetUuid(), uuid) {
			return true
		}
	}
	return containsUUID(s.acked, uuid)
}

func (s *stream) remember(uuid []byte) {
	s.acked = append(s.acked, uuid)
	if len(s.acked) > remembered {
		s.acked = s.acked[1:]
	}
}

func containsUUID(list [][]byte, uuid []byte) bool {
	for _, have := range list {
		if bytes.Equal(have, uuid) {
			return true
		}
	}
	return false
}

// Terminal says whether a task in this state has ended for good.
func Terminal(state mesos.TaskState) bool {
	switch state {
	case mesos.TaskState_TASK_FINISHED, mesos.TaskState_TASK_FAILED, mesos.TaskState_TASK_KILLED,
		mesos.TaskState_TASK_ERROR, mesos.TaskState_TASK_LOST, mesos.TaskState_TASK_DROPPED,
		mesos.TaskState_TASK_GONE, mesos.TaskState_TASK_GONE_BY_OPERATOR:
		return true
	}
	return false
}
