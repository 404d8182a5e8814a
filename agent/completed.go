package agent

import (
	"errors"
	"io/fs"
	"os"
	"slices"
	"time"

	"agora.dev/agora/agent/core"
)

// completedSandbox is the sandbox of an executor that has been.
func (a *Agent) completedSandbox(state *core.State, c *core.CompletedExecutor) string {
	return a.paths.Sandbox(state.Agent.GetId().GetValue(), c.Run, c.Run.Container)
}

// unlistCollected forgets the completed executors whose sandboxes were collected: there is nothing to
// look at any more.
func (a *Agent) unlistCollected(state *core.State) error {
	var err error
	state.Completed = slices.DeleteFunc(state.Completed, func(c *core.CompletedExecutor) bool {
		_, missing := os.Lstat(a.completedSandbox(state, c))
		if !errors.Is(missing, fs.ErrNotExist) {
			return false
		}
		err = errors.Join(err, a.write(core.ForgetCompleted{Container: c.Run.Container}))
		return true
	})
	return err
}

// ended says when the executors of sandboxes that are only listed were completed.
func (a *Agent) ended() map[string]time.Time {
	out := map[string]time.Time{}
	for _, c := range a.recovered.Completed {
		out[a.completedSandbox(a.recovered, c)] = c.At
	}
	return out
}
