package xfs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"agora.dev/agora/resources"
)

// projects are the ids of one file system.
type projects struct {
	fs    *fileSystem
	ids   resources.Ranges
	claim *os.File

	mu   sync.Mutex
	used map[uint32]bool // by the last look, and given since
	held map[uint32]bool // of directories that are being assigned
	last uint32          // the one that was given last
}

func openProjects(fs *fileSystem, ids resources.Ranges) (*projects, error) {
	own, err := claim(claims, fs.device, ids)
	if err != nil {
		return nil, fmt.Errorf("projects on %s: %w", fs.mount, err)
	}
	p := &projects{fs: fs, ids: ids, claim: own, held: map[uint32]bool{}}
	if err := p.refresh(); err != nil {
		return nil, errors.Join(err, own.Close())
	}
	return p, nil
}

func (p *projects) close() error { return errors.Join(p.claim.Close(), p.fs.dir.Close()) }

// refresh looks which ids the file system counts files for, and lifts the limits of the others.
func (p *projects) refresh() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	used := map[uint32]bool{}
	for id := range p.held {
		used[id] = true
	}
	for _, r := range p.ids {
		for id := uint32(r.Begin); uint64(id) <= r.End; id++ {
			q, ok, err := p.fs.next(id)
			if err != nil {
				return fmt.Errorf("projects on %s: %w", p.fs.mount, err)
			}
			if !ok || uint64(q.id) > r.End {
				break
			}
			id = q.id
			switch {
			case q.inodes > 0 || q.blocks > 0:
				used[id] = true
			case !p.held[id] && (q.soft > 0 || q.hard > 0):
				if err := p.fs.limit(id, 0, 0); err != nil {
					return err
				}
			}
		}
	}
	p.used = used
	return nil
}

func (p *projects) inUse() uint64 {
	p.mu.Lock()
	defer p.mu.Unlock()
	return uint64(len(p.used))
}

// give assigns a free id to a directory that has none.
func (p *projects) give(ctx context.Context, dir string) error {
	if id, err := project(dir); err != nil || contains(p.ids, id) {
		return err
	}
	id, err := p.take()
	if err != nil {
		return fmt.Errorf("project for %s: %w", dir, err)
	}
	err = assign(ctx, dir, id)
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.held, id) // the directory holds it; of one that failed, the next look finds out
	return err
}

// take finds an id that nobody has, and holds it.
func (p *projects) take() (uint32, error) {
	for again := range 2 {
		if again > 0 {
			if err := p.refresh(); err != nil {
				return 0, err
			}
		}
		if id, err := p.free(); id != 0 || err != nil {
			return id, err
		}
	}
	return 0, fmt.Errorf("all %d of --xfs_project_range %s are in use on %s; widen it, or let sandboxes go sooner (--gc_delay)", p.ids.Size(), p.ids, p.fs.mount)
}

// free is the next id that is not in use, and 0 when there is none. Those that were given lately come last.
func (p *projects) free() (uint32, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	id := p.last
	for range p.ids.Size() {
		id = after(p.ids, id)
		if p.used[id] {
			continue
		}
		p.used[id] = true
		q, err := p.fs.quota(id)
		if err != nil {
			return 0, err
		}
		if q.inodes == 0 && q.blocks == 0 {
			p.held[id], p.last = true, id
			return id, nil
		}
	}
	return 0, nil
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
