package sim

import (
	agentcore "agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
)

// disk keeps what an agent wrote. It survives the process; a crash may come between any
// two writes.
type disk struct {
	state agentcore.State
	// crashIn counts down writes; the process dies before the one that reaches zero.
	crashIn int
}

// write carries out writes, tells wrote of each with what resources there were before, and reports whether the process is still alive after them.
func (d *disk) write(writes []agentcore.Write, wrote func(before []*mesos.Resource, write agentcore.Write)) (alive bool) {
	for _, write := range writes {
		if d.crashIn > 0 {
			if d.crashIn--; d.crashIn == 0 {
				return false
			}
		}
		before := d.state.Resources
		d.state.Apply(write)
		wrote(before, write)
	}
	return true
}
