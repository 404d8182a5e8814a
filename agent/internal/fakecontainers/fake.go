// Package fakecontainers is a containerizer without containers, for the tests of the
// agent's shell.
//
// It promises the order of the contract (a parent ends after its children, Wait may come
// late) and that its containers outlive the agent: a Machine is shared by the agents that
// run on it one after the other. It refuses to run anything.
package fakecontainers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"syscall"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Machine holds containers. It implements containerizer.Containerizer.
type Machine struct {
	mu         sync.Mutex
	pid        int
	containers map[containerizer.ID]*fake
	changed    chan struct{} // closed and replaced at each change
}

type fake struct {
	spec    containerizer.Spec
	pid     int
	done    chan struct{}
	how     containerizer.Termination
	signals []syscall.Signal
}

// New makes a machine without containers.
func New() *Machine {
	return &Machine{pid: 100, containers: map[containerizer.ID]*fake{}, changed: make(chan struct{})}
}

func (m *Machine) change() {
	close(m.changed)
	m.changed = make(chan struct{})
}

// Await returns the spec of the first live container that accept takes.
func (m *Machine) Await(ctx context.Context, accept func(containerizer.Spec) bool) (containerizer.Spec, error) {
	for {
		m.mu.Lock()
		for _, f := range m.containers {
			if f.live() && accept(f.spec) {
				m.mu.Unlock()
				return f.spec, nil
			}
		}
		changed := m.changed
		m.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return containerizer.Spec{}, ctx.Err()
		}
	}
}

func (f *fake) live() bool {
	select {
	case <-f.done:
		return false
	default:
		return true
	}
}

// End ends a container with a raw wait status.
func (m *Machine) End(id containerizer.ID, status int32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(id, containerizer.Termination{Status: &status})
}

func (m *Machine) end(id containerizer.ID, how containerizer.Termination) {
	killed := int32(9)
	for child, f := range m.containers {
		if strings.HasPrefix(string(child), string(id)+".") && f.live() {
			f.how = containerizer.Termination{Status: &killed}
			close(f.done)
		}
	}
	if f := m.containers[id]; f != nil && f.live() {
		f.how = how
		close(f.done)
	}
	m.change()
}

// Live counts the containers that run.
func (m *Machine) Live() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, f := range m.containers {
		if f.live() {
			n++
		}
	}
	return n
}

// Recover adopts the known containers and ends the others.
func (m *Machine) Recover(_ context.Context, known []containerizer.ID) ([]containerizer.Recovered, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keep := map[containerizer.ID]bool{}
	for _, id := range known {
		keep[id] = true
	}
	var out []containerizer.Recovered
	for id, f := range m.containers {
		switch {
		case !keep[id]:
			m.end(id, containerizer.Termination{})
			delete(m.containers, id)
		case f.live():
			out = append(out, containerizer.Recovered{ID: id, PID: f.pid})
		default:
			how := f.how
			out = append(out, containerizer.Recovered{ID: id, Ended: &how})
		}
	}
	return out, nil
}

// Launch begins a container. One whose command is "no such command" fails.
func (m *Machine) Launch(ctx context.Context, spec containerizer.Spec) (int, error) {
	if spec.Command.GetValue() == "no such command" {
		return 0, errors.New("no such command: command not found")
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.containers[spec.ID] != nil {
		return 0, fmt.Errorf("container %s exists", spec.ID)
	}
	m.pid++
	m.containers[spec.ID] = &fake{spec: spec, pid: m.pid, done: make(chan struct{})}
	m.change()
	return m.pid, nil
}

func (m *Machine) find(id containerizer.ID) (*fake, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.containers[id]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("container %s does not exist", id)
}

// Wait blocks until the container has ended.
func (m *Machine) Wait(ctx context.Context, id containerizer.ID) (containerizer.Termination, error) {
	f, err := m.find(id)
	if err != nil {
		return containerizer.Termination{}, err
	}
	select {
	case <-f.done:
		return f.how, nil
	case <-ctx.Done():
	}
	if !f.live() {
		return f.how, nil
	}
	return containerizer.Termination{}, ctx.Err()
}

// Signal ends the container, unless its command ignores signals.
func (m *Machine) Signal(_ context.Context, id containerizer.ID, signal syscall.Signal) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	f := m.containers[id]
	if f == nil {
		return fmt.Errorf("container %s does not exist", id)
	}
	f.signals = append(f.signals, signal)
	if f.spec.Command.GetValue() != "ignore signals" {
		status := int32(signal)
		m.end(id, containerizer.Termination{Status: &status})
	}
	return nil
}

// Destroy kills a container.
func (m *Machine) Destroy(_ context.Context, id containerizer.ID) error {
	m.End(id, int32(syscall.SIGKILL))
	return nil
}

// Remove forgets an ended container.
func (m *Machine) Remove(_ context.Context, id containerizer.ID) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.containers[id]; f != nil && f.live() {
		return fmt.Errorf("remove container %s: %w", id, containerizer.ErrRunning)
	}
	delete(m.containers, id)
	m.change()
	return nil
}

// Update accepts any resources.
func (m *Machine) Update(context.Context, containerizer.ID, []*mesos.Resource, map[string]float64) error {
	return nil
}

// Status describes a container.
func (m *Machine) Status(_ context.Context, id containerizer.ID) (*mesos.ContainerStatus, error) {
	f, err := m.find(id)
	if err != nil {
		return nil, err
	}
	pid := uint32(f.pid)
	return &mesos.ContainerStatus{ContainerId: id.Proto(), ExecutorPid: &pid}, nil
}

// Usage measures nothing but the time.
func (m *Machine) Usage(_ context.Context, id containerizer.ID) (*mesos.ResourceStatistics, error) {
	if _, err := m.find(id); err != nil {
		return nil, err
	}
	return &mesos.ResourceStatistics{Timestamp: new(float64)}, nil
}

// Exec runs a session that echoes its input and says "hello" on stderr.
func (m *Machine) Exec(_ context.Context, exec containerizer.Exec) (containerizer.Session, error) {
	in, out := io.Pipe()
	return &echo{in: in, out: out, stderr: strings.NewReader("hello"), done: make(chan struct{}), tty: exec.TTY}, nil
}

type echo struct {
	in     *io.PipeReader
	out    *io.PipeWriter
	stderr io.Reader
	done   chan struct{}
	once   sync.Once
	tty    bool
}

func (e *echo) Stdin() io.WriteCloser       { return e.out }
func (e *echo) Stdout() io.Reader           { return e.in }
func (e *echo) Stderr() io.Reader           { return e.stderr }
func (e *echo) Resize(uint16, uint16) error { return nil }

func (e *echo) Wait(ctx context.Context) (containerizer.Termination, error) {
	status := int32(0)
	return containerizer.Termination{Status: &status}, ctx.Err()
}

func (e *echo) Close() error {
	e.once.Do(func() { close(e.done); e.out.Close(); e.in.Close() })
	return nil
}
