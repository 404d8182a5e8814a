package core

import (
	"math"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
)

// user is the account that a command runs as.
func (c *Core) user(f *framework, command *mesos.CommandInfo) string {
	if !c.config.SwitchUser {
		return ""
	}
	return userOf(f, command)
}

// userOf is the user that a command names, or its framework.
func userOf(f *framework, command *mesos.CommandInfo) string {
	if command.GetUser() != "" {
		return command.GetUser()
	}
	return f.info.GetUser()
}

// taskUser is the user of a task of a built-in executor.
func (e *executorRun) taskUser(info *mesos.TaskInfo) string {
	if user := userOf(e.framework, info.GetCommand()); user != "" {
		return user
	}
	return userOf(e.framework, e.info.GetCommand())
}

// launchOwn launches the container of a pod, or of a custom executor.
func (c *Core) launchOwn(e *executorRun) {
	spec := containerizer.Spec{
		ID: e.run.Container, Container: c.containerInfo(e.info.GetContainer()), Resources: e.demand(), Limits: e.ceilings(),
		Sandbox: c.sandbox(e, e.run.Container), User: c.user(e.framework, e.info.GetCommand()),
		Persistent: c.persistent(e.info.GetResources()), UserNamespace: userNamespace(e.info.GetLabels()),
	}
	if e.kind == Custom {
		spec.Command = e.info.GetCommand()
		for _, l := range e.queued {
			for _, t := range l.tasks {
				spec.Persistent = append(spec.Persistent, c.persistent(t.info.GetResources())...)
			}
		}
	}
	spec.Env = c.environment(e, spec)
	if e.kind == Custom && c.config.Token != nil {
		spec.Env["MESOS_EXECUTOR_AUTHENTICATION_TOKEN"] = c.config.Token(e.run.Key, e.run.Container)
	}
	if e.kind == Custom {
		for name, value := range c.config.CustomEnvironment {
			if _, given := spec.Env[name]; !given {
				spec.Env[name] = value
			}
		}
	}
	c.containers[spec.ID] = &container{id: spec.ID, exec: e}
	c.send(LaunchContainer{Executor: e.run.Key, Spec: spec})
}

// containerInfo is that of an executor, or what the operator says where it has none.
func (c *Core) containerInfo(said *mesos.ContainerInfo) *mesos.ContainerInfo {
	if said == nil {
		return c.config.DefaultContainer
	}
	return said
}

// launchTask launches the container of a task of a built-in executor.
func (c *Core) launchTask(e *executorRun, id containerizer.ID, t *task) {
	t.container = id
	c.containers[id] = &container{id: id, exec: e, task: t}
	c.send(LaunchContainer{Executor: e.run.Key, Task: taskID(t.info), Spec: c.taskSpec(e, id, t)})
}

// taskSpec describes the container of a task of a built-in executor.
func (c *Core) taskSpec(e *executorRun, id containerizer.ID, t *task) containerizer.Spec {
	info := t.info
	linux := info.GetContainer().GetLinuxInfo()
	_, nested := id.Parent()
	spec := containerizer.Spec{
		ID: id, Command: info.GetCommand(), Container: info.GetContainer(), Resources: info.GetResources(),
		Limits: limits(info), ShareCgroups: nested && (linux == nil || linux.GetShareCgroups()),
		Sandbox:    c.sandbox(e, id),
		Persistent: c.persistent(info.GetResources()), UserNamespace: userNamespace(info.GetLabels()),
	}
	if nested {
		spec.Inherited = c.persistent(e.info.GetResources())
	}
	if !nested { // the executor of a command is in the container of its task
		spec.Container = c.containerInfo(spec.Container)
	}
	if c.config.SwitchUser {
		spec.User = e.taskUser(info)
	}
	spec.Env = c.environment(e, spec)
	if role := roleOf(info.GetResources()); role != "" {
		spec.Env["MESOS_ALLOCATION_ROLE"] = role
	}
	if nested {
		spec.Env["MESOS_CONTAINER_IP"] = c.config.IP
	}
	return spec
}

// LabelUserNamespace asks for a user namespace of one's own, "private", or for the machine's,
// "host": a label of a task, or of the executor of a pod. Mesos has no field for it.
const LabelUserNamespace = "agora.userns"

func userNamespace(labels *mesos.Labels) string {
	for _, l := range labels.GetLabels() {
		if l.GetKey() == LabelUserNamespace {
			return l.GetValue()
		}
	}
	return ""
}

func (c *Core) sandbox(e *executorRun, id containerizer.ID) string {
	return c.config.Sandbox(c.agentID(), e.run, id)
}

func limits(info *mesos.TaskInfo) map[string]float64 {
	if len(info.GetLimits()) == 0 {
		return nil
	}
	out := map[string]float64{}
	for name, value := range info.GetLimits() {
		out[name] = value.GetValue()
	}
	return out
}

func roleOf(resources []*mesos.Resource) string {
	for _, r := range resources {
		if role := r.GetAllocationInfo().GetRole(); role != "" {
			return role
		}
	}
	return ""
}

