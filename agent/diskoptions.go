package agent

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"agora.dev/agora/agent/isolators/disk/xfs"
	"agora.dev/agora/agent/isolators/isolation"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/resources"
)

// DiskOptions are those of the isolators disk/du and disk/xfs, under the names of Mesos.
type DiskOptions struct {
	// ContainerDiskWatchInterval is how often containers are looked at, and EnforceDiskQuota keeps them to what they
	// were given.
	ContainerDiskWatchInterval time.Duration
	EnforceDiskQuota           bool
	// XFSProjectRange is as [5000-10000].
	XFSProjectRange   string
	XFSKillContainers bool
}

func defaultDisk() DiskOptions {
	return DiskOptions{ContainerDiskWatchInterval: 15 * time.Second, XFSProjectRange: "[5000-10000]"}
}

func (c *Config) diskFlags(set *flags.Set) {
	set.Duration(&c.ContainerDiskWatchInterval, "container_disk_watch_interval",
		"how often the isolators disk/du and disk/xfs look at what containers have on disk, and for project ids that are free")
	set.Bool(&c.EnforceDiskQuota, "enforce_container_disk_quota",
		"keep containers to the disk that they were given: disk/du ends those that have more, disk/xfs lets their writes fail; needs one of the two")
	set.String(&c.XFSProjectRange, "xfs_project_range", "project ids that the isolator disk/xfs gives to sandboxes and volumes; nobody else may use them")
	set.Bool(&c.XFSKillContainers, "xfs_kill_containers", "let disk/xfs end containers that have more than they were given; their writes fail 10 MB later")
}

func (c *Config) checkDisk(on isolation.Set) error {
	du, kernel := on.Has(isolation.DiskDu), on.Has(isolation.DiskXFS)
	_, err := c.Projects()
	switch {
	case c.ContainerDiskWatchInterval <= 0:
		return errors.New("--container_disk_watch_interval must be above 0")
	case err != nil:
		return err
	case du && kernel:
		return errors.New("--isolation: disk/du and disk/xfs do the same; name one of them")
	case c.EnforceDiskQuota && !du && !kernel:
		return errors.New("--enforce_container_disk_quota needs an isolator that measures: add disk/du to --isolation, or disk/xfs where the work directory is on XFS")
	case c.XFSKillContainers && !kernel:
		return errors.New("--xfs_kill_containers needs the isolator disk/xfs: add it to --isolation")
	case c.XFSKillContainers && !c.EnforceDiskQuota:
		return errors.New("--xfs_kill_containers needs --enforce_container_disk_quota, without which no container is over its quota")
	case kernel && os.Geteuid() != 0:
		return errors.New("--isolation: disk/xfs needs an agent that runs as root; start it so, or use disk/du")
	}
	return nil
}

// Projects reads the option about ids of projects.
func (c *Config) Projects() (resources.Ranges, error) {
	out, err := xfs.ParseRange(c.XFSProjectRange)
	if err != nil {
		return nil, fmt.Errorf("--xfs_project_range: %w", err)
	}
	return out, nil
}

// VolumeRoots are the disks among the resources that persistent volumes are made in, but for the work directory's.
func (c *Config) VolumeRoots() (out []string, err error) {
	given, err := parseResources(c.Resources, c.DefaultRole)
	if err != nil {
		return nil, fmt.Errorf("--resources: %w", err)
	}
	for _, r := range given {
		source := r.GetDisk().GetSource()
		if root := source.GetPath().GetRoot(); source.GetType() == mesos.Resource_DiskInfo_Source_PATH && root != "" {
			if !filepath.IsAbs(root) {
				root = filepath.Join(c.WorkDir, root) // as agent/checkpoint has it
			}
			out = append(out, root)
		}
	}
	return out, nil
}
