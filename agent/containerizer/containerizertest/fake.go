// Package containerizertest holds the suite that every containerizer passes, and a
// fake one that passes it: containers that are records, and end when they are told.
//
// It promises that the fake follows the same life cycle as a real one. It refuses to
// run anything.
package containerizertest

import (
	"context"
	"fmt"
	"sync"
	"syscall"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Fake implements containerizer.Containerizer in memory. Containers outlive Recover,
// as real ones outlive the agent.
type Fake struct {
	// Refuse, when set, is asked before each launch; its error fails it.
	Refuse func(containerizer.Spec) error

	mu    sync.Mutex
	lives *containerizer.Lives
	all   map[containerizer.ID]*fakeContainer
	pids  int
}

type fakeContainer struct {
	spec   containerizer.Spec
	pid    int
	ended  chan struct{}
	result containerizer.Termination
}

// NewFake returns a host without containers.
func NewFake() *Fake {
	return &Fake{lives: containerizer.NewLives(), all: map[containerizer.ID]*fakeContainer{}, pids: 1000}
}

// Recover implements containerizer.Containerizer.
func (f *Fake) Recover(ctx context.Context, known []containerizer.ID) ([]containerizer.Recovered, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	wanted := map[containerizer.ID]bool{}
	for _, id := range known {
		wanted[id] = true
	}
	var out []containerizer.Recovered
	for id, c := range f.all {
		switch {
		case !wanted[id] || c.spec.Class == containerizer.Debug:
			f.end(id, killed())
			f.lives.Forget(id)
			delete(f.all, id)
		case c.done():
			result := c.result
			out = append(out, containerizer.Recovered{ID: id, Ended: &result})
		default:
			out = append(out, containerizer.Recovered{ID: id, PID: c.pid})
		}
	}
	return out, ctx.Err()
}

// Launch implements containerizer.Containerizer.
func (f *Fake) Launch(ctx context.Context, spec containerizer.Spec) (int, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if f.Refuse != nil {
		if err := f.Refuse(spec); err != nil {
			return 0, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.lives.Begin(spec.ID, false); err != nil {
		return 0, err
	}
	if err := f.lives.Advance(spec.ID, containerizer.Running); err != nil {
		return 0, err
	}
	f.pids++
	f.all[spec.ID] = &fakeContainer{spec: spec, pid: f.pids, ended: make(chan struct{})}
	return f.pids, nil
}

// Finish ends a container with an exit code, as its command would.
func (f *Fake) Finish(id containerizer.ID, code int) {
	status := int32(code) << 8
	f.Terminate(id, containerizer.Termination{Status: &status})
}

// Terminate ends a container in any way.
func (f *Fake) Terminate(id containerizer.ID, how containerizer.Termination) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.end(id, how)
}

// Spec returns what a container was launched with.
func (f *Fake) Spec(id containerizer.ID) (containerizer.Spec, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.all[id]
	if !ok {
		return containerizer.Spec{}, false
	}
	return c.spec, true
}

func (f *Fake) end(id containerizer.ID, how containerizer.Termination) {
	c, ok := f.all[id]
	if !ok || c.done() {
		return
	}
	for _, orphan := range f.lives.End(id) {
		f.end(orphan, killed())
	}
	c.result = how
	close(c.ended)
}

func (c *fakeContainer) done() bool {
	select {
	case <-c.ended:
		return true
	default:
		return false
	}
}

func killed() containerizer.Termination {
	status := int32(syscall.SIGKILL)
	return containerizer.Termination{Status: &status}
}

func (f *Fake) find(id containerizer.ID) (*fakeContainer, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.all[id]
	if !ok {
		return nil, fmt.Errorf("container %s: %w", id, containerizer.ErrUnknown)
	}
	return c, nil
}

// Wait implements containerizer.Containerizer.
func (f *Fake) Wait(ctx context.Context, id containerizer.ID) (containerizer.Termination, error) {
	c, err := f.find(id)
	if err != nil {
		return containerizer.Termination{}, err
	}
	select {
	case <-c.ended:
		return c.result, nil
	case <-ctx.Done():
		return containerizer.Termination{}, ctx.Err()
	}
}

// Signal implements containerizer.Containerizer: a fake command dies of any signal
// that kills by default.
func (f *Fake) Signal(_ context.Context, id containerizer.ID, signal syscall.Signal) error {
	if _, err := f.find(id); err != nil {
		return err
	}
	switch signal {
	case syscall.SIGTERM, syscall.SIGKILL, syscall.SIGINT, syscall.SIGHUP:
		status := int32(signal)
		f.Terminate(id, containerizer.Termination{Status: &status})
	}
	return nil
}

// Destroy implements containerizer.Containerizer.
func (f *Fake) Destroy(_ context.Context, id containerizer.ID) error {
	if _, err := f.find(id); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, each := range f.lives.Destroy(id) {
		f.end(each, killed())
	}
	return nil
}

// Remove implements containerizer.Containerizer.
func (f *Fake) Remove(_ context.Context, id containerizer.ID) error {
	c, err := f.find(id)
	if err != nil {
		return err
	}
	if !c.done() {
		return fmt.Errorf("remove container %s: it has not ended", id)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lives.Forget(id)
	delete(f.all, id)
	return nil
}

// Update implements containerizer.Containerizer.
func (f *Fake) Update(_ context.Context, id containerizer.ID, resources []*mesos.Resource, limits map[string]float64) error {
	c, err := f.find(id)
	if err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	c.spec.Resources, c.spec.Limits = resources, limits
	return nil
}

// Status implements containerizer.Containerizer.
func (f *Fake) Status(_ context.Context, id containerizer.ID) (*mesos.ContainerStatus, error) {
	c, err := f.find(id)
	if err != nil {
		return nil, err
	}
	pid := uint32(c.pid)
	return &mesos.ContainerStatus{ContainerId: id.Proto(), ExecutorPid: &pid}, nil
}

// Usage implements containerizer.Containerizer; a record uses nothing, at time zero.
func (f *Fake) Usage(_ context.Context, id containerizer.ID) (*mesos.ResourceStatistics, error) {
	if _, err := f.find(id); err != nil {
		return nil, err
	}
	var now float64
	return &mesos.ResourceStatistics{Timestamp: &now}, nil
}

// Exec implements containerizer.Containerizer by refusing: a record has no terminal.
func (f *Fake) Exec(_ context.Context, exec containerizer.Exec) (containerizer.Session, error) {
	return nil, fmt.Errorf("exec %s: this containerizer runs nothing", exec.ID)
}

var _ containerizer.Containerizer = (*Fake)(nil)
