package checkpoint

import (
	"fmt"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	checkpointpb "agora.dev/agora/api/agora/checkpoint/v1"
	mesos "agora.dev/agora/api/mesos/v1"
)

// completeTask lists a task before it forgets the rest. When the process dies in between, the next reader does that.
func (s *Store) completeTask(w core.CompleteTask) error {
	path := filepath.Join(s.paths.run(s.agent, w.Run), fileCompleted)
	var err error
	if w.Kept == nil {
		err = s.fs.AppendFile(path, encodeRecord(recordCompleted, marshal(w.Task)))
	} else {
		var all []byte
		for _, t := range w.Kept {
			all = append(all, encodeRecord(recordCompleted, marshal(t))...)
		}
		err = s.write(path, all, false)
	}
	if err != nil {
		return err
	}
	return s.removeMarked(s.paths.task(s.agent, w.Run, core.TaskID(w.Task.GetTaskId().GetValue())), fileTaskInfo)
}

// past reads the completed tasks of a run, oldest first.
func (r *reader) past(e *core.ExecutorState, dir string) error {
	defer func() { core.Share(e.Completed) }()
	return r.records(filepath.Join(dir, fileCompleted), func(data []byte) (int, error) {
		return eachRecord(data, func(body []byte) error {
			if body[0] != recordCompleted {
				return fmt.Errorf("unknown kind %q", body[0])
			}
			t := &mesos.Task{}
			if err := proto.Unmarshal(body[1:], t); err != nil {
				return err
			}
			e.Completed = append(e.Completed, t)
			return nil
		})
	})
}

func (s *Store) writeCause(w core.WriteCause) error {
	m := &checkpointpb.Cause{Reason: &w.Cause.Reason, Message: &w.Cause.Message}
	if w.Cause.State != 0 {
		m.State = &w.Cause.State
	}
	return s.message(filepath.Join(s.paths.run(s.agent, w.Run), fileCause), m, false)
}

// cause reads why a run is ended, if it is.
func (r *reader) cause(e *core.ExecutorState, dir string) error {
	m := &checkpointpb.Cause{}
	ok, err := r.message(filepath.Join(dir, fileCause), m)
	if ok {
		e.Cause = &core.Cause{Reason: m.GetReason(), Message: m.GetMessage()}
		if m.State != nil { // the getter of an enum has no zero
			e.Cause.State = m.GetState()
		}
	}
	return err
}
