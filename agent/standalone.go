package agent

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	"agora.dev/agora/agent/httpapi"
)

// findStandalone lists the containers that operators launched and nobody removed.
func (a *Agent) findStandalone() ([]containerizer.ID, error) {
	entries, err := os.ReadDir(a.paths.Standalone())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("recover standalone containers: %w", err)
	}
	var ids []containerizer.ID
	for _, e := range entries {
		ids = append(ids, containerizer.ID(e.Name()))
	}
	return ids, nil
}

// keepStandalone takes the standalone containers out of what was found: the core knows
// nothing of them.
func (a *Agent) keepStandalone(found []containerizer.Recovered, standalone []containerizer.ID) []containerizer.Recovered {
	return slices.DeleteFunc(found, func(have containerizer.Recovered) bool {
		own := slices.Contains(standalone, have.ID)
		if own {
			a.standalone = append(a.standalone, have.ID)
		}
		return own
	})
}

// forgetStandalone has the sandboxes collected whose containers are gone, as after a reboot.
func (a *Agent) forgetStandalone(known []containerizer.ID, garbage *collector) {
	for _, id := range known {
		if !slices.Contains(a.standalone, id) {
			garbage.forget(core.ForgetSandbox{Container: id, Sandbox: filepath.Join(a.paths.Standalone(), string(id))})
		}
	}
}

// collectEnded has the sandboxes collected of containers that calls of the API made, when they have ended, if the operator wants it
// (--gc_non_executor_container_sandboxes).
func (a *Agent) collectEnded(ctx context.Context, api *httpapi.Server) {
	if !a.config.GCNonExecutor {
		return
	}
	// A request makes one of these, so nobody waits for them: they end with ctx.
	api.Launched = func(id containerizer.ID, sandbox string) {
		go func() {
			if _, err := a.deps.Containerizer.Wait(ctx, id); err == nil {
				a.garbage.forget(core.ForgetSandbox{Container: id, Sandbox: sandbox})
			}
		}()
	}
	for _, id := range a.standalone {
		api.Launched(id, filepath.Join(a.paths.Standalone(), string(id)))
	}
}
