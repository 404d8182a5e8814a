package linux

import (
	"context"
	"fmt"
	"os"

	"agora.dev/agora/agent/isolators/volumegids"
	"agora.dev/agora/resources"
)

// VolumeGIDs are the groups of volumes that containers of several users share.
type VolumeGIDs struct {
	// IDs are those that volumes get (Mesos --volume_gid_range); nil for none.
	IDs resources.Ranges
	// File is the record of them, which outlives the machine's boot.
	File string
}

// openGroups returns nil when volumes get no groups.
func openGroups(i Isolation) (*volumegids.Groups, error) {
	if i.VolumeGIDs.IDs == nil {
		return nil, nil
	}
	out, err := volumegids.Open(i.VolumeGIDs.File, i.VolumeGIDs.IDs)
	if err != nil {
		return nil, fmt.Errorf("--volume_gid_range: %w", err)
	}
	return out, nil
}

// share puts a container whose user is not root into the group of a volume: a path below base, where no link leads out.
// Sandbox is the one that the volume is in; empty for a persistent volume.
func (p placing) share(ctx context.Context, base, path, sandbox string) error {
	if p.groups == nil || p.spec.Command == nil {
		return nil
	}
	owner, err := user(p.spec, p.root)
	if err != nil || owner.UID == 0 {
		return err
	}
	root, err := os.OpenRoot(base)
	if err != nil {
		return err
	}
	defer root.Close()
	dir, err := root.Open(path)
	if err != nil {
		return err
	}
	defer dir.Close()
	gid, err := p.groups.Share(ctx, dir, base+"/"+path, sandbox)
	if err != nil {
		return err
	}
	p.b.groups = append(p.b.groups, gid)
	return nil
}

// freeGroups gives back the groups of volumes that nobody has any more.
func (c *Containerizer) freeGroups() {
	if c.groups == nil {
		return
	}
	c.mu.Lock()
	live := map[string]bool{}
	for _, b := range c.boxes {
		live[b.Disk.Sandbox] = true
	}
	recovered := c.recovered
	c.mu.Unlock()
	if !recovered { // who is live is not known yet
		return
	}
	if err := c.groups.Refresh(func(sandbox string) bool { return live[sandbox] }); err != nil {
		c.log.Warn("groups of volumes not freed", "error", err)
	}
}
