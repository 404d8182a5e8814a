// Package planted lets tests switch a known bug on, to prove that a test or the simulation
// would find it. Only tests call Plant; without it every bug is absent, and asking costs one
// atomic load.
//
// The bugs of the master's core:
//
//   - master-keep-invalid-offers: an ACCEPT refused for its offers keeps their resources
//   - master-forget-kill: a KILL for an agent that is away is not replayed when it returns
//   - master-stale-offer: an ACCEPT of an offer that was rescinded launches all the same
//   - master-drop-terminal: a terminal update is thrown away while its framework is away
//   - master-readmit-gone: an agent that was marked gone may register again
//   - master-revive-terminal: a late update brings a terminal task back to life
//   - master-double-recover: a terminal update seen twice frees its resources twice
//   - master-launch-duplicate: a task ID that is in use may be launched again
//   - master-keep-missing-executors: an executor that a returning agent lacks stays on the books
//   - master-silent-return: operators do not hear of what happened while an agent was away
//   - master-forget-drain: a returning agent is not told that it drains
//   - master-drained-by-books: an agent is drained although a framework that was torn down still dies there
//   - master-forget-down: the next leader does not know of agents that maintenance ended
//   - master-forget-missing-tasks: nobody asks a returning agent about tasks that it lacks
//   - master-keep-lost-operation: an operation that a returning agent lacks stays PENDING
//
// That of the allocator:
//
//   - allocator-any-role: reserved resources are offered to any role
//
// Those of the agent's core and its update streams:
//
//   - agent-lose-unacked-update: a restarted agent forgets updates that nobody acknowledged
//   - agent-send-before-persist: an update leaves before it is written
//   - agent-duplicate-launch: a launch that arrives twice starts twice
//   - agent-forget-terminal: the end of an executor leaves its tasks as they were
//   - agent-forget-queued-kill: a kill of a task that waits for its executor is dropped
//   - agent-late-kill-state: TASK_KILLING is written before the executor knows of the kill
//   - agent-keep-vanished-pod: a pod that was about to end never does when it vanished
//   - agent-forget-id-early: an agent that is gone loses its ID while its tasks still run
//   - agent-lose-volumes: a restarted agent forgets its reservations and volumes
//   - agent-operation-twice: an operation that arrives twice is carried out twice
//   - agent-preempt-any: a correction ends executors without revocable resources, too
//   - updates-any-acknowledgement: an acknowledgement of any update releases the oldest
//   - updates-skip-to-last: of the updates that wait, only the newest is sent
package planted

import "sync/atomic"

var active atomic.Pointer[string]

// Active says whether the bug name is on.
func Active(name string) bool {
	bug := active.Load()
	return bug != nil && *bug == name
}

// Plant turns the bug name on, and every other one off. The result turns it off again.
func Plant(name string) (remove func()) {
	active.Store(&name)
	return func() { active.Store(nil) }
}
