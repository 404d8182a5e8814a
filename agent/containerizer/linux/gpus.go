package linux

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/devices"
	"agora.dev/agora/agent/isolators/gpu"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/launcher/template"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// gpus are the options of the isolator gpu/nvidia. The mutex covers a change as a whole: pool,
// group, record.
type gpus struct {
	gpu.Supply
	mu sync.Mutex
}

// openGPUs returns nil when the isolator is off.
func openGPUs(i Isolation) (*gpus, error) {
	if !i.On.Has(isolation.GPU) {
		return nil, nil
	}
	if i.GPUs.Driver == nil {
		return nil, errors.New(isolation.GPU + ": no driver was found")
	}
	return &gpus{Supply: i.GPUs}, nil
}

// giveGPUs gives a container what its resources name, and the driver's files where its image
// asks for them.
func (c *Containerizer) giveGPUs(b *box, oci *specs.Spec, p placing) error {
	if c.gpus == nil {
		return nil
	}
	count, err := gpu.Count(containerizer.Scalar(p.spec.Resources, "gpus"))
	if err != nil {
		return err
	}
	if err := c.takeGPUs(b, count); err != nil {
		return err
	}
	list := c.gpus.Driver.Devices(b.GPUs)
	oci.Linux.Resources.Devices = append(oci.Linux.Resources.Devices, list.Rules()...)
	if p.root == nil {
		return nil
	}
	oci.Linux.Devices = append(oci.Linux.Devices, list.Nodes()...)
	if p.root.Config.Labels[gpu.VolumeLabel] != gpu.VolumeName {
		return nil
	}
	files, err := c.gpus.Driver.Files()
	for _, f := range files {
		oci.Mounts = append(oci.Mounts, specs.Mount{Destination: f.Destination, Source: f.Source, Type: "bind", Options: []string{"bind", "ro", "nosuid", "nodev"}})
	}
	return err
}

// takeGPUs: a pod's belong to its root, whose group must allow them before a nested one's
// can.
func (c *Containerizer) takeGPUs(b *box, count int) error {
	c.gpus.mu.Lock()
	defer c.gpus.mu.Unlock()
	if _, nested := b.id.Parent(); !nested {
		if err := c.gpus.Pool.Resize(string(b.id), count); err != nil {
			return err
		}
		b.GPUs = c.gpus.Pool.Of(string(b.id))
		return nil
	}
	if err := c.gpus.Pool.Take(string(b.id), count); err != nil {
		return err
	}
	b.GPUs = c.gpus.Pool.Of(string(b.id))
	name, _, _ := strings.Cut(string(b.id), ".")
	root, err := c.find(containerizer.ID(name))
	if err != nil {
		return err
	}
	return c.regroup(root)
}

// resizeGPUs fits a container to its resources. Those that it no longer has are taken from
// its group, whatever is open stays open.
func (c *Containerizer) resizeGPUs(b *box, resources []*mesos.Resource) error {
	if _, nested := b.id.Parent(); nested || c.gpus == nil {
		return nil
	}
	count, err := gpu.Count(containerizer.Scalar(resources, "gpus"))
	if err != nil {
		return err
	}
	c.gpus.mu.Lock()
	defer c.gpus.mu.Unlock()
	if err := c.gpus.Pool.Resize(string(b.id), count); err != nil {
		return err
	}
	if err := c.regroup(b); err != nil {
		return err
	}
	c.mu.Lock()
	now := b.state
	c.mu.Unlock()
	return now.save(c.dir(b.id)) // after the one that Update has written
}

// regroup makes a root's group and record follow the pool.
func (c *Containerizer) regroup(root *box) error {
	after := c.gpus.Pool.Of(string(root.id))
	c.mu.Lock()
	before := root.GPUs
	root.GPUs = after
	now := root.state
	c.mu.Unlock()
	if slices.Equal(before, after) {
		return nil
	}
	if group, ok := c.group(now); ok {
		rules := c.gpus.changed(before, after)
		if group.V2 { // has one program, which says all
			rules = slices.Concat(template.Devices(), c.config.Isolation.Devices.Rules(), c.gpus.Driver.Devices(after).Rules())
		}
		if err := group.Set(&specs.LinuxResources{Devices: rules}); err != nil && group.Exists() {
			return fmt.Errorf("GPUs of container %s: %w", root.id, err)
		}
	}
	return now.save(c.dir(root.id))
}

// changed are the rules that make one set of GPUs another.
func (g *gpus) changed(before, after []int) (out []specs.LinuxDeviceCgroup) {
	was, is := g.Driver.Devices(before), g.Driver.Devices(after)
	for _, each := range []struct {
		from, but devices.List
		allow     bool
	}{{was, is, false}, {is, was, true}} {
		gone := slices.DeleteFunc(slices.Clone(each.from), func(d devices.Device) bool { return slices.Contains(each.but, d) })
		for _, rule := range gone.Rules() {
			rule.Allow = each.allow
			out = append(out, rule)
		}
	}
	return out
}

// adoptGPUs notes what a recovered container has.
func (c *Containerizer) adoptGPUs(b *box) {
	if c.gpus == nil {
		return
	}
	c.gpus.mu.Lock()
	defer c.gpus.mu.Unlock()
	if err := c.gpus.Pool.Adopt(string(b.id), b.GPUs); err != nil {
		c.log.Warn("a container has a GPU that this agent does not offer", "container", b.id, "error", err)
	}
}

// releaseGPUs takes them back from a container that has ended. A nested one's stay with its
// pod, whose size tells when they leave it.
func (c *Containerizer) releaseGPUs(id containerizer.ID) {
	if c.gpus == nil {
		return
	}
	c.gpus.mu.Lock()
	defer c.gpus.mu.Unlock()
	c.gpus.Pool.Release(string(id))
}
