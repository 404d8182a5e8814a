package checkpoint

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/vfs"
)

// Store writes what a core asks to keep. It is used by one goroutine.
type Store struct {
	// MovedOut, if any, hears that Paths.Removed has something to remove.
	MovedOut func()

	fs    vfs.FS
	paths Paths
	agent string          // ID of the agent; empty before it is known
	made  map[string]bool // directories of volumes that are there
}

// New makes a store below a work directory. Recover is to be called first.
func New(fs vfs.FS, paths Paths) *Store {
	return &Store{fs: fs, paths: paths, made: map[string]bool{}}
}

// Apply carries out one write.
func (s *Store) Apply(w core.Write) error {
	if err := s.apply(w); err != nil {
		return fmt.Errorf("checkpoint %T: %w", w, err)
	}
	return nil
}

func (s *Store) apply(w core.Write) error {
	switch w := w.(type) {
	case core.WriteAgent:
		return s.writeAgent(w.Info)
	case core.WriteResources:
		return s.writeResources(w)
	case core.WriteDrain:
		if w.Config == nil {
			return s.fs.Remove(s.paths.drain(s.agent))
		}
		return s.message(s.paths.drain(s.agent), w.Config, true)
	case core.WriteFramework:
		id := core.FrameworkID(w.Info.GetId().GetValue())
		return s.message(s.paths.frameworkInfo(s.agent, id), w.Info, false)
	case core.RemoveFramework:
		return s.removeMarked(s.paths.framework(s.agent, w.Framework), "framework.info")
	case core.WriteExecutor:
		return s.writeExecutor(w)
	case core.WriteExecutorState:
		return s.write(filepath.Join(s.paths.run(s.agent, w.Run), fileExecutorState), w.State, false)
	case core.WriteEnded:
		return s.write(filepath.Join(s.paths.run(s.agent, w.Run), fileSentinel), nil, false)
	case core.RemoveExecutor:
		return s.removeExecutor(w.Run)
	case core.WriteCompleted:
		return s.writeCompleted(w.Completed)
	case core.ForgetCompleted:
		return s.fs.Remove(s.paths.completedInfo(s.agent, w.Container))
	case core.WriteTask:
		id := core.TaskID(w.Info.GetTaskId().GetValue())
		return s.message(filepath.Join(s.paths.task(s.agent, w.Run, id), fileTaskInfo), w.Info, false)
	case core.RemoveTask:
		return s.removeMarked(s.paths.task(s.agent, w.Run, w.Task), fileTaskInfo)
	case core.CompleteTask:
		return s.completeTask(w)
	case core.WriteCause:
		return s.writeCause(w)
	case core.WriteUpdate:
		return s.appendRecord(w.Run, w.Task, recordUpdate, marshal(w.Status))
	case core.WriteAcknowledged:
		return s.appendRecord(w.Run, w.Task, recordAcknowledged, w.UUID)
	}
	return fmt.Errorf("unknown write")
}

// writeAgent admits the agent, or (nil) forgets it so that the next start is a first one.
func (s *Store) writeAgent(info *mesos.AgentInfo) error {
	link := filepath.Join(s.paths.slaves(), latest)
	if info == nil {
		if err := s.mkdir(s.paths.slaves()); err != nil {
			return err
		}
		return s.fs.Remove(link)
	}
	s.agent = info.GetId().GetValue()
	if err := s.message(s.paths.agentInfo(s.agent), info, true); err != nil {
		return err
	}
	if err := s.fs.Symlink(name(s.agent), link); err != nil {
		return err
	}
	return s.fs.Sync(s.paths.slaves())
}

// writeExecutor writes the kind last: it is what makes the run exist.
func (s *Store) writeExecutor(w core.WriteExecutor) error {
	executor := s.paths.executor(s.agent, w.Run.Key)
	if err := s.message(filepath.Join(executor, fileExecutorInfo), w.Info, false); err != nil {
		return err
	}
	run := s.paths.run(s.agent, w.Run)
	if err := s.write(filepath.Join(run, fileKind), []byte(w.Kind), false); err != nil {
		return err
	}
	return s.fs.Symlink(name(string(w.Run.Container)), filepath.Join(executor, "runs", latest))
}

// removeExecutor removes a run, and the executor with its last one.
func (s *Store) removeExecutor(run core.Run) error {
	if err := s.removeMarked(s.paths.run(s.agent, run), fileKind); err != nil {
		return err
	}
	executor := s.paths.executor(s.agent, run.Key)
	others, err := s.fs.ReadDir(filepath.Join(executor, "runs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, other := range others {
		if other.Dir {
			return nil
		}
	}
	return s.removeMarked(executor, fileExecutorInfo)
}

// removeMarked takes a directory out of the tree. What is in it is for others to remove: that can take the disk its time.
// Where it cannot be moved it is removed here, beginning with the file that makes it count.
func (s *Store) removeMarked(dir, mark string) error {
	if s.moveOut(dir) == nil {
		return nil
	}
	if err := s.fs.Remove(filepath.Join(dir, mark)); err != nil {
		return err
	}
	if err := s.fs.RemoveAll(dir); err != nil {
		return err
	}
	return nil
}

// moveOut moves a file or directory to those that others remove.
func (s *Store) moveOut(path string) error {
	err := s.fs.Rename(path, filepath.Join(s.paths.Removed(), fmt.Sprintf("%016x", rand.Uint64())))
	if err == nil && s.MovedOut != nil {
		s.MovedOut()
	}
	return err
}

func (s *Store) message(path string, m proto.Message, sync bool) error {
	return s.write(path, marshal(m), sync)
}

func (s *Store) write(path string, data []byte, sync bool) error {
	if err := s.mkdir(filepath.Dir(path)); err != nil {
		return err
	}
	if sync {
		return vfs.WriteAtomic(s.fs, path, data)
	}
	temporary := path + ".tmp"
	if err := s.fs.WriteFile(temporary, data); err != nil {
		return err
	}
	old, err := s.fs.Exchange(temporary, path)
	if old && s.moveOut(temporary) != nil {
		err = s.fs.Remove(temporary)
	}
	return err
}

func (s *Store) mkdir(dir string) error {
	return s.fs.MkdirAll(dir)
}

func marshal(m proto.Message) []byte {
	data, err := proto.MarshalOptions{AllowPartial: true, Deterministic: true}.Marshal(m)
	if err != nil {
		panic(err) // messages came from a decoder or are made here
	}
	return data
}
