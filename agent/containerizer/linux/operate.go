package linux

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/launcher"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// state is the part of a box that a later agent needs.
type state struct {
	Cgroup      string
	CPUs, MemMB float64 // requested
	LimitCPUs   float64 // 0 for none
	Debug       bool
	Layers      []string `json:",omitempty"` // of its image
}

func (s state) save(dir string) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "state.json"), b, 0o600)
}

// termination explains an exit record. Mesos mem.cpp: the message names the request
// and the maximum that was used.
func (b *box) termination(exit launcher.Exit) containerizer.Termination {
	out := containerizer.Termination{}
	if exit.Known || exit.Status != 0 {
		out.Status = &exit.Status
	}
	if !exit.OOM || exit.Status == 0 {
		return out
	}
	const mib = 1 << 20
	out.State = mesos.TaskState_TASK_FAILED
	out.Reason = mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY
	out.Message = fmt.Sprintf("Memory limit exceeded: Requested: %gMB Limit: %dMB Maximum Used: %dMB", b.MemMB, exit.Limit/mib, exit.Peak/mib)
	name, kind, value := "mem", mesos.Value_SCALAR, float64(exit.Peak)/mib
	out.Limited = []*mesos.Resource{{Name: &name, Type: &kind, Scalar: &mesos.Value_Scalar{Value: &value}}}
	return out
}

// Recover implements containerizer.Containerizer.
func (c *Containerizer) Recover(ctx context.Context, known []containerizer.ID) ([]containerizer.Recovered, error) {
	if err := c.secrets.Clear(); err != nil {
		return nil, fmt.Errorf("recover containers: %w", err)
	}
	found, err := c.config.Launcher.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("recover containers: %w", err)
	}
	// Parents before children.
	slices.SortFunc(found, func(a, b launcher.Container) int {
		if n := strings.Count(a.ID, ".") - strings.Count(b.ID, "."); n != 0 {
			return n
		}
		return strings.Compare(a.ID, b.ID)
	})
	var out []containerizer.Recovered
	for _, f := range slices.Backward(found) {
		if id := containerizer.ID(f.ID); f.Parent != "" || !slices.Contains(known, id) {
			if err := c.drop(ctx, id); err != nil {
				return nil, fmt.Errorf("recover containers: %w", err)
			}
		}
	}
	if err := c.recoverNetworks(found, known); err != nil {
		return nil, err
	}
	for _, f := range found {
		id := containerizer.ID(f.ID)
		if f.Parent != "" || !slices.Contains(known, id) {
			continue
		}
		r, err := c.adopt(id, f)
		if err != nil {
			return nil, fmt.Errorf("recover containers: %w", err)
		}
		out = append(out, r)
	}
	return out, c.sweep()
}

func (c *Containerizer) drop(ctx context.Context, id containerizer.ID) error {
	if err := c.config.Launcher.Destroy(ctx, string(id)); err != nil && !errors.Is(err, launcher.ErrUnknownContainer) {
		return err
	}
	if err := c.config.Launcher.Remove(ctx, string(id)); err != nil && !errors.Is(err, launcher.ErrUnknownContainer) {
		return err
	}
	return os.RemoveAll(c.dir(id))
}

func (c *Containerizer) adopt(id containerizer.ID, f launcher.Container) (containerizer.Recovered, error) {
	b := newBox(id)
	b.pid = f.PID
	close(b.ready)
	if data, err := os.ReadFile(filepath.Join(c.dir(id), "state.json")); err == nil {
		if err := json.Unmarshal(data, &b.state); err != nil {
			return containerizer.Recovered{}, fmt.Errorf("container %s: %w", id, err)
		}
	}
	c.mu.Lock()
	err := c.lives.Begin(id, true)
	c.boxes[id] = b
	c.mu.Unlock()
	if err != nil {
		return containerizer.Recovered{}, err
	}
	r := containerizer.Recovered{ID: id, PID: f.PID, Networks: c.networkInfos(id)}
	if f.Exit != nil {
		ended := b.termination(*f.Exit)
		r.PID, r.Ended = 0, &ended
	}
	go c.await(b)
	return r, nil
}

// sweep removes the files of containers that nobody has any more.
func (c *Containerizer) sweep() error {
	entries, err := os.ReadDir(filepath.Join(c.config.Dir, "containers"))
	if err != nil {
		return fmt.Errorf("recover containers: %w", err)
	}
	for _, e := range entries {
		if _, err := c.find(containerizer.ID(e.Name())); err != nil {
			if err := os.RemoveAll(filepath.Join(c.config.Dir, "containers", e.Name())); err != nil {
				return fmt.Errorf("recover containers: %w", err)
			}
		}
	}
	return nil
}

// Wait implements containerizer.Containerizer.
func (c *Containerizer) Wait(ctx context.Context, id containerizer.ID) (containerizer.Termination, error) {
	b, err := c.find(id)
	if err != nil {
		return containerizer.Termination{}, err
	}
	select {
	case <-b.ended:
		return b.result, nil
	case <-ctx.Done():
	}
	select {
	case <-b.ended:
		return b.result, nil
	default:
		return containerizer.Termination{}, ctx.Err()
	}
}

