package docker

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Recover implements containerizer.Containerizer.
func (c *Containerizer) Recover(ctx context.Context, known []containerizer.ID) ([]containerizer.Recovered, error) {
	list, err := c.ours(ctx)
	if err != nil {
		return nil, err
	}
	var out []containerizer.Recovered
	for _, one := range list {
		id := containerizer.ID(one.Labels[labelContainer])
		if !slices.Contains(known, id) || one.State == container.StateCreated {
			if err := c.orphan(ctx, id, one.State == container.StateRunning); err != nil {
				return nil, fmt.Errorf("recover containers of the Docker Engine: %w", err)
			}
			continue
		}
		r, err := c.adopt(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("recover containers of the Docker Engine: %w", err)
		}
		out = append(out, r)
	}
	return out, nil
}

// orphan is a container that no task has. What has ended is kept for a while.
func (c *Containerizer) orphan(ctx context.Context, id containerizer.ID, running bool) error {
	if running && c.config.KeepOrphans {
		return nil
	}
	if running {
		c.log.Warn("orphan container removed", "container", id)
		return c.erase(ctx, id)
	}
	return c.eraseLater(ctx, id)
}

// Stop removes all containers of this agent from the Engine.
func (c *Containerizer) Stop(ctx context.Context) error {
	list, err := c.ours(ctx)
	for _, one := range list {
		err = errors.Join(err, c.erase(ctx, containerizer.ID(one.Labels[labelContainer])))
	}
	return err
}

// ours are the containers of this agent, ended ones included.
func (c *Containerizer) ours(ctx context.Context) ([]container.Summary, error) {
	list, err := c.engine.ContainerList(ctx, client.ContainerListOptions{All: true, Filters: client.Filters{}.Add("label", labelAgent+"="+c.config.Agent)})
	if err != nil {
		return nil, fmt.Errorf("list containers of the Docker Engine: %w", err)
	}
	return slices.DeleteFunc(list.Items, func(s container.Summary) bool { return s.Labels[labelContainer] == "" }), nil
}

func (c *Containerizer) adopt(ctx context.Context, id containerizer.ID) (containerizer.Recovered, error) {
	found, err := c.engine.ContainerInspect(ctx, name(id), client.ContainerInspectOptions{})
	if err != nil {
		return containerizer.Recovered{}, err
	}
	b, err := c.begin(id, true, nil)
	if err != nil {
		return containerizer.Recovered{}, err
	}
	out := containerizer.Recovered{ID: id, PID: found.Container.State.Pid, Networks: networkInfos(found.Container)}
	c.mu.Lock()
	b.pid = out.PID
	c.mu.Unlock()
	close(b.ready)
	if found.Container.State.Running {
		c.adoptGPUs(id, found.Container.Config.Labels)
	}
	if !found.Container.State.Running {
		ended := c.termination(b, found.Container.State)
		out.PID, out.Ended = 0, &ended
	}
	c.watch(b)
	return out, nil
}

// Wait implements containerizer.Containerizer.
func (c *Containerizer) Wait(ctx context.Context, id containerizer.ID) (containerizer.Termination, error) {
	b, err := c.find(id)
	if err != nil {
		return containerizer.Termination{}, err
	}
	if err := containerizer.Await(ctx, b.ended); err != nil {
		return containerizer.Termination{}, err
	}
	return b.result, nil
}

// Signal implements containerizer.Containerizer.
func (c *Containerizer) Signal(ctx context.Context, id containerizer.ID, signal syscall.Signal) error {
	b, err := c.find(id)
	if err != nil {
		return err
	}
	return c.signal(ctx, b, signal)
}

func (c *Containerizer) signal(ctx context.Context, b *box, signal syscall.Signal) error {
	select {
	case <-b.ended:
		return nil
	default:
	}
	c.mu.Lock()
	b.sent = signal
	exec, pid := b.exec, b.pid
	c.mu.Unlock()
	if b.nested() {
		return c.signalExec(ctx, exec, pid, signal)
	}
	_, err := c.engine.ContainerKill(ctx, name(b.id), client.ContainerKillOptions{Signal: fmt.Sprint(int(signal))})
	if errdefs.IsNotFound(err) || errdefs.IsConflict(err) { // it has just ended
		return nil
	}
	return err
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
		if err := c.signal(ctx, b, syscall.SIGKILL); err != nil {
			return fmt.Errorf("destroy container %s: %w", each, err)
		}
	}
	return nil
}

