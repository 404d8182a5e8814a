package golden

import (
	"agora.dev/agora/agent"
	"testing"
	"time"
)

// playTo replays what was recorded before that time.
func (p *Player) playTo(t *testing.T, at time.Duration) {
	t.Helper()
	p.Play(t.Context(), func(line Line) bool { return line.At >= at })
}

// finish compares the events of an operator's stream, which have all come.
func (p *Player) finish(t *testing.T) {
	t.Helper()
	p.Patience = 2 * time.Second
	p.Play(t.Context(), nil)
	p.Rest()
	p.Close()
}

// maintenance sets weights, a quota and a schedule, and takes the agent down.
func (c *cluster) maintenance(t *testing.T, after func()) {
	const dir = "maintenance-drain/"
	operator := c.start(t, dir+"operator-stream.log")
	p := c.start(t, dir+"scheduler-conversation.log")
	p.playTo(t, 350*time.Millisecond)
	c.files(t, dir+"01-UPDATE_WEIGHTS", dir+"02-GET_WEIGHTS", dir+"02-weights-v0", dir+"03-UPDATE_QUOTA", dir+"04-GET_QUOTA",
		dir+"04-quota-v0", dir+"05-GET_ROLES", dir+"05-roles-v0", dir+"06-UPDATE_MAINTENANCE_SCHEDULE",
		dir+"07-GET_MAINTENANCE_SCHEDULE", dir+"07-schedule-v0")
	p.playTo(t, 500*time.Millisecond)
	c.files(t, dir+"08-GET_MAINTENANCE_STATUS-declined")
	p.playTo(t, 900*time.Millisecond)
	c.files(t, dir+"09-GET_MAINTENANCE_STATUS-accepted", dir+"09-status-v0", dir+"10-DEACTIVATE_AGENT")
	p.playTo(t, 1100*time.Millisecond)
	c.files(t, dir+"11-GET_AGENTS-deactivated", dir+"11-slaves-v0", dir+"12-REACTIVATE_AGENT")
	p.playTo(t, 2*time.Second)
	c.files(t, dir+"13-DRAIN_AGENT", dir+"13b-DRAIN_AGENT-object-duration", dir+"14-GET_AGENTS-draining",
		dir+"14-agent-GET_AGENT-draining", dir+"14-agent-state-draining", dir+"15-GET_AGENTS-drained", dir+"15-slaves-v0-drained",
		dir+"16-REACTIVATE_AGENT")
	p.playTo(t, 6*time.Second)
	c.files(t, dir+"17-START_MAINTENANCE")
	p.playTo(t, 16*time.Second)
	c.files(t, dir+"18-GET_AGENTS-down", dir+"18-GET_MAINTENANCE_STATUS-down", dir+"19-STOP_MAINTENANCE",
		dir+"20-GET_MAINTENANCE_SCHEDULE-up", dir+"20-GET_MAINTENANCE_STATUS-up")
	p.Play(t.Context(), func(line Line) bool { return eventKey(line.Call) == "TEARDOWN" })
	after() // its framework is still there
	p.Play(t.Context(), nil)
	p.Rest()
	p.Close()
	c.files(t, dir+"21-TEARDOWN-operator-unknown-completed")
	operator.finish(t)
}

// drain drains an agent and gives it up.
func (c *cluster) drain(t *testing.T) {
	const dir = "drain/"
	operator := c.start(t, dir+"operator-stream.log")
	p := c.start(t, dir+"scheduler-conversation.log")
	p.playTo(t, 200*time.Millisecond)
	c.files(t, dir+"1-DRAIN_AGENT")
	p.playTo(t, 500*time.Millisecond)
	c.files(t, dir+"2-GET_AGENTS-draining", dir+"2-agent-GET_AGENT", dir+"2-slaves-v0-draining")
	p.playTo(t, time.Second)
	c.eventually(t, dir+"2-agent-state")
	c.files(t, dir+"2b-DRAIN_AGENT-again")
	c.eventually(t, dir+"3-GET_AGENTS-drained")
	c.files(t, dir+"4-REACTIVATE_AGENT", dir+"5-GET_AGENTS-reactivated", dir+"6-MARK_AGENT_GONE")
	p.playTo(t, 3*time.Second)
	c.files(t, dir+"7-GET_AGENTS-gone", dir+"8-MARK_AGENT_GONE-again")
	p.Play(t.Context(), nil)
	p.Rest()
	p.Close()
	operator.finish(t)
}

// cgroups runs tasks with limits, one of which exceeds its memory.
func (c *cluster) cgroups(t *testing.T) {
	p := c.start(t, "linux-cgroups/scheduler-conversation.log")
	p.Play(t.Context(), func(line Line) bool { return eventKey(line.Call) == "TEARDOWN" })
	c.folders(t, "linux-cgroups")
	p.Play(t.Context(), nil)
	p.Rest()
	p.Close()
}

// operationFeedback makes operations with ids that succeed.
func operationFeedback(t *testing.T, report *Report) {
	c := newCluster(t, report)
	c.startAgent(t, func(cfg *agent.Config) { cfg.Attributes = "" })
	p := c.start(t, "scheduler-api/operation-feedback.log")
	p.playTo(t, 600*time.Millisecond)
	c.files(t, "with-tasks/master-v1/GET_OPERATIONS-pending-ack", "with-tasks/agent-v1/GET_OPERATIONS-pending-ack")
	p.Play(t.Context(), nil)
	p.Rest()
}

// eventually replays an exchange once what it asks for is there, which a while later it is.
func (c *cluster) eventually(t *testing.T, name string) {
	t.Helper()
	all, err := Exchanges(*recordings, name[:len("drain")])
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if e.Name != name+".http" {
			continue
		}
		tick := time.NewTicker(50 * time.Millisecond)
		defer tick.Stop()
		for end := time.Now().Add(3 * time.Second); time.Now().Before(end); <-tick.C {
			if got, err := c.send(t.Context(), e.Request); err == nil && len(c.compare(e.Request, e.Answer, got)) == 0 {
				break
			}
		}
		c.Exchange(t.Context(), e)
	}
}
