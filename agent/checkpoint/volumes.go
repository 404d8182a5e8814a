package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"
	"strings"

	"agora.dev/agora/agent/core"
	checkpoint "agora.dev/agora/api/agora/checkpoint/v1"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Volume is the directory of a persistent volume: volumes/roles/ROLE/ID below the work
// directory or the root of a PATH disk, and a MOUNT disk as a whole. The role is that of the
// innermost reservation, with spaces for its slashes (no role has spaces). Empty: the resource
// is no volume of a kind that there is.
func (p Paths) Volume(r *mesos.Resource) string {
	id, n := r.GetDisk().GetPersistence().GetId(), len(r.GetReservations())
	if id == "" || n == 0 {
		return ""
	}
	root := p.diskRoot(r)
	if root == "" || r.GetDisk().GetSource().GetType() == mesos.Resource_DiskInfo_Source_MOUNT {
		return root
	}
	role := strings.ReplaceAll(r.GetReservations()[n-1].GetRole(), "/", " ")
	return filepath.Join(root, "volumes", "roles", role, name(id))
}

// diskRoot is where a disk is: the work directory for one without a source, and empty for
// kinds that there are not. A relative root is below the work directory, as in Mesos.
func (p Paths) diskRoot(r *mesos.Resource) string {
	root := p.Work
	switch source := r.GetDisk().GetSource(); source.GetType() {
	case mesos.Resource_DiskInfo_Source_PATH:
		root = source.GetPath().GetRoot()
	case mesos.Resource_DiskInfo_Source_MOUNT:
		root = source.GetMount().GetRoot()
	default:
		if source != nil {
			return ""
		}
	}
	if root != "" && !filepath.IsAbs(root) {
		root = filepath.Join(p.Work, root)
	}
	return root
}

// Trash is where the data of destroyed volumes of a disk waits for its removal.
func (p Paths) Trash(r *mesos.Resource) string {
	root := p.diskRoot(r)
	switch {
	case root == "":
		return ""
	case r.GetDisk().GetSource().GetType() == mesos.Resource_DiskInfo_Source_MOUNT:
		return filepath.Join(root, MountTrash)
	}
	return filepath.Join(root, "volumes", "removed")
}

// MountTrash is the trash within a MOUNT disk, which has no other place. Whoever uses the disk
// again removes it first.
const MountTrash = ".agora-removed"

// writeResources writes the state, and then removes and makes what it says.
func (s *Store) writeResources(w core.WriteResources) error {
	state := &checkpoint.ResourceState{Resources: w.Resources, Operations: w.Operations, Removing: w.Removing}
	if err := s.message(s.paths.resources(), state, true); err != nil {
		return err
	}
	return s.arrangeVolumes(state)
}

// arrangeVolumes makes the disk as the state says. A process that dies meanwhile, or loses
// power, does it at its next start.
func (s *Store) arrangeVolumes(state *checkpoint.ResourceState) error {
	kept := map[string]bool{}
	for _, v := range state.GetResources() {
		kept[s.paths.Volume(v)] = true
	}
	for _, v := range state.GetRemoving() {
		if kept[s.paths.Volume(v)] {
			continue
		}
		if err := s.discard(v); err != nil {
			return fmt.Errorf("remove volume %s: %w", v.GetDisk().GetPersistence().GetId(), err)
		}
	}
	for _, v := range state.GetResources() {
		if dir := s.paths.Volume(v); dir != "" && v.GetDisk().GetSource() == nil && !s.made[dir] {
			if err := s.mkdir(dir); err != nil {
				return fmt.Errorf("make volume %s: %w", v.GetDisk().GetPersistence().GetId(), err)
			}
			s.made[dir] = true
		}
	}
	return nil
}

// discard moves a volume's data to the trash: however much there is, that takes no time.
func (s *Store) discard(v *mesos.Resource) error {
	dir, trash := s.paths.Volume(v), s.paths.Trash(v)
	if dir == "" {
		return nil
	}
	delete(s.made, dir)
	if v.GetDisk().GetSource().GetType() != mesos.Resource_DiskInfo_Source_MOUNT {
		return s.moveAway(dir, trash)
	}
	entries, err := s.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if e.Name == MountTrash {
			continue
		}
		if err := s.moveAway(filepath.Join(dir, e.Name), trash); err != nil {
			return err
		}
	}
	return nil
}

// moveAway is durable when it returns: what was destroyed does not come back with the power.
func (s *Store) moveAway(path, trash string) error {
	if err := s.mkdir(trash); err != nil {
		return err
	}
	to := filepath.Join(trash, fmt.Sprintf("%s~%016x", name(filepath.Base(path)), rand.Uint64()))
	if err := s.fs.Rename(path, to); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	if err := s.fs.Sync(trash); err != nil {
		return err
	}
	return s.fs.Sync(filepath.Dir(path))
}

// resources reads the state, and carries out what a process that died left of it.
func (r *reader) resources(state *core.State) error {
	have := &checkpoint.ResourceState{}
	ok, err := r.message(r.paths.resources(), have)
	if err != nil || !ok {
		return err
	}
	state.Resources, state.Operations = have.GetResources(), have.GetOperations()
	return r.arrangeVolumes(have)
}
