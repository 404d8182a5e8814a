package devcluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"agora.dev/agora/agent"
	mesos "agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/client/operator"
	"agora.dev/agora/internal/backoff"
)

// electionTimeout bounds the wait for the master to take calls.
const electionTimeout = 20 * time.Second

// forgetWhenChanged makes an agent that is to offer something else than in its last run a
// new one: an agent may not change what it has, and all its tasks were ended. The master is
// told that the old one is gone, so that nobody waits for it.
func (c *Cluster) forgetWhenChanged(ctx context.Context, config agent.Config) error {
	note := filepath.Join(config.WorkDir, "offered")
	text := fmt.Sprintf("%s %s %d\n", config.Hostname, config.Resources, config.Port)
	if old, err := os.ReadFile(note); err == nil && string(old) == text {
		return nil
	}
	meta := filepath.Join(config.WorkDir, "meta")
	old, err := filepath.Glob(filepath.Join(meta, "slaves", "*-S*"))
	if err != nil {
		return err
	}
	for _, dir := range old {
		if err := c.markGone(ctx, filepath.Base(dir)); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(meta); err != nil {
		return fmt.Errorf("forget the agent of the last run: %w", err)
	}
	if err := os.MkdirAll(config.WorkDir, 0o755); err != nil {
		return fmt.Errorf("agent directory: %w", err)
	}
	return os.WriteFile(note, []byte(text), 0o644)
}

// markGone tells the master that an agent never comes back. A master that does not know it
// has nothing to forget.
func (c *Cluster) markGone(ctx context.Context, id string) error {
	ctx, cancel := context.WithTimeout(ctx, electionTimeout)
	defer cancel()
	call := &masterpb.Call{Type: masterpb.Call_MARK_AGENT_GONE.Enum(),
		MarkAgentGone: &masterpb.Call_MarkAgentGone{AgentId: &mesos.AgentID{Value: &id}}}
	var pause backoff.Backoff
	for {
		_, err := operator.New(c.masterAddr).Master(ctx, call)
		if status, refused := err.(*operator.StatusError); err == nil || refused && status.Code == 404 {
			return nil
		}
		if wait := pause.Wait(ctx); wait != nil {
			return fmt.Errorf("tell the master that agent %s is gone: %w", id, err)
		}
	}
}
