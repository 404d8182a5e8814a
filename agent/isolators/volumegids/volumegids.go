// Package volumegids lets tasks of several users write to one volume: the volume belongs to a group of its own, in which
// each of them is (Mesos's volume gid manager, --volume_gid_range).
//
// It promises that no two volumes have one group at a time, restarts of the agent included, and that what a task puts into
// a volume while it is given to the group leads nowhere else. It refuses groups that the machine has.
package volumegids

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"

	"agora.dev/agora/resources"
)

// highest is that of the kernel's ids which launchers take.
const highest = 1<<31 - 1

// ParseRange reads ids of groups, as [10000-20000].
func ParseRange(text string) (resources.Ranges, error) {
	out, err := resources.ParseRanges(text)
	switch {
	case err != nil || len(out) == 0:
		return nil, fmt.Errorf("%q is not of the form [10000-20000]", text)
	case out[0].Begin == 0:
		return nil, errors.New("group 0 is root's; begin at 1 or above")
	case out[len(out)-1].End > highest:
		return nil, fmt.Errorf("groups end at %d", highest)
	}
	return out, nil
}

// volume is what is recorded of one.
type volume struct {
	Gid uint32
	// Sandbox is that of the container whose directory it is; empty for a persistent volume.
	Sandbox string `json:",omitempty"`
}

// Groups are those that volumes of an agent get. It is safe for use from several goroutines at once.
type Groups struct {
	ids  resources.Ranges
	file string

	mu      sync.Mutex
	volumes map[string]volume // by path
	last    uint32            // the group that was given last
}

// Open reads what an earlier agent gave. Groups of the machine in the range are an error.
func Open(file string, ids resources.Ranges) (*Groups, error) {
	if err := unnamed("/etc/group", ids); err != nil {
		return nil, err
	}
	g := &Groups{ids: ids, file: file, volumes: map[string]volume{}}
	data, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return g, nil
	}
	if err == nil {
		err = json.Unmarshal(data, &g.volumes)
	}
	if err != nil {
		return nil, fmt.Errorf("groups of volumes: read %s: %w", file, err)
	}
	return g, nil
}

// unnamed verifies that no group of the machine is in a range.
func unnamed(file string, ids resources.Ranges) error {
	f, err := os.Open(file)
	if err != nil {
		return nil // without it there are none
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		fields := strings.Split(lines.Text(), ":")
		if len(fields) < 3 {
			continue
		}
		if id, err := strconv.ParseUint(fields[2], 10, 32); err == nil && contains(ids, uint32(id)) {
			return fmt.Errorf("group %s of this machine has the id %d; give a range without it", fields[0], id)
		}
	}
	return nil
}

// Share gives a volume to a group of its own, unless it has one, and returns which. Dir is the volume, open, path its
// name, and sandbox that of the container whose directory it is; empty for a persistent volume.
func (g *Groups) Share(ctx context.Context, dir *os.File, path, sandbox string) (uint32, error) {
	path = filepath.Clean(path)
	gid, err := g.take(dir, path, sandbox)
	if err == nil && !given(dir, gid) {
		err = give(ctx, dir, gid)
	}
	if err != nil {
		return 0, fmt.Errorf("group of volume %s: %w", path, err)
	}
	return gid, nil
}

// take finds the group of a volume, and records it before a file has it.
func (g *Groups) take(dir *os.File, path, sandbox string) (uint32, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if v, ok := g.outermost(path); ok {
		return v.Gid, nil
	}
	used := g.used()
	gid, ok := groupOf(dir) // that a lost record had
	for n := g.ids.Size(); !ok || !contains(g.ids, gid) || used[gid]; n-- {
		if n == 0 {
			return 0, fmt.Errorf("all %d of --volume_gid_range %s are in use; widen it", g.ids.Size(), g.ids)
		}
		g.last = after(g.ids, g.last)
		gid, ok = g.last, true
	}
	g.volumes[path] = volume{gid, sandbox}
	if err := g.save(); err != nil {
		delete(g.volumes, path)
		return 0, err
	}
	return gid, nil
}

// outermost finds the volume that a path is, or is in.
func (g *Groups) outermost(path string) (out volume, ok bool) {
	for ; path != filepath.Dir(path); path = filepath.Dir(path) {
		if v, have := g.volumes[path]; have {
			out, ok = v, true
		}
	}
	return out, ok
}

func (g *Groups) used() map[uint32]bool {
	out := map[uint32]bool{}
	for _, v := range g.volumes {
		out[v.Gid] = true
	}
	return out
}

// save replaces the record; a crash of the agent leaves the old or the new one.
func (g *Groups) save() error {
	data, err := json.Marshal(g.volumes)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(g.file), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(g.file+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(g.file+".new", g.file)
}

// Refresh frees the groups of volumes that are gone, and of directories in sandboxes that are not live.
func (g *Groups) Refresh(live func(sandbox string) bool) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	before := len(g.volumes)
	maps.DeleteFunc(g.volumes, func(path string, v volume) bool {
		_, err := os.Lstat(path)
		return errors.Is(err, fs.ErrNotExist) || v.Sandbox != "" && !live(v.Sandbox)
	})
	if len(g.volumes) == before {
		return nil
	}
	return g.save()
}

// Figures gives the metrics of Mesos's volume gid manager.
func (g *Groups) Figures(emit func(name string, value float64)) {
	g.mu.Lock()
	used := len(g.used())
	g.mu.Unlock()
	emit("volume_gid_manager/volume_gids_total", float64(g.ids.Size()))
	emit("volume_gid_manager/volume_gids_free", float64(g.ids.Size())-float64(used))
}

func contains(ids resources.Ranges, id uint32) bool {
	return ids.Contains(resources.NewRanges(resources.Range{Begin: uint64(id), End: uint64(id)}))
}

// after is the id that follows one, and the first after the last.
func after(ids resources.Ranges, id uint32) uint32 {
	for _, r := range ids {
		if uint64(id) < r.End {
			return max(id+1, uint32(r.Begin))
		}
	}
	return uint32(ids[0].Begin)
}
