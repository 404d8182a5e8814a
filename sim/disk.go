package sim

import (
	agentcore "agora.dev/agora/agent/core"
)

// disk keeps what an agent wrote. It survives the process; a crash may come between any
// two writes.
type disk struct {
	state agentcore.State
	// crashIn counts down writes; the process dies before the one that reaches zero.
	crashIn int
}

// write carries out writes, tells wrote of each, and reports whether the process is still alive after them.
func (d *disk) write(writes []agentcore.Write, wrote func(agentcore.Write)) (alive bool) {
	for _, write := range writes {
		if d.crashIn > 0 {
			if d.crashIn--; d.crashIn == 0 {
				return false
			}
		}
		d.state.Apply(write)
		wrote(write)
	}
	return true
}
