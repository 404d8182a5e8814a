package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
)

// ErrCorrupt is the class of what cannot be read.
var ErrCorrupt = errors.New("checkpoint is corrupt")

// Options of Recover.
type Options struct {
	// Strict fails on the first file that cannot be read (--strict); otherwise it is
	// skipped with a warning. After a reboot, which may have torn any file, nothing is
	// strict.
	Strict bool
	// BootID is that of the running kernel.
	BootID string
	// Forget starts as a new agent (--recover=cleanup).
	Forget bool
}

// reader collects a State.
type reader struct {
	*Store
	strict   bool
	warnings []string
}

// Recover reads what an earlier agent wrote, and notes the boot id. Warnings name files
// that were skipped.
func (s *Store) Recover(o Options) (*core.State, []string, error) {
	if err := errors.Join(s.mkdir(s.paths.slaves()), s.mkdir(s.paths.Removed())); err != nil {
		return nil, nil, err
	}
	state := &core.State{}
	if before, err := s.fs.ReadFile(s.paths.bootID()); err == nil {
		state.Rebooted = strings.TrimSpace(string(before)) != o.BootID
	}
	r := &reader{Store: s, strict: o.Strict && !state.Rebooted}
	if o.Forget {
		if err := s.fs.Remove(filepath.Join(s.paths.slaves(), latest)); err != nil {
			return nil, nil, err
		}
	}
	if err := r.read(state); err != nil {
		return nil, r.warnings, err
	}
	if err := s.write(s.paths.bootID(), []byte(o.BootID), true); err != nil {
		return nil, r.warnings, err
	}
	return state, r.warnings, nil
}

func (r *reader) read(state *core.State) error {
	if err := r.resources(state); err != nil {
		return err
	}
	link, err := r.fs.Readlink(filepath.Join(r.paths.slaves(), latest))
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	info := &mesos.AgentInfo{}
	ok, err := r.message(filepath.Join(r.paths.slaves(), link, "slave.info"), info)
	if err != nil || !ok {
		return err
	}
	state.Agent, r.agent = info, info.GetId().GetValue()
	drain := &mesos.DrainConfig{}
	if ok, err := r.message(r.paths.drain(r.agent), drain); err != nil {
		return err
	} else if ok {
		state.Drain = drain
	}
	return errors.Join(r.completed(state), r.frameworks(state))
}

// message reads a file; ok is false when it is absent or was skipped.
func (r *reader) message(path string, m proto.Message) (ok bool, err error) {
	data, err := r.fs.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err == nil {
		err = proto.Unmarshal(data, m)
	}
	if err != nil {
		return false, r.fault(path, err)
	}
	return true, nil
}

func (r *reader) fault(path string, cause error) error {
	err := fmt.Errorf("recover %s: %w: %w", path, ErrCorrupt, cause)
	if r.strict {
		return fmt.Errorf("%w; remove it, or start with --strict=false to go on without it", err)
	}
	r.warnings = append(r.warnings, err.Error())
	return nil
}