// Signal implements containerizer.Containerizer.
func (c *Containerizer) Signal(ctx context.Context, id containerizer.ID, signal syscall.Signal) error {
	if _, err := c.find(id); err != nil {
		return err
	}
	return c.config.Launcher.Signal(ctx, string(id), signal)
}

// Destroy implements containerizer.Containerizer. A launch under way is cancelled.
func (c *Containerizer) Destroy(ctx context.Context, id containerizer.ID) error {
	if _, err := c.find(id); err != nil {
		return err
	}
	c.mu.Lock()
	order := c.lives.Destroy(id)
	c.mu.Unlock()
	for _, each := range order {
		b, err := c.find(each)
		if err != nil {
			continue
		}
		if b.cancel != nil {
			b.cancel(errDestroyed)
		}
		select {
		case <-b.ready:
		case <-ctx.Done():
			return fmt.Errorf("destroy container %s: %w", each, ctx.Err())
		}
		err = c.config.Launcher.Destroy(ctx, string(each))
		if err != nil && !errors.Is(err, launcher.ErrUnknownContainer) {
			return fmt.Errorf("destroy container %s: %w", each, err)
		}
	}
	return nil
}

// Remove implements containerizer.Containerizer.
func (c *Containerizer) Remove(ctx context.Context, id containerizer.ID) error {
	b, err := c.find(id)
	if err != nil {
		return err
	}
	select {
	case <-b.ended:
	default:
		return fmt.Errorf("remove container %s: %w", id, containerizer.ErrRunning)
	}
	c.mu.Lock()
	children := c.lives.Children(id)
	c.mu.Unlock()
	for _, child := range children {
		if err := c.Remove(ctx, child); err != nil {
			return err
		}
	}
	if err := c.drop(ctx, id); err != nil {
		return fmt.Errorf("remove container %s: %w", id, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lives.Forget(id)
	delete(c.boxes, id)
	return nil
}

// Update implements containerizer.Containerizer. Mesos lowers no hard memory limit of
// a live container; neither do we.
func (c *Containerizer) Update(_ context.Context, id containerizer.ID, resources []*mesos.Resource, limits map[string]float64) error {
	b, err := c.find(id)
	if err != nil {
		return err
	}
	if b.Cgroup == "" || len(c.hierarchy.Mounts) == 0 {
		return nil
	}
	next := b.state
	wanted := c.limits(&next, resources, limits)
	group := c.hierarchy.At(b.Cgroup)
	if usage, err := group.Read(); err == nil && wanted.Memory != nil && *wanted.Memory.Limit > 0 &&
		(usage.Limit == 0 || uint64(*wanted.Memory.Limit) < usage.Limit) {
		wanted.Memory = &specs.LinuxMemory{Reservation: wanted.Memory.Reservation}
	}
	if err := group.Set(wanted); err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	c.mu.Lock()
	b.state = next
	c.mu.Unlock()
	return next.save(c.dir(id))
}

// Status implements containerizer.Containerizer.
func (c *Containerizer) Status(_ context.Context, id containerizer.ID) (*mesos.ContainerStatus, error) {
	b, err := c.find(id)
	if err != nil {
		return nil, err
	}
	pid := uint32(b.pid)
	return &mesos.ContainerStatus{ContainerId: id.Proto(), ExecutorPid: &pid, NetworkInfos: c.networkInfos(id)}, nil
}

// Usage implements containerizer.Containerizer.
func (c *Containerizer) Usage(_ context.Context, id containerizer.ID) (*mesos.ResourceStatistics, error) {
	b, err := c.find(id)
	if err != nil {
		return nil, err
	}
	now := float64(time.Now().UnixNano()) / 1e9
	out := &mesos.ResourceStatistics{Timestamp: &now}
	c.networkUsage(b, out)
	if b.Cgroup == "" || len(c.hierarchy.Mounts) == 0 {
		return out, nil
	}
	u, err := c.hierarchy.At(b.Cgroup).Read()
	if err != nil {
		return nil, fmt.Errorf("usage of container %s: %w", id, err)
	}
	user, system, throttled := u.User.Seconds(), u.System.Seconds(), u.ThrottledTime.Seconds()
	periods, nrThrottled, processes := uint32(u.Periods), uint32(u.Throttled), uint32(u.Processes)
	out.CpusUserTimeSecs, out.CpusSystemTimeSecs, out.CpusThrottledTimeSecs = &user, &system, &throttled
	out.CpusNrPeriods, out.CpusNrThrottled, out.Processes = &periods, &nrThrottled, &processes
	cpus := b.CPUs
	if b.LimitCPUs > 0 {
		cpus = b.LimitCPUs
	}
	out.CpusLimit = &cpus
	out.MemTotalBytes, out.MemRssBytes, out.MemCacheBytes = &u.Memory, &u.RSS, &u.Cache
	out.MemAnonBytes, out.MemFileBytes, out.MemMappedFileBytes, out.MemSwapBytes = &u.RSS, &u.Cache, &u.MappedFile, &u.Swap
	if u.Limit > 0 {
		out.MemLimitBytes = &u.Limit
	}
	soft := uint64(b.MemMB * (1 << 20))
	out.MemSoftLimitBytes = &soft
	return out, nil
}
