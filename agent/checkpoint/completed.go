package checkpoint

import (
	"cmp"
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	checkpointpb "agora.dev/agora/api/agora/checkpoint/v1"
)

func (s *Store) writeCompleted(c *core.CompletedExecutor) error {
	kind, container, at := string(c.Kind), string(c.Run.Container), c.At.UnixNano()
	return s.message(s.paths.completedInfo(s.agent, c.Run.Container), &checkpointpb.CompletedExecutor{
		Framework: c.Framework, Executor: c.Info, Kind: &kind, Container: &container, Tasks: c.Tasks, At: &at,
	}, false)
}

// completed reads what is listed of executors that have been, oldest first.
func (r *reader) completed(state *core.State) error {
	dir := r.paths.completed(r.agent)
	list, err := r.fs.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		if e.Dir || !strings.HasSuffix(e.Name, ".info") {
			continue
		}
		m := &checkpointpb.CompletedExecutor{}
		ok, err := r.message(filepath.Join(dir, e.Name), m)
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		core.Share(m.GetTasks())
		state.Completed = append(state.Completed, &core.CompletedExecutor{
			Run: core.Run{Key: core.ExecutorKey{Framework: core.FrameworkID(m.GetFramework().GetId().GetValue()),
				Executor: core.ExecutorID(m.GetExecutor().GetExecutorId().GetValue())}, Container: containerizer.ID(m.GetContainer())},
			Kind: core.Kind(m.GetKind()), Framework: m.GetFramework(), Info: m.GetExecutor(), Tasks: m.GetTasks(),
			At: time.Unix(0, m.GetAt()).UTC(),
		})
	}
	slices.SortStableFunc(state.Completed, func(a, b *core.CompletedExecutor) int {
		return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Run.Container, b.Run.Container))
	})
	return nil
}
