package validation

import (
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/secrets"
)

// Executor checks an executor, whatever launches it.
func Executor(info *mesos.ExecutorInfo, in Scope) error {
	if err := executorType(info); err != nil {
		return err
	}
	if err := ID(info.GetExecutorId().GetValue()); err != nil {
		return err
	}
	if info.GetShutdownGracePeriod().GetNanoseconds() < 0 {
		return invalid("ExecutorInfo's 'shutdown_grace_period' must be non-negative")
	}
	if info.Command != nil {
		if err := command(info.GetCommand()); err != nil {
			return prefix("Executor's `CommandInfo` is invalid: ", err)
		}
	}
	if info.Container != nil {
		if err := container(info.GetContainer()); err != nil {
			return prefix("Executor's `ContainerInfo` is invalid: ", err)
		}
	}
	if info.FrameworkId == nil {
		return invalid("'ExecutorInfo.framework_id' must be set")
	}
	if actual := info.GetFrameworkId().GetValue(); actual != in.Framework {
		return invalidf("ExecutorInfo has an invalid FrameworkID (Actual: %s vs Expected: %s)", actual, in.Framework)
	}
	if err := Resources(info.GetResources()); err != nil {
		return prefix("Executor uses invalid resources: ", err)
	}
	if err := consistent(info.GetResources(), "Executor", "executor"); err != nil {
		return err
	}
	return compatible(info, in)
}

func executorType(info *mesos.ExecutorInfo) error {
	switch info.GetType() {
	case mesos.ExecutorInfo_DEFAULT:
		if info.Command != nil {
			return invalid("'ExecutorInfo.command' must not be set for 'DEFAULT' executor")
		}
		if info.Container != nil && info.GetContainer().GetType() != mesos.ContainerInfo_MESOS {
			return invalid("'ExecutorInfo.container.type' must be 'MESOS' for 'DEFAULT' executor")
		}
		if info.GetContainer().GetMesos().GetImage() != nil {
			return invalid("'ExecutorInfo.container.mesos.image' must not be set for 'DEFAULT' executor")
		}
	case mesos.ExecutorInfo_CUSTOM:
		if info.Command == nil {
			return invalid("'ExecutorInfo.command' must be set for 'CUSTOM' executor")
		}
	}
	return nil
}

// compatible holds an executor's info to that of the running one with the same id. Nobody keeps the content of a
// running executor's secrets, and a refusal must not show that of the newcomer's.
func compatible(info *mesos.ExecutorInfo, in Scope) error {
	existing := secrets.WithoutExecutor(in.Executor(info.GetExecutorId().GetValue()))
	info = secrets.WithoutExecutor(info)
	if existing == nil || existing == info || proto.Equal(existing, info) {
		return nil
	}
	const line = "------------------------------------------------------------\n"
	return invalid("ExecutorInfo is not compatible with existing ExecutorInfo with same ExecutorID.\n" +
		line + "Existing ExecutorInfo:\n" + text(existing) + "\n" + line + "ExecutorInfo:\n" + text(info) + "\n" + line)
}

func text(m proto.Message) string { return prototext.MarshalOptions{Multiline: true}.Format(m) }

// Minimum resources of the executor of a task group.
const (
	minCPUs   = 0.01
	minMemMiB = 32
)

// TaskGroup checks a LAUNCH_GROUP. Each task has its executor filled in.
func TaskGroup(group *mesos.TaskGroupInfo, executor *mesos.ExecutorInfo, in Scope) error {
	if len(group.GetTasks()) == 0 {
		return invalid("Task group cannot be empty")
	}
	seen := map[string]bool{}
	scope := in
	scope.TaskKnown = func(id string) bool { return seen[id] || in.TaskKnown(id) }
	for _, info := range group.GetTasks() {
		id := info.GetTaskId().GetValue()
		if err := groupTask(info, scope); err != nil {
			return prefix("Task '"+id+"' is invalid: ", err)
		}
		seen[id] = true
	}
	if err := groupExecutor(group, executor, in); err != nil {
		return err
	}
	return sameSharing(group, executor, in)
}

func groupTask(info *mesos.TaskInfo, in Scope) error {
	if err := Task(info, in); err != nil {
		return err
	}
	if len(info.GetContainer().GetNetworkInfos()) > 0 {
		switch info.GetHealthCheck().GetType() {
		case mesos.HealthCheck_HTTP, mesos.HealthCheck_TCP:
			return invalid("HTTP and TCP health checks are not supported for nested containers not joining parent's network")
		}
	}
	if info.Container != nil && info.GetContainer().GetType() == mesos.ContainerInfo_DOCKER {
		return invalid("Docker ContainerInfo is not supported on the task")
	}
	if value, _ := shares(info.GetContainer()); len(info.GetLimits()) > 0 && value {
		return invalid("Resource limits may only be set for tasks within a task group when" +
			" the 'share_cgroups' field is set to 'false'.")
	}
	return nil
}

func groupExecutor(group *mesos.TaskGroupInfo, executor *mesos.ExecutorInfo, in Scope) error {
	if err := Executor(executor, in); err != nil {
		return err
	}
	switch {
	case executor.Type == nil:
		return invalid("'ExecutorInfo.type' must be set")
	case executor.GetType() == mesos.ExecutorInfo_UNKNOWN:
		return invalid("Unknown executor type")
	case executor.Container != nil && executor.GetContainer().GetType() == mesos.ContainerInfo_DOCKER:
		return invalid("Docker ContainerInfo is not supported on the executor")
	}
	id := executor.GetExecutorId().GetValue()
	all := append([]*mesos.Resource(nil), executor.GetResources()...)
	for _, info := range group.GetTasks() {
		if info.Executor != nil && info.Executor != executor && !proto.Equal(info.Executor, executor) {
			return invalidf("The `ExecutorInfo` of task '%s' is different from executor '%s'", info.GetTaskId().GetValue(), id)
		}
		all = append(all, info.GetResources()...)
	}
	if cpus, set := scalar(executor.GetResources(), "cpus"); !set || cpus < minCPUs {
		return invalidf("Executor '%s' uses less CPUs (%s) than the minimum required (%v)", id, orNone(cpus, set, ""), minCPUs)
	}
	if mem, set := scalar(executor.GetResources(), "mem"); !set || mem < minMemMiB {
		return invalidf("Executor '%s' uses less memory (%s) than the minimum required (%dMB)", id, orNone(mem, set, "MB"), minMemMiB)
	}
	if _, set := scalar(executor.GetResources(), "disk"); !set {
		return invalidf("Executor '%s' uses no disk", id)
	}
	return together(all, "Task group and executor use duplicate persistence ID: ",
		"Task group and executor mix revocable and non-revocable resources: ")
}

func orNone(value float64, set bool, unit string) string {
	if !set {
		return "None"
	}
	return number(value) + unit
}

// sameSharing holds all tasks of an executor to one value of share_cgroups.
func sameSharing(group *mesos.TaskGroupInfo, executor *mesos.ExecutorInfo, in Scope) error {
	if value, set := shares(executor.GetContainer()); set && value {
		return invalid("The 'share_cgroups' field cannot be set to 'true' on executor containers")
	}
	containers := in.ContainersOf(executor.GetExecutorId().GetValue())
	for _, info := range group.GetTasks() {
		containers = append(containers, info.GetContainer())
	}
	first, _ := shares(containers[0])
	for _, c := range containers {
		if value, _ := shares(c); value != first {
			return invalid("If set, the value of 'share_cgroups' must be the same for all tasks in each task group" +
				" and under a single executor")
		}
	}
	return nil
}
