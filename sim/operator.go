package sim

import (
	"fmt"
	"maps"
	"slices"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/core"
)

// operatorView is what somebody knows who follows the operator events of one leader from
// its election on, and asks nothing.
type operatorView struct {
	agents     map[core.AgentID]bool
	frameworks map[core.FrameworkID]map[string]mesos.TaskState
}

func newOperatorView() *operatorView {
	return &operatorView{agents: map[core.AgentID]bool{}, frameworks: map[core.FrameworkID]map[string]mesos.TaskState{}}
}

// apply follows one event, and refuses one that does not fit what came before.
func (v *operatorView) apply(event core.OperatorEvent) error {
	switch event.Type {
	case core.AgentAdded, core.AgentRemoved:
		if v.agents[event.Agent.ID] == (event.Type == core.AgentAdded) {
			return fmt.Errorf("event %d of agent %s comes twice", event.Type, event.Agent.ID)
		}
		v.agents[event.Agent.ID] = event.Type == core.AgentAdded
	case core.FrameworkAdded, core.FrameworkUpdated, core.FrameworkRemoved:
		return v.framework(event.Type, event.Framework.ID)
	case core.TaskAdded, core.TaskUpdated:
		return v.task(event.Type, event.Task)
	}
	return nil
}

func (v *operatorView) framework(kind core.OperatorEventType, id core.FrameworkID) error {
	if known := v.frameworks[id] != nil; known == (kind == core.FrameworkAdded) {
		return fmt.Errorf("event %d of framework %s, known before: %v", kind, id, known)
	}
	switch kind {
	case core.FrameworkAdded:
		v.frameworks[id] = map[string]mesos.TaskState{}
	case core.FrameworkRemoved:
		delete(v.frameworks, id)
	}
	return nil
}

func (v *operatorView) task(kind core.OperatorEventType, task *core.Task) error {
	tasks := v.frameworks[core.FrameworkID(task.Base.GetFrameworkId().GetValue())]
	id := task.Base.GetTaskId().GetValue()
	if tasks == nil {
		return fmt.Errorf("event %d of task %s, whose framework is not known", kind, id)
	}
	was, known := tasks[id]
	gone := ended(was) || was == mesos.TaskState_TASK_UNREACHABLE
	if known && !gone && kind == core.TaskAdded {
		return fmt.Errorf("task %s is added, and was %v before", id, was)
	}
	if !known && kind == core.TaskUpdated {
		return fmt.Errorf("task %s is updated and was never added", id)
	}
	tasks[id] = task.State
	return nil
}

// compare says where the view differs from what the leader would answer.
func (v *operatorView) compare(snapshot *core.Snapshot) error {
	agents := 0
	for agent := range snapshot.Agents.All() {
		if agents++; !v.agents[agent.ID] {
			return fmt.Errorf("the snapshot has agent %s, the events have not", agent.ID)
		}
	}
	for id, there := range v.agents {
		if there {
			agents--
		} else {
			delete(v.agents, id)
		}
	}
	frameworks := 0
	for framework := range snapshot.Frameworks.All() {
		if frameworks++; v.frameworks[framework.ID] == nil {
			return fmt.Errorf("the snapshot has framework %s, the events have not", framework.ID)
		}
		if err := v.compareTasks(framework); err != nil {
			return err
		}
	}
	if agents != 0 || frameworks != len(v.frameworks) {
		return fmt.Errorf("the events have %d more agents and %d frameworks, not %d", -agents, len(v.frameworks), frameworks)
	}
	return nil
}

// compareTasks compares the tasks of one framework. One that has ended may be gone from
// the snapshot.
func (v *operatorView) compareTasks(framework *core.Framework) error {
	tasks, seen := v.frameworks[framework.ID], map[string]bool{}
	for _, view := range []core.View[core.Task]{framework.Tasks, framework.UnreachableTasks} {
		for task := range view.All() {
			id := task.Base.GetTaskId().GetValue()
			state, known := tasks[id]
			if !known || state != task.State {
				return fmt.Errorf("task %s is %v in the snapshot, %v by the events", id, task.State, state)
			}
			seen[id] = true
		}
	}
	for _, id := range slices.Sorted(maps.Keys(tasks)) {
		if !seen[id] && !ended(tasks[id]) {
			return fmt.Errorf("task %s is %v by the events, and not in the snapshot", id, tasks[id])
		}
	}
	return nil
}
