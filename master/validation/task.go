package validation

import (
	"math"

	"agora.dev/agora/api/mesos/v1"
)

// Scope answers what a task's validity depends on beside itself.
type Scope struct {
	Framework string
	Agent     string
	// Limits: the agent can enforce limits apart from requests.
	Limits          bool
	TaskKnown       func(id string) bool
	TaskUnreachable func(id string) bool
	// Executor gives the executor with this id on the agent, or nil.
	Executor func(id string) *mesos.ExecutorInfo
	// ContainersOf lists the containers (nil ones included) of that executor's tasks.
	ContainersOf func(executor string) []*mesos.ContainerInfo
}

// Task checks a task, whatever launches it, except for its executor.
func Task(info *mesos.TaskInfo, in Scope) error {
	id := info.GetTaskId().GetValue()
	if err := ID(id); err != nil {
		return err
	}
	switch {
	case in.TaskKnown(id):
		return invalid("Task has duplicate ID: " + id)
	case in.TaskUnreachable(id):
		return invalid("Task reuses the ID of an unreachable task: " + id)
	case info.GetAgentId().GetValue() != in.Agent:
		return invalidf("Task uses invalid agent %s while agent %s is expected", info.GetAgentId().GetValue(), in.Agent)
	case info.GetKillPolicy().GetGracePeriod().GetNanoseconds() < 0:
		return invalid("Task's 'kill_policy.grace_period' must be non-negative")
	case info.GetMaxCompletionTime().GetNanoseconds() < 0:
		return invalid("Task's `max_completion_time` must be non-negative")
	}
	if info.Check != nil {
		if err := check(info.GetCheck()); err != nil {
			return prefix("Task uses invalid check: ", err)
		}
	}
	if info.HealthCheck != nil {
		if err := healthCheck(info.GetHealthCheck()); err != nil {
			return prefix("Task uses invalid health check: ", err)
		}
	}
	if err := taskResources(info); err != nil {
		return err
	}
	if info.Command != nil {
		if err := command(info.GetCommand()); err != nil {
			return prefix("Task's `CommandInfo` is invalid: ", err)
		}
	}
	if info.Container != nil {
		if err := container(info.GetContainer()); err != nil {
			return prefix("Task's `ContainerInfo` is invalid: ", err)
		}
	}
	return limits(info, in)
}

func taskResources(info *mesos.TaskInfo) error {
	if len(info.GetResources()) == 0 {
		return invalid("Task uses no resources")
	}
	if err := Resources(info.GetResources()); err != nil {
		return err
	}
	return consistent(info.GetResources(), "Task", "task")
}

func limits(info *mesos.TaskInfo, in Scope) error {
	if len(info.GetLimits()) == 0 {
		return nil
	}
	if !in.Limits {
		return invalid("Agent is not capable of handling task resource limits")
	}
	for name := range info.GetLimits() {
		if name != "cpus" && name != "mem" {
			return invalid("Only cpus and mem may be included in a task's resource limits")
		}
	}
	if cpus := info.GetLimits()["cpus"]; cpus != nil {
		request, set := scalar(info.GetResources(), "cpus")
		if !set {
			return invalid("When a CPU limit is specified, a CPU request must also be specified")
		}
		if !(cpus.GetValue() >= request) {
			return invalid("The cpu limit must be greater than or equal to the cpu request")
		}
	}
	if mem := info.GetLimits()["mem"]; mem != nil {
		request, set := scalar(info.GetResources(), "mem")
		if !set {
			return invalid("When a memory limit is specified, a memory request must also be specified")
		}
		if !math.IsInf(mem.GetValue(), 1) && !(mem.GetValue() >= request) {
			return invalid("The memory limit must be greater than or equal to the memory request")
		}
	}
	return nil
}

// scalar adds up the scalars of one name.
func scalar(resources []*mesos.Resource, name string) (sum float64, set bool) {
	for _, r := range resources {
		if r.GetName() == name && r.GetType() == mesos.Value_SCALAR {
			sum += r.GetScalar().GetValue()
			set = true
		}
	}
	return sum, set
}

// shares says what share_cgroups is, and whether it was said.
func shares(c *mesos.ContainerInfo) (value, set bool) {
	if c.GetLinuxInfo() == nil || c.LinuxInfo.ShareCgroups == nil {
		return true, false
	}
	return c.LinuxInfo.GetShareCgroups(), true
}

// TaskExecutor checks how a task of LAUNCH is run.
func TaskExecutor(info *mesos.TaskInfo, in Scope) error {
	if (info.Executor == nil) == (info.Command == nil) {
		return invalid("Task should have at least one (but not both) of CommandInfo or ExecutorInfo present")
	}
	if e := info.GetExecutor(); e != nil {
		if err := Executor(e, in); err != nil {
			return err
		}
		if e.Type != nil && e.GetType() != mesos.ExecutorInfo_CUSTOM {
			return invalid("'ExecutorInfo.type' must be 'CUSTOM'")
		}
		if e.Command == nil {
			return invalid("'ExecutorInfo.command' must be set")
		}
		for _, r := range e.GetResources() {
			if r.Shared != nil {
				return invalid("Executor resources should not contain any shared resources")
			}
		}
		if value, set := shares(e.GetContainer()); set && value {
			return invalid("The 'share_cgroups' field cannot be set to 'true' on executor containers")
		}
		if err := together(append(e.GetResources()[:len(e.GetResources()):len(e.GetResources())], info.GetResources()...),
			"Task and its executor use duplicate persistence ID: ",
			"Task and its executor mix revocable and non-revocable resources: "); err != nil {
			return err
		}
	}
	if value, set := shares(info.GetContainer()); set && !value {
		return invalid("Only tasks in a task group may have 'share_cgroups' set to 'false'")
	}
	return nil
}
