package linux

import (
	"context"
	"errors"
	"io/fs"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/disk"
	"agora.dev/agora/agent/isolators/isolation"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Disk are the options of the isolators disk/du and disk/xfs.
type Disk struct {
	// WatchInterval is how often containers are measured, and projects that are free are looked for; 0 means 15 s
	// (Mesos --container_disk_watch_interval).
	WatchInterval time.Duration
	// Enforce ends a container that has more on disk than it was given, or with disk/xfs lets its writes fail (Mesos
	// --enforce_container_disk_quota).
	Enforce bool
	// Projects are of disk/xfs.
	Projects Projects
}

// storage is what a later agent needs to know of what a container keeps on disk.
type storage struct {
	Sandbox   string
	Volumes   []containerizer.PersistentVolume `json:",omitempty"`
	Resources [][]byte                         `json:",omitempty"` // of type disk, encoded
}

// keep notes the container's resources of type disk.
func (s *storage) keep(resources []*mesos.Resource) error {
	s.Resources = nil
	for _, r := range resources {
		if r.GetName() != "disk" {
			continue
		}
		encoded, err := proto.Marshal(r)
		if err != nil {
			return err
		}
		s.Resources = append(s.Resources, encoded)
	}
	return nil
}

// quotas are the directories of the container that have a bound.
func (s *storage) quotas() []disk.Quota {
	var resources []*mesos.Resource
	for _, encoded := range s.Resources {
		r := &mesos.Resource{}
		if proto.Unmarshal(encoded, r) == nil {
			resources = append(resources, r)
		}
	}
	return disk.Plan(s.Sandbox, resources, s.Volumes)
}

// measure looks at the disk usage of all containers, one after the other, until the
// containerizer is closed. It pauses for as long as it worked, at least.
func (c *Containerizer) measure() {
	ctx, cancel := context.WithCancel(context.Background())
	c.work.Go(func() {
		<-c.closing
		cancel()
	})
	for pause := c.config.Isolation.Disk.WatchInterval; ; {
		wait := time.NewTimer(pause)
		select {
		case <-wait.C:
		case <-ctx.Done():
			wait.Stop()
			return
		}
		began := time.Now()
		if c.projects != nil {
			if err := c.projects.Refresh(); err != nil {
				c.log.Warn("projects of removed directories stay in use", "error", err)
			}
		}
		for _, b := range c.running() {
			c.measureOne(ctx, b)
		}
		pause = max(c.config.Isolation.Disk.WatchInterval, time.Since(began))
	}
}

func (c *Containerizer) measureOne(ctx context.Context, b *box) {
	quotas := c.quotas(b.id)
	if c.projects != nil {
		c.judge(b, quotas)
		return
	}
	used := map[string]uint64{}
	for _, q := range quotas {
		bytes, err := c.diskUsage(ctx, b.id, q)
		if ctx.Err() != nil {
			return
		}
		enforced := c.config.Isolation.Disk.Enforce && !q.Mount
		switch deep := errors.Is(err, disk.ErrTooDeep); {
		case deep && enforced:
			c.limit(b, q.Unmeasurable(disk.ErrTooDeep))
			continue
		case err != nil && !deep:
			c.log.Warn("disk usage of container not measured", "container", b.id, "error", err)
			continue
		}
		used[q.Path] = bytes
		if end, over := q.Exceeded(bytes); over && enforced {
			c.limit(b, end)
		}
	}
	c.mu.Lock()
	b.diskUsed = used
	c.mu.Unlock()
}

// judge ends a container by what the file system counts.
func (c *Containerizer) judge(b *box, quotas []disk.Quota) {
	if !c.config.Isolation.Disk.Enforce || !c.config.Isolation.Disk.Projects.Kill {
		return
	}
	used := c.counted(b.id)
	for _, q := range quotas {
		if end, over := q.Exceeded(used[q.Path]); over {
			c.limit(b, end)
		}
	}
}

// diskUsage measures one bounded directory. What a container with an image writes beside its sandbox counts as in it,
// and so does what its nested containers write there.
func (c *Containerizer) diskUsage(ctx context.Context, id containerizer.ID, q disk.Quota) (uint64, error) {
	total, err := disk.Usage(ctx, q.Path)
	if err != nil || !q.Sandbox {
		return total, err
	}
	for _, w := range c.writable(id) {
		bytes, err := disk.Usage(ctx, w.dir)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return total, err
		}
		total += bytes - min(bytes, w.image)
	}
	return total, nil
}

// measures reports whether disk usage is looked at.
func (c *Containerizer) measures() bool {
	return c.config.Isolation.On.Has(isolation.DiskDu) || c.projects != nil
}