// demand is what the executor's own container needs: the executor and all its tasks that
// have not ended, those with cgroups of their own too, because these are below its own.
func (e *executorRun) demand() []*mesos.Resource {
	lists := [][]*mesos.Resource{e.info.GetResources()}
	for _, t := range e.living() {
		lists = append(lists, t.info.GetResources())
	}
	return sum(lists)
}

// ceilings are the limits of the executor's own container: of a resource that a task may
// have more of than it asked for, the sum of what all may have.
func (e *executorRun) ceilings() map[string]float64 {
	var out map[string]float64
	for _, name := range []string{"cpus", "mem"} {
		total, limited := amount(e.info.GetResources(), name), false
		for _, t := range e.living() {
			limit, ok := t.info.GetLimits()[name]
			if ok {
				total, limited = total+limit.GetValue(), true
			} else {
				total += amount(t.info.GetResources(), name)
			}
		}
		if limited {
			if out == nil {
				out = map[string]float64{}
			}
			out[name] = total
		}
	}
	return out
}

// living are the tasks that have not ended, by id.
func (e *executorRun) living() []*task {
	var out []*task
	for _, id := range sorted(e.tasks) {
		if t := e.tasks[id]; !terminalState(t.proto.GetState()) {
			out = append(out, t)
		}
	}
	return out
}

func amount(resources []*mesos.Resource, name string) (total float64) {
	for _, r := range resources {
		if r.GetName() == name {
			total += r.GetScalar().GetValue()
		}
	}
	return total
}

// sum adds scalars of the same name, whatever their role; other resources are listed.
func sum(lists [][]*mesos.Resource) []*mesos.Resource {
	if len(lists) == 1 {
		return lists[0]
	}
	var out []*mesos.Resource
	at := map[string]int{}
	for _, list := range lists {
		for _, r := range list {
			i, have := at[r.GetName()]
			if r.GetType() != mesos.Value_SCALAR || r.GetDisk() != nil || !have {
				if r.GetType() == mesos.Value_SCALAR && r.GetDisk() == nil {
					at[r.GetName()] = len(out)
				}
				out = append(out, r)
				continue
			}
			total := math.Round((out[i].GetScalar().GetValue()+r.GetScalar().GetValue())*1000) / 1000
			name := r.GetName()
			out[i] = &mesos.Resource{
				Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &total},
				AllocationInfo: r.GetAllocationInfo(), Revocable: r.GetRevocable(),
			}
		}
	}
	return out
}

// environment is what Mesos's agent adds (mesos.md §3).
func (c *Core) environment(e *executorRun, spec containerizer.Spec) map[string]string {
	env := map[string]string{}
	for name, value := range c.config.Environment {
		env[name] = value
	}
	f := e.framework.info
	env["MESOS_FRAMEWORK_ID"] = string(e.run.Key.Framework)
	env["MESOS_EXECUTOR_ID"] = string(e.run.Key.Executor)
	env["MESOS_SLAVE_ID"] = c.agentID()
	env["MESOS_SLAVE_PID"] = "slave(1)@" + c.config.Endpoint
	env["MESOS_AGENT_ENDPOINT"] = c.config.Endpoint
	env["MESOS_DIRECTORY"] = spec.Sandbox
	env["MESOS_SANDBOX"] = spec.Sandbox
	if spec.Container.GetMesos().GetImage() != nil || spec.Container.GetDocker().GetImage() != "" {
		env["MESOS_SANDBOX"] = c.config.SandboxMount
	}
	env["MESOS_CHECKPOINT"] = "0"
	env["MESOS_HTTP_COMMAND_EXECUTOR"] = "0"
	env["LIBPROCESS_PORT"] = "0"
	if c.config.IP != "" {
		env["LIBPROCESS_IP"] = c.config.IP
	}
	env["MESOS_EXECUTOR_SHUTDOWN_GRACE_PERIOD"] = durationText(c.shutdownGrace(e.info))
	if f.GetCheckpoint() {
		env["MESOS_CHECKPOINT"] = "1"
		env["MESOS_RECOVERY_TIMEOUT"] = durationText(c.config.Timers.RecoveryTimeout)
		env["MESOS_SUBSCRIPTION_BACKOFF_MAX"] = durationText(c.config.Timers.ExecutorReregistration)
	}
	return env
}

// durationText prints a duration as Mesos does: the largest unit that divides it.
func durationText(d time.Duration) string {
	units := []struct {
		unit time.Duration
		name string
	}{
		{7 * 24 * time.Hour, "weeks"}, {24 * time.Hour, "days"}, {time.Hour, "hrs"}, {time.Minute, "mins"},
		{time.Second, "secs"}, {time.Millisecond, "ms"}, {time.Microsecond, "us"},
	}
	for _, u := range units {
		if d >= u.unit {
			return strings.TrimSuffix(strconv.FormatFloat(float64(d)/float64(u.unit), 'g', -1, 64), ".0") + u.name
		}
	}
	return strconv.FormatInt(int64(d), 10) + "ns"
}
