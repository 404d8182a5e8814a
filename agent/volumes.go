package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"syscall"

	"agora.dev/agora/agent/checkpoint"
	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// remover deletes what was moved away so that nobody waits for it: the data of destroyed volumes in the trash of each
// disk, or records.
type remover struct {
	what  string // that is in the trash
	trash []string
	log   *slog.Logger
	kick  chan struct{}
}

func newRemover(log *slog.Logger, what string, trash ...string) *remover {
	return &remover{what: what, trash: trash, log: log, kick: make(chan struct{}, 1)}
}

// volumeTrash is that of each disk of an agent: its work directory's and those among its resources.
func volumeTrash(paths checkpoint.Paths, resources []*mesos.Resource) []string {
	trash := []string{paths.Trash(&mesos.Resource{})}
	for _, one := range resources {
		if dir := paths.Trash(one); one.GetDisk().GetSource() != nil && dir != "" {
			trash = append(trash, dir)
		}
	}
	return trash
}

// wake lets it look again; it never waits.
func (r *remover) wake() {
	select {
	case r.kick <- struct{}{}:
	default: // it has not looked since the last time
	}
}

// run deletes until ctx ends; what is left then is found by the next agent.
func (r *remover) run(ctx context.Context) {
	for {
		for _, dir := range r.trash {
			r.empty(ctx, dir)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.kick:
		}
	}
}

func (r *remover) empty(ctx context.Context, dir string) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		r.log.Warn("what was moved away is not found", "what", r.what, "directory", dir, "error", err)
	}
	for _, e := range entries {
		if ctx.Err() != nil {
			return
		}
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			r.log.Warn("not removed", "what", r.what, "path", filepath.Join(dir, e.Name()), "error", err)
		}
	}
}

// prepareVolumes makes the directories of a container's volumes, and gives them to its user as Mesos
// does: the directory alone, and a shared one only as long as nobody has it.
func prepareVolumes(spec containerizer.Spec) error {
	for _, v := range spec.Persistent {
		if err := prepareVolume(v, spec.User); err != nil {
			return fmt.Errorf("persistent volume %s: %w", v.ID, err)
		}
	}
	return nil
}

func prepareVolume(v containerizer.PersistentVolume, user string) error {
	if v.Source == "" {
		return errors.New("this agent has no disks of its kind")
	}
	if v.Mount {
		if _, err := os.Stat(v.Source); err != nil {
			return err
		}
		// A volume that was here before may still be on its way out.
		if err := os.RemoveAll(filepath.Join(v.Source, checkpoint.MountTrash)); err != nil {
			return err
		}
	} else if err := os.MkdirAll(v.Source, 0o755); err != nil {
		return err
	}
	if v.Shared {
		info, err := os.Stat(v.Source)
		if stat, ok := info.Sys().(*syscall.Stat_t); err != nil || !ok || stat.Uid != 0 {
			return err
		}
	}
	return chown(v.Source, user)
}
