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
	"agora.dev/agora/internal/vfs"
)

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
	wanted := make(map[containerizer.ID]bool, len(known))
	for _, id := range known {
		wanted[id] = true
	}
	for _, f := range slices.Backward(found) {
		if id := containerizer.ID(f.ID); f.Parent != "" || !wanted[id] {
			if err := c.drop(ctx, id); err != nil {
				return nil, fmt.Errorf("recover containers: %w", err)
			}
		}
	}
	found = slices.DeleteFunc(found, func(f launcher.Container) bool { return f.Parent != "" || !wanted[containerizer.ID(f.ID)] })
	if err := c.recoverNetworks(found); err != nil {
		return nil, err
	}
	out := make([]containerizer.Recovered, 0, len(found))
	boxes := make([]*box, 0, len(found))
	for _, f := range found {
		b, r, err := c.adopt(containerizer.ID(f.ID), f)
		if err != nil {
			return nil, fmt.Errorf("recover containers: %w", err)
		}
		out, boxes = append(out, r), append(boxes, b)
	}
	if err := c.sweep(); err != nil {
		return nil, err
	}
	c.mu.Lock()
	c.adopted, c.recovered = boxes, true
	c.mu.Unlock()
	return out, nil
}

// attend waits for the ends of adopted containers, from when somebody asks for one. They are taken up
// one after the other, so that a thousand of them do not hold up the rest of the agent's start; what
// happened before, the launcher and the kernel still know.
func (c *Containerizer) attend() {
	c.mu.Lock()
	defer c.mu.Unlock()
	boxes := c.adopted
	if c.adopted = nil; len(boxes) == 0 || c.closed {
		return
	}
	c.work.Go(func() {
		for _, b := range boxes {
			select {
			case <-c.closing:
				return
			default:
			}
			c.observe(b)
			go c.await(b)
		}
	})
}

func (c *Containerizer) drop(ctx context.Context, id containerizer.ID) error {
	if err := c.config.Launcher.Destroy(ctx, string(id)); err != nil && !errors.Is(err, launcher.ErrUnknownContainer) {
		return err
	}
	if err := c.config.Launcher.Remove(ctx, string(id)); err != nil && !errors.Is(err, launcher.ErrUnknownContainer) {
		return err
	}
	return c.removeDir(id)
}

func (c *Containerizer) adopt(id containerizer.ID, f launcher.Container) (*box, containerizer.Recovered, error) {
	b := newBox(id)
	b.pid = f.PID
	close(b.ready)
	if data, err := (vfs.OS{}).ReadFile(filepath.Join(c.dir(id), "state.json")); err == nil {
		if err := json.Unmarshal(data, &b.state); err != nil {
			return nil, containerizer.Recovered{}, fmt.Errorf("container %s: %w", id, err)
		}
	}
	c.adoptGPUs(b)
	c.mu.Lock()
	err := c.lives.Begin(id, true)
	c.boxes[id] = b
	c.rounds.add(b, outputSoonest*time.Duration(1+len(c.boxes)%len(c.rounds.slots[1:]))) // not all at once
	c.config.Isolation.NetClasses.Reserve(b.NetClass)
	c.config.Isolation.Users.Reserve(b.UserFirst)
	c.mu.Unlock()
	if err != nil {
		return nil, containerizer.Recovered{}, err
	}
	if err := c.boundProjects(id); err != nil && f.Exit == nil {
		c.log.Warn("disk of container not bounded", "container", id, "error", err)
	}
	r := containerizer.Recovered{ID: id, PID: f.PID, Networks: c.networkInfos(id), Cgroups: c.cgroupInfo(id)}
	if f.Exit != nil {
		ended := b.termination(*f.Exit)
		r.PID, r.Ended = 0, &ended
	}
	return b, r, nil
}

// sweep removes the files of containers that nobody has any more.
func (c *Containerizer) sweep() error {
	entries, err := os.ReadDir(filepath.Join(c.config.Dir, "containers"))
	if err != nil {
		return fmt.Errorf("recover containers: %w", err)
	}
	for _, e := range entries {
		if _, err := c.find(containerizer.ID(e.Name())); err != nil {
			if err := c.removeDir(containerizer.ID(e.Name())); err != nil {
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
	c.attend()
	if err := containerizer.Await(ctx, b.ended); err != nil {
		return containerizer.Termination{}, err
	}
	return b.result, nil
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
		if err := containerizer.Await(ctx, b.ready); err != nil {
			return fmt.Errorf("destroy container %s: %w", each, err)
		}
		err = c.config.Launcher.Destroy(ctx, string(each))
		if err != nil && !errors.Is(err, launcher.ErrUnknownContainer) {
			c.failedDestroys.Add(1)
			return fmt.Errorf("destroy container %s: %w", each, err)
		}
	}
	return nil
}

// Figures gives the containerizer's metrics under Mesos's names.
func (c *Containerizer) Figures(emit func(name string, value float64)) {
	emit("containerizer/mesos/container_destroy_errors", float64(c.failedDestroys.Load()))
	emit("containerizer/mesos/provisioner/remove_container_errors", float64(c.failedRemovals.Load()))
	if c.projects != nil {
		c.projects.Figures(emit)
	}
	if c.groups != nil {
		c.groups.Figures(emit)
	}
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
	c.lives.Forget(id)
	c.declassify(b)
	c.releaseUsers(b)
	delete(c.boxes, id)
	c.mu.Unlock()
	c.takeRoom(b)
	return nil
}

// Status implements containerizer.Containerizer.
func (c *Containerizer) Status(_ context.Context, id containerizer.ID) (*mesos.ContainerStatus, error) {
	b, err := c.find(id)
	if err != nil {
		return nil, err
	}
	pid := uint32(b.pid)
	return &mesos.ContainerStatus{ContainerId: id.Proto(), ExecutorPid: &pid, NetworkInfos: c.networkInfos(id), CgroupInfo: c.cgroupInfo(id)}, nil
}