func (r *reader) each(dir string, visit func(path string) error) error {
	list, err := r.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Dir {
			if err := visit(filepath.Join(dir, e.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) frameworks(state *core.State) error {
	return r.each(filepath.Join(r.paths.agent(r.agent), "frameworks"), func(dir string) error {
		info := &mesos.FrameworkInfo{}
		ok, err := r.message(filepath.Join(dir, "framework.info"), info)
		if err != nil || !ok {
			return err
		}
		f := core.FrameworkState{Info: info}
		f.Executors, err = r.executors(core.FrameworkID(info.GetId().GetValue()), filepath.Join(dir, "executors"))
		state.Frameworks = append(state.Frameworks, f)
		return err
	})
}

// many executors are read side by side; the disks of tests, which have fewer, want one reader.
const many = 64

// executors reads those of a framework, in the order of the directory.
func (r *reader) executors(framework core.FrameworkID, dir string) (all []core.ExecutorState, err error) {
	var dirs []string
	if err := r.each(dir, func(dir string) error { dirs = append(dirs, dir); return nil }); err != nil {
		return nil, err
	}
	size := len(dirs)
	if size >= many {
		size = (len(dirs) + runtime.GOMAXPROCS(0) - 1) / runtime.GOMAXPROCS(0)
	}
	type part struct {
		reader
		found []core.ExecutorState
		err   error
	}
	var parts []*part
	var wg sync.WaitGroup
	for chunk := range slices.Chunk(dirs, max(size, 1)) {
		p := &part{reader: reader{Store: r.Store, strict: r.strict}}
		parts = append(parts, p)
		wg.Go(func() {
			for _, dir := range chunk {
				runs, err := p.executor(framework, dir)
				if p.found = append(p.found, runs...); err != nil {
					p.err = err
					return
				}
			}
		})
	}
	wg.Wait()
	for _, p := range parts {
		r.warnings = append(r.warnings, p.warnings...)
		if all = append(all, p.found...); p.err != nil {
			return all, p.err
		}
	}
	return all, nil
}

// executor reads the runs of one, the newest first.
func (r *reader) executor(framework core.FrameworkID, dir string) ([]core.ExecutorState, error) {
	info := &mesos.ExecutorInfo{}
	ok, err := r.message(filepath.Join(dir, fileExecutorInfo), info)
	if err != nil || !ok {
		return nil, err
	}
	key := core.ExecutorKey{Framework: framework, Executor: core.ExecutorID(info.GetExecutorId().GetValue())}
	var runs []core.ExecutorState
	err = r.each(filepath.Join(dir, "runs"), func(dir string) error {
		run := core.Run{Key: key, Container: containerizer.ID(filepath.Base(dir))}
		e := core.ExecutorState{Run: run, Info: info}
		ok, err := r.run(&e, dir)
		if ok {
			runs = append(runs, e)
		}
		return err
	})
	if len(runs) > 1 {
		newest, _ := r.fs.Readlink(filepath.Join(dir, "runs", latest))
		slices.SortStableFunc(runs, func(a, b core.ExecutorState) int {
			return boolOrder(string(b.Run.Container) == newest) - boolOrder(string(a.Run.Container) == newest)
		})
	}
	return runs, err
}

func boolOrder(b bool) int {
	if b {
		return 1
	}
	return 0
}

func (r *reader) run(e *core.ExecutorState, dir string) (bool, error) {
	kind, err := r.fs.ReadFile(filepath.Join(dir, fileKind))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil // being removed, or never finished
	}
	if err != nil {
		return false, err
	}
	e.Kind = core.Kind(kind)
	switch e.Kind {
	case core.Command, core.TaskGroup, core.Custom:
	default:
		return false, r.fault(filepath.Join(dir, fileKind), fmt.Errorf("unknown kind %q", kind))
	}
	if state, err := r.fs.ReadFile(filepath.Join(dir, fileExecutorState)); err == nil {
		e.Core = state
	}
	if _, err := r.fs.ReadFile(filepath.Join(dir, fileSentinel)); err == nil {
		e.Ended = true
	}
	if err := errors.Join(r.cause(e, dir), r.past(e, dir)); err != nil {
		return false, err
	}
	listed := map[string]bool{}
	for _, t := range e.Completed {
		listed[t.GetTaskId().GetValue()] = true
	}
	err = r.each(filepath.Join(dir, "tasks"), func(dir string) error {
		info := &mesos.TaskInfo{}
		ok, err := r.message(filepath.Join(dir, fileTaskInfo), info)
		if err != nil || !ok {
			return err
		}
		if listed[info.GetTaskId().GetValue()] {
			return r.removeMarked(dir, fileTaskInfo)
		}
		t := core.TaskState{Info: info}
		if t.Updates, err = r.updates(filepath.Join(dir, fileUpdates)); err != nil {
			return err
		}
		e.Tasks = append(e.Tasks, t)
		return nil
	})
	return true, err
}

// updates reads a stream.
func (r *reader) updates(path string) (updates []core.UpdateState, err error) {
	err = r.records(path, func(data []byte) (good int, err error) {
		updates, good, err = decodeRecords(data)
		return good, err
	})
	return updates, err
}

// records reads a file of records, and cuts off the half record of a process that died.
func (r *reader) records(path string, decode func(data []byte) (good int, err error)) error {
	data, err := r.fs.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	good, err := decode(data)
	if err != nil && !errors.Is(err, errTorn) {
		if err := r.fault(path, err); err != nil {
			return err
		}
	}
	if good < len(data) {
		return r.fs.Truncate(path, int64(good))
	}
	return nil
}
