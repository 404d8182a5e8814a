package linux

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"

	specs "github.com/opencontainers/runtime-spec/specs-go"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/disk"
	"agora.dev/agora/agent/isolators/disk/xfs"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/resources"
)

// Projects are the options of the isolator disk/xfs.
type Projects struct {
	// IDs are those that containers get (Mesos --xfs_project_range).
	IDs resources.Ranges
	// Work is the directory that sandboxes are in, and Roots are further ones that volumes are in.
	Work  string
	Roots []string
	// Kill ends a container that has more than it was given, where quotas are enforced; else its writes fail (Mesos
	// --xfs_kill_containers).
	Kill bool
}

// openProjects returns nil when the isolator is off.
func openProjects(c Config) (*xfs.Isolator, error) {
	d := c.Isolation.Disk
	if !c.Isolation.On.Has(isolation.DiskXFS) {
		return nil, nil
	}
	policy := xfs.Account
	switch {
	case d.Enforce && d.Projects.Kill:
		policy = xfs.Kill
	case d.Enforce:
		policy = xfs.Refuse
	}
	out, err := xfs.Open(xfs.Options{Dirs: []string{d.Projects.Work, c.Dir}, Roots: d.Projects.Roots, Projects: d.Projects.IDs, Policy: policy})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", isolation.DiskXFS, err)
	}
	return out, nil
}

func (c *Containerizer) closeProjects() error {
	if c.projects == nil {
		return nil
	}
	return c.projects.Close()
}

// giveProjects makes the sandbox and the volumes of a container projects, and puts what it writes beside them into that
// of its sandbox. A nested container is in its pod's, as in Mesos.
func (c *Containerizer) giveProjects(ctx context.Context, b *box, spec containerizer.Spec) error {
	if c.projects == nil {
		return nil
	}
	var own []string
	if _, nested := spec.ID.Parent(); !nested {
		own = append(own, spec.Sandbox)
	}
	for _, v := range spec.Persistent {
		if v.Source != "" && !v.Mount {
			own = append(own, v.Source)
		}
	}
	for _, dir := range own {
		if err := c.projects.Give(ctx, dir); err != nil {
			return fmt.Errorf("isolator %s: %w", isolation.DiskXFS, err)
		}
	}
	if err := c.weighCopies(ctx, b); err != nil {
		return err
	}
	if err := c.boundProjects(b.id); err != nil { // with room for copies of images
		return err
	}
	beside, err := c.besideSandbox(b)
	if err != nil {
		return err
	}
	for _, dir := range beside {
		if err := c.projects.Join(ctx, dir, spec.Sandbox); err != nil {
			return fmt.Errorf("isolator %s: %w", isolation.DiskXFS, err)
		}
	}
	return nil
}

// weighCopies looks how many bytes copies of images take: while one was written, XFS kept more for it.
func (c *Containerizer) weighCopies(ctx context.Context, b *box) error {
	weighed := slices.Clone(b.Copies)
	for i, one := range weighed {
		bytes, err := disk.Usage(ctx, filepath.Join(c.dir(b.id), one.Dir))
		if err != nil {
			return err
		}
		weighed[i].Bytes = bytes
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	b.Copies = weighed
	return nil
}

// besideSandbox are the directories where a container changes images.
func (c *Containerizer) besideSandbox(b *box) (out []string, err error) {
	for _, name := range []string{"upper", "work", "volume*/upper", "volume*/work"} {
		found, err := filepath.Glob(filepath.Join(c.dir(b.id), name))
		if err != nil {
			return nil, err
		}
		out = append(out, found...)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, one := range b.Copies {
		out = append(out, filepath.Join(c.dir(b.id), one.Dir))
	}
	return out, nil
}

// boundProjects makes the file systems keep what a container was given, and its pod.
func (c *Containerizer) boundProjects(id containerizer.ID) error {
	if c.projects == nil {
		return nil
	}
	quotas := c.quotas(id)
	if parent, nested := id.Parent(); nested {
		if err := c.boundProjects(parent); err != nil {
			return err
		}
	} else if b, err := c.find(id); err == nil && b.Disk.Sandbox != "" && !slices.ContainsFunc(quotas, func(q disk.Quota) bool { return q.Sandbox }) {
		quotas = append(quotas, disk.Quota{Path: b.Disk.Sandbox}) // without a resource, without a bound
	}
	for _, q := range quotas {
		if q.Mount {
			continue
		}
		bytes := q.Bytes
		if q.Sandbox {
			bytes += c.imageBytes(id)
		}
		if err := c.projects.Bound(q.Path, bytes); err != nil {
			return fmt.Errorf("isolator %s: %w", isolation.DiskXFS, err)
		}
	}
	return nil
}

// imageBytes is what copies of images take in the project of a container; that is not the container's.
func (c *Containerizer) imageBytes(id containerizer.ID) (bytes uint64) {
	for _, w := range c.writable(id) {
		bytes += w.image
	}
	return bytes
}

// takeRoom takes the room for copies of images that a nested container had from its pod.
func (c *Containerizer) takeRoom(b *box) {
	parent, nested := b.id.Parent()
	if !nested || len(b.Copies) == 0 {
		return
	}
	if err := c.boundProjects(parent); err != nil {
		c.log.Warn("disk of container not bounded", "container", parent, "error", err)
	}
}

// quotas are the directories of a container that have a bound of their own.
func (c *Containerizer) quotas(id containerizer.ID) []disk.Quota {
	c.mu.Lock()
	defer c.mu.Unlock()
	b, ok := c.boxes[id]
	if !ok {
		return nil
	}
	out := b.Disk.quotas()
	if _, nested := id.Parent(); nested && c.projects != nil {
		out = slices.DeleteFunc(out, func(q disk.Quota) bool { return q.Sandbox })
	}
	return out
}

// counted is what the file systems count for the directories of a container. It leaves out disks of their own, and a
// container that is older than the isolator.
func (c *Containerizer) counted(id containerizer.ID) map[string]uint64 {
	out := map[string]uint64{}
	for _, q := range c.quotas(id) {
		if q.Mount {
			continue
		}
		bytes, ok, err := c.projects.Used(q.Path)
		if err != nil {
			c.log.Warn("disk usage of container not known", "directory", q.Path, "error", err)
		}
		if ok && q.Sandbox {
			bytes -= min(bytes, c.imageBytes(id))
		}
		if ok {
			out[q.Path] = bytes
		}
	}
	return out
}

// keepProjects takes away from a container the system calls by which the owner of a file takes it out of its project.
// In a user namespace the kernel refuses them by itself.
func (c *Containerizer) keepProjects(filter *specs.LinuxSeccomp) {
	if c.projects == nil || !c.config.Isolation.Disk.Enforce || filter == nil {
		return
	}
	for _, call := range []uint64{xfs.SetAttribute, xfs.SetFlags} {
		// The kernel looks at the lower half of the number only.
		rule := specs.LinuxSyscall{Names: []string{"ioctl"}, Action: specs.ActErrno,
			Args: []specs.LinuxSeccompArg{{Index: 1, Value: 0xffffffff, ValueTwo: call, Op: specs.OpMaskedEqual}}}
		filter.Syscalls = slices.Insert(filter.Syscalls, 0, rule)
	}
	filter.Syscalls = slices.Insert(filter.Syscalls, 0, specs.LinuxSyscall{Names: []string{"file_setattr"}, Action: specs.ActErrno})
}
