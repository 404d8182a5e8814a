package linux

import (
	"context"
	"fmt"
	"strings"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/launcher"
	mesos "agora.dev/agora/api/mesos/v1"
)

// limit ends a container that took more than it was given. The first reason stays; it is
// also that of the nested containers, which end with it.
func (c *Containerizer) limit(b *box, why containerizer.Termination) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if b.limitation != nil || b.closed || c.closed {
		return
	}
	b.limitation = &why
	for id, child := range c.boxes {
		if strings.HasPrefix(string(id), string(b.id)+".") && !child.closed && child.limitation == nil {
			child.limitation = &why
		}
	}
	c.work.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), containerizer.LaunchTimeout)
		defer cancel()
		if err := c.Destroy(ctx, b.id); err != nil {
			c.log.Error("container over its limit not destroyed", "container", b.id, "error", err)
		}
	})
}

// observe has the containerizer told when the container runs out of memory.
func (c *Containerizer) observe(b *box) {
	group, ok := c.group(b.state)
	if !ok || c.watcher == nil || !c.config.Isolation.On.Has(isolation.Memory) {
		return
	}
	watch, err := c.watcher.Watch(group, func() { c.exhausted(b, group, true) })
	if err != nil {
		// Its end is reported all the same, by the exit record.
		c.log.Warn("memory of container is not watched", "container", b.id, "error", err)
		return
	}
	c.mu.Lock()
	b.watch = watch
	c.mu.Unlock()
	c.exhausted(b, group, false) // it may have happened before
}

// exhausted ends a container whose memory limit made the kernel kill: also when that
// took only a helper, because what is left of a program is seldom of use.
func (c *Containerizer) exhausted(b *box, group cgroups.Group, told bool) {
	u := group.Exhaustion()
	// On v1 the news comes before the kernel has killed, and also of groups above.
	if u.LimitHit || told && !group.V2 && u.AtLimit() {
		c.limit(b, b.outOfMemory(u.Limit, u.Peak))
	}
}

// outOfMemory explains an exhausted memory limit. Mesos mem.cpp: the message names the
// request and the maximum that was used.
func (b *box) outOfMemory(limit, peak uint64) containerizer.Termination {
	out := containerizer.Termination{State: mesos.TaskState_TASK_FAILED, Reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION_MEMORY}
	out.Message = fmt.Sprintf("Memory limit exceeded: Requested: %gMB Limit: %dMB Maximum Used: %dMB Container: %s", b.MemMB, limit/mib, peak/mib, b.id)
	name, kind, value := "mem", mesos.Value_SCALAR, float64(peak)/mib
	out.Limited = []*mesos.Resource{{Name: &name, Type: &kind, Scalar: &mesos.Value_Scalar{Value: &value}}}
	return out
}

// termination explains an exit record.
func (b *box) termination(exit launcher.Exit) containerizer.Termination {
	out := containerizer.Termination{}
	switch {
	case b.limitation != nil:
		out = *b.limitation
	case exit.OOM && exit.Status != 0:
		out = b.outOfMemory(exit.Limit, exit.Peak)
	}
	if exit.Known || exit.Status != 0 {
		out.Status = &exit.Status
	}
	return out
}