// Remove implements containerizer.Containerizer. The Engine keeps the container for RemoveDelay.
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
	if !b.nested() {
		if err := c.eraseLater(ctx, id); err != nil {
			return err
		}
	}
	c.forget(b)
	return nil
}

// eraseLater has the Engine keep a container that has ended for RemoveDelay; what we keep of it goes
// at once. An agent that ends before leaves it to the next.
func (c *Containerizer) eraseLater(ctx context.Context, id containerizer.ID) error {
	if c.config.RemoveDelay <= 0 {
		return c.erase(ctx, id)
	}
	found, err := c.engine.ContainerInspect(ctx, name(id), client.ContainerInspectOptions{})
	if err != nil {
		return c.erase(ctx, id)
	}
	delay := c.config.RemoveDelay
	if at, err := time.Parse(time.RFC3339Nano, found.Container.State.FinishedAt); err == nil {
		delay -= time.Since(at)
	}
	c.work.Go(func() {
		select {
		case <-time.After(delay):
			// By the Engine's own id: the name may be that of a later container by now.
			if err := c.remove(c.ctx, found.Container.ID); err != nil {
				c.log.Warn("container stays in the Docker Engine", "container", id, "error", err)
			}
		case <-c.ctx.Done():
		}
	})
	return os.RemoveAll(c.dir(id))
}

// Update implements containerizer.Containerizer.
func (c *Containerizer) Update(ctx context.Context, id containerizer.ID, list []*mesos.Resource, limits map[string]float64) error {
	b, err := c.find(id)
	if err != nil {
		return err
	}
	if b.nested() {
		return nil // it has no resources of its own
	}
	if err := c.keepGPUs(id, list); err != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	wanted := resources(list, limits, c.config.Rules)
	_, err = c.engine.ContainerUpdate(ctx, name(id), client.ContainerUpdateOptions{Resources: &wanted})
	if err == nil {
		return nil
	}
	// An Engine refuses a memory limit below what is used: the old one stays then.
	wanted.Memory, wanted.MemorySwap, wanted.MemoryReservation = 0, 0, 0
	if _, again := c.engine.ContainerUpdate(ctx, name(id), client.ContainerUpdateOptions{Resources: &wanted}); again != nil {
		return fmt.Errorf("update container %s: %w", id, err)
	}
	c.log.Warn("memory limit of container is not changed", "container", id, "error", err)
	return nil
}

// Status implements containerizer.Containerizer.
func (c *Containerizer) Status(ctx context.Context, id containerizer.ID) (*mesos.ContainerStatus, error) {
	b, err := c.find(id)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	pid := uint32(b.pid)
	c.mu.Unlock()
	out := &mesos.ContainerStatus{ContainerId: id.Proto(), ExecutorPid: &pid}
	root := id.Root()
	if found, err := c.engine.ContainerInspect(ctx, name(root), client.ContainerInspectOptions{}); err == nil {
		out.NetworkInfos = networkInfos(found.Container)
	}
	return out, nil
}

// networkInfos are the networks of a container; none on the host's.
func networkInfos(found container.InspectResponse) (out []*mesos.NetworkInfo) {
	if found.NetworkSettings == nil {
		return nil
	}
	for network, at := range found.NetworkSettings.Networks {
		info := &mesos.NetworkInfo{}
		if found.HostConfig.NetworkMode.IsUserDefined() {
			info.Name = &network
		}
		for _, address := range []netip.Addr{at.IPAddress, at.GlobalIPv6Address} {
			if address.IsValid() {
				protocol, text := mesos.NetworkInfo_IPv4, address.String()
				if address.Is6() {
					protocol = mesos.NetworkInfo_IPv6
				}
				info.IpAddresses = append(info.IpAddresses, &mesos.NetworkInfo_IPAddress{Protocol: &protocol, IpAddress: &text})
			}
		}
		if len(info.IpAddresses) > 0 {
			out = append(out, info)
		}
	}
	return out
}
