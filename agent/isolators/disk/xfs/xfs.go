// Package xfs bounds what containers keep on disk by project quotas of XFS: each sandbox and each persistent volume is a
// project of its own, and the file system counts and refuses (Mesos isolator disk/xfs).
//
// It promises that no two directories have one project, across restarts of the agent and beside other agents, without a
// record of its own: a project belongs to a directory by the directory's attribute, and is in use as long as the file
// system counts a file for it. It refuses file systems that cannot keep a quota, and projects that are somebody else's.
package xfs

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"agora.dev/agora/resources"
)

// Policy says what becomes of a bound.
type Policy int

// Policies of Mesos.
const (
	// Account counts, and refuses nothing.
	Account Policy = iota
	// Refuse lets writes beyond the bound fail (--enforce_container_disk_quota).
	Refuse
	// Kill lets a container write a little more, so that its end can be told by it (--xfs_kill_containers).
	Kill
)

// slack is how much more than its bound a container can write before it is ended, in bytes. Mesos xfs/disk.cpp.
const slack = 10 << 20

// Options are what an Isolator is made of.
type Options struct {
	// Dirs are on the file system of sandboxes, the work directory first.
	Dirs []string
	// Roots are further directories where volumes are, each on a file system of any.
	Roots []string
	// Projects are the ids that this agent may use.
	Projects resources.Ranges
	Policy   Policy
}

// ParseRange reads ids of projects, as [5000-10000].
func ParseRange(text string) (resources.Ranges, error) {
	out, err := resources.ParseRanges(text)
	switch {
	case err != nil || len(out) == 0:
		return nil, fmt.Errorf("%q is not of the form [5000-10000]", text)
	case out[0].Begin == 0:
		return nil, errors.New("project 0 stands for no project; begin at 1 or above")
	case out[len(out)-1].End >= math.MaxUint32:
		return nil, fmt.Errorf("projects end at %d", uint32(math.MaxUint32-1))
	}
	return out, nil
}

// Isolator keeps the projects of an agent on all its file systems. It is safe for use from several goroutines at once.
type Isolator struct {
	options Options
	mu      sync.Mutex
	closed  bool
	main    *projects
	all     map[uint64]*projects // by device
}

// Open starts the isolator.
func Open(o Options) (*Isolator, error) {
	if err := unnamed("/", o.Projects); err != nil {
		return nil, err
	}
	x := &Isolator{options: o, all: map[uint64]*projects{}}
	for i, dir := range append(append([]string{}, o.Dirs...), o.Roots...) {
		dir = existing(dir)
		p, err := x.of(dir)
		if err == nil {
			err = p.fs.outside(dir)
		}
		switch {
		case err != nil:
			return nil, errors.Join(err, x.Close())
		case i == 0:
			x.main = p
		case i < len(o.Dirs) && p != x.main:
			return nil, errors.Join(fmt.Errorf("%s is on %s, and %s on %s: what a container writes beside its sandbox could not count for it; put both on one file system",
				dir, p.fs.mount, o.Dirs[0], x.main.fs.mount), x.Close())
		}
	}
	return x, nil
}

// of finds the projects of a directory's file system; the caller needs not hold the mutex.
func (x *Isolator) of(dir string) (*projects, error) {
	var st unix.Stat_t
	if err := unix.Stat(dir, &st); err != nil {
		return nil, &os.PathError{Op: "stat", Path: dir, Err: err}
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	if p := x.all[uint64(st.Dev)]; p != nil {
		return p, nil
	}
	if x.closed {
		return nil, os.ErrClosed
	}
	fs, err := openFileSystem(dir, x.options.Policy != Account)
	if err != nil {
		return nil, err
	}
	p, err := openProjects(fs, x.options.Projects)
	if err != nil {
		return nil, errors.Join(err, fs.dir.Close())
	}
	x.all[fs.device] = p
	return p, nil
}

// Give makes a directory a project of its own, with all that is in it; one that is keeps its project.
func (x *Isolator) Give(ctx context.Context, dir string) error {
	p, err := x.of(dir)
	if err != nil {
		return err
	}
	return p.give(ctx, dir)
}

// Join puts a directory into the project of another one, if that has one. Both are of this agent's, on the file
// system of sandboxes.
func (x *Isolator) Join(ctx context.Context, dir, other string) error {
	id, err := project(other)
	if err != nil || !contains(x.options.Projects, id) {
		return err
	}
	return assign(ctx, dir, id)
}

// Bound limits a directory that is a project by the policy, in bytes; 0 lifts the limit.
func (x *Isolator) Bound(dir string, bytes uint64) error {
	id, err := project(dir)
	if err != nil || !contains(x.options.Projects, id) {
		return err
	}
	p, err := x.of(dir)
	if err != nil {
		return err
	}
	soft, hard := bytes, bytes
	switch {
	case x.options.Policy == Account:
		soft, hard = 0, 0
	case x.options.Policy == Kill && bytes > 0:
		hard += slack
	}
	return p.fs.limit(id, soft, hard)
}

// Used is how many bytes a directory has that is a project; ok is false when it is none of this agent's.
func (x *Isolator) Used(dir string) (bytes uint64, ok bool, err error) {
	id, err := project(dir)
	if err != nil || !contains(x.options.Projects, id) {
		return 0, false, err
	}
	p, err := x.of(dir)
	if err != nil {
		return 0, false, err
	}
	q, err := p.fs.quota(id)
	return q.blocks * basicBlock, err == nil, err
}

// Refresh frees the projects of directories that are gone.
func (x *Isolator) Refresh() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	var errs []error
	for _, p := range x.all {
		errs = append(errs, p.refresh())
	}
	return errors.Join(errs...)
}

// Figures gives the metrics of Mesos's isolator: those of the file system of sandboxes.
func (x *Isolator) Figures(emit func(name string, value float64)) {
	total := x.options.Projects.Size()
	emit("containerizer/mesos/disk/project_ids_total", float64(total))
	emit("containerizer/mesos/disk/project_ids_free", float64(total-x.main.inUse()))
}

// Close lets go of the projects; what they bound stays bounded.
func (x *Isolator) Close() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.closed = true
	var errs []error
	for device, p := range x.all {
		errs = append(errs, p.close())
		delete(x.all, device)
	}
	return errors.Join(errs...)
}

func contains(ids resources.Ranges, id uint32) bool {
	return ids.Contains(resources.NewRanges(resources.Range{Begin: uint64(id), End: uint64(id)}))
}
