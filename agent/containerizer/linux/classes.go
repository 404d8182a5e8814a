package linux

import (
	"fmt"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/isolation"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// classify gives a container with groups of its own a network class, when the agent has
// handles to give. It is freed when the groups are gone.
func (c *Containerizer) classify(b *box, oci *specs.Spec) error {
	if !c.config.Isolation.On.Has(isolation.NetCls) || !c.config.Isolation.NetClasses.Given() || b.Shares {
		return nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	class, err := c.config.Isolation.NetClasses.Allocate()
	if err != nil {
		return fmt.Errorf("isolator %s: %w", isolation.NetCls, err)
	}
	b.NetClass = class
	oci.Linux.Resources.Network = &specs.LinuxNetwork{ClassID: &class}
	return nil
}

// declassify frees the network class of a container; the mutex is held.
func (c *Containerizer) declassify(b *box) {
	if b.NetClass != 0 {
		c.config.Isolation.NetClasses.Free(b.NetClass)
		b.NetClass = 0
	}
}

// cgroupInfo is what a framework may know of the groups of a container: one in those of
// another has that one's. Nil when there is nothing.
func (c *Containerizer) cgroupInfo(id containerizer.ID) *mesos.CgroupInfo {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.boxes[id]
	for b != nil && b.Shares {
		parent, _ := b.id.Parent()
		b = c.boxes[parent]
	}
	if b == nil || b.NetClass == 0 {
		return nil
	}
	class := b.NetClass
	return &mesos.CgroupInfo{NetCls: &mesos.CgroupInfo_NetCls{Classid: &class}}
}
