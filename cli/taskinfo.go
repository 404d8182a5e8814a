package cli

import (
	"fmt"
	"sort"

	mesos "agora.dev/agora/api/mesos/v1"
)

// take picks the resources of the run out of an offer; missing says what the offer
// lacks, empty when it fits.
func (o *runOptions) take(offered []*mesos.Resource) (taken []*mesos.Resource, missing string) {
	need := map[string]float64{"cpus": o.CPUs, "mem": o.MemMiB}
	if o.DiskMiB > 0 {
		need["disk"] = o.DiskMiB
	}
	ports := o.hostPorts()
	for _, resource := range offered {
		if resource.GetRevocable() != nil || resource.GetDisk() != nil {
			continue
		}
		switch name := resource.GetName(); {
		case resource.GetType() == mesos.Value_SCALAR && need[name] > 0:
			part := min(need[name], resource.GetScalar().GetValue())
			need[name] -= part
			taken = append(taken, share(resource, &mesos.Resource{Scalar: &mesos.Value_Scalar{Value: &part}}))
		case name == "ports" && len(ports) > 0:
			var ranges []*mesos.Value_Range
			if ranges, ports = takePorts(resource.GetRanges().GetRange(), ports); len(ranges) > 0 {
				taken = append(taken, share(resource, &mesos.Resource{Ranges: &mesos.Value_Ranges{Range: ranges}}))
			}
		}
	}
	for _, name := range []string{"cpus", "mem", "disk"} {
		if need[name] > 0.0005 {
			return nil, fmt.Sprintf("lacks %s of %s", trim(need[name]), name)
		}
	}
	if len(ports) > 0 {
		return nil, lackingPorts(offered, ports)
	}
	return taken, ""
}

// share copies the identity of a resource (name, role, reservations) onto a part of it.
func share(of, part *mesos.Resource) *mesos.Resource {
	part.Name, part.Type = of.Name, of.Type
	part.Reservations, part.AllocationInfo, part.ProviderId = of.Reservations, of.AllocationInfo, of.ProviderId
	return part
}

// takePorts takes the wanted ports from ranges, zero for any, and returns those
// that are still wanted.
func takePorts(ranges []*mesos.Value_Range, wanted []uint16) (taken []*mesos.Value_Range, rest []uint16) {
	used := map[uint64]bool{}
	inside := func(port uint64) bool {
		for _, r := range ranges {
			if port >= r.GetBegin() && port <= r.GetEnd() {
				return true
			}
		}
		return false
	}
	for _, port := range wanted {
		found, ok := uint64(port), port != 0 && inside(uint64(port)) && !used[uint64(port)]
		if port == 0 {
			found, ok = anyPort(ranges, used, wanted)
		}
		if !ok {
			rest = append(rest, port)
			continue
		}
		used[found] = true
		taken = append(taken, &mesos.Value_Range{Begin: ptr(found), End: ptr(found)})
	}
	return taken, rest
}

// anyPort is the first port of ranges that is neither used nor asked for by number.
func anyPort(ranges []*mesos.Value_Range, used map[uint64]bool, wanted []uint16) (uint64, bool) {
	fixed := map[uint64]bool{}
	for _, port := range wanted {
		fixed[uint64(port)] = true
	}
	for _, from := range []uint64{anyFrom, 1} {
		for _, r := range ranges {
			for port := max(r.GetBegin(), from); port <= r.GetEnd(); port++ {
				if !used[port] && !fixed[port] {
					return port, true
				}
			}
		}
	}
	return 0, false
}

// taskInfo describes the task to launch.
func (o *runOptions) taskInfo(id string, agent *mesos.AgentID, resources []*mesos.Resource) *mesos.TaskInfo {
	task := &mesos.TaskInfo{Name: &o.Name, TaskId: &mesos.TaskID{Value: &id}, AgentId: agent, Resources: resources}
	command := &mesos.CommandInfo{Shell: ptr(false), Environment: &mesos.Environment{}}
	if len(o.Command) > 0 {
		command.Value, command.Arguments = &o.Command[0], o.Command
		if o.Image != "" {
			// Without a value the image's entrypoint gets the arguments, as in docker run.
			command.Value, command.Arguments = nil, o.Command
		}
	}
	if o.User != "" {
		command.User = &o.User
	}
	env := o.portVariables(portsOf(resources))
	for name, value := range o.Env {
		env[name] = value
	}
	for _, name := range sortedKeys(env) {
		command.Environment.Variables = append(command.Environment.Variables,
			&mesos.Environment_Variable{Name: ptr(name), Value: ptr(env[name])})
	}
	task.Command, task.Container = command, o.container()
	if networks := o.networks(portsOf(resources)); networks != nil {
		if task.Container == nil {
			task.Container = &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum()}
		}
		task.Container.NetworkInfos = networks
	}
	if o.Remove {
		task.Labels = &mesos.Labels{Labels: []*mesos.Label{{Key: ptr(removeSandboxLabel), Value: ptr("true")}}}
	}
	return task
}

// removeSandboxLabel on a task asks the agent to remove the sandbox as soon as the last
// update is acknowledged; see agent/core.RemoveSandboxLabel.
const removeSandboxLabel = "AGORA_REMOVE_SANDBOX"

func (o *runOptions) container() *mesos.ContainerInfo {
	if o.Image == "" && len(o.Volumes) == 0 {
		return nil
	}
	info := &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum()}
	if o.Image != "" {
		info.Mesos = &mesos.ContainerInfo_MesosInfo{Image: &mesos.Image{Type: mesos.Image_DOCKER.Enum(),
			Docker: &mesos.Image_Docker{Name: &o.Image}}}
	}
	for _, v := range o.Volumes {
		mode := mesos.Volume_RW
		if v.ReadOnly {
			mode = mesos.Volume_RO
		}
		info.Volumes = append(info.Volumes, &mesos.Volume{Mode: &mode, ContainerPath: ptr(v.Container), HostPath: ptr(v.Host)})
	}
	return info
}

// portsOf lists the ports of resources in the order in which they were taken.
func portsOf(resources []*mesos.Resource) []uint64 {
	var ports []uint64
	for _, resource := range resources {
		if resource.GetName() != "ports" {
			continue
		}
		for _, r := range resource.GetRanges().GetRange() {
			for port := r.GetBegin(); port <= r.GetEnd(); port++ {
				ports = append(ports, port)
			}
		}
	}
	return ports
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for key := range m {
		keys = append(keys, key)
	}
	sort.Strings(keys)
	return keys
}
