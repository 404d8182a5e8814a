// Package ports finds containers on the host's network that listen on ports which they were not
// given (Mesos isolator network/ports).
//
// It promises to ask the kernel, not a program, and to name a port for a container only
// when one of its processes listens there. It refuses to judge ports outside of its rules.
// Mesos looks at TCP alone, and so does it unless it is told to look at datagrams.
package ports

import (
	"errors"
	"fmt"
	"strings"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// Rules say which ports are looked at, and what follows.
type Rules struct {
	// Within are the only ports that are looked at; nil stands for all. Mesos
	// --container_ports_isolated_range, or the agent's own with --check_agent_port_range_only.
	Within resources.Ranges
	// Enforce ends a container that breaks the rules; else it is only logged (Mesos
	// --enforce_container_ports).
	Enforce bool
	// Datagrams has UDP looked at, too (--container_ports_datagrams).
	Datagrams bool
}

const highest = 65535

// ParseRange reads ranges of ports, as [31000-32000].
func ParseRange(text string) (resources.Ranges, error) {
	out, err := resources.ParseRanges(text)
	if err != nil || len(out) == 0 {
		return nil, fmt.Errorf("%q is not of the form [31000-32000,33000-33000]", text)
	}
	if out[len(out)-1].End > highest {
		return nil, errors.New("ports end at 65535")
	}
	return out, nil
}

// Of are the ports among resources.
func Of(list []*mesos.Resource) (out resources.Ranges) {
	for _, r := range list {
		if r.GetName() != "ports" {
			continue
		}
		for _, v := range r.GetRanges().GetRange() {
			out = out.Add(resources.NewRanges(resources.Range{Begin: v.GetBegin(), End: v.GetEnd()}))
		}
	}
	return out
}

// Beyond is what a container listens on, is looked at, and was not given.
func (r Rules) Beyond(listens, given resources.Ranges) resources.Ranges {
	if r.Within != nil {
		listens = listens.Sub(listens.Sub(r.Within))
	}
	return listens.Sub(given)
}

// Limitation explains it to the framework. The resources of a limitation are what was taken
// too much.
func Limitation(container string, beyond resources.Ranges) containerizer.Termination {
	name, kind, value := "ports", mesos.Value_RANGES, &mesos.Value_Ranges{}
	var texts []string
	for _, r := range beyond {
		value.Range = append(value.Range, &mesos.Value_Range{Begin: &r.Begin, End: &r.End})
		texts = append(texts, fmt.Sprintf("%d-%d", r.Begin, r.End))
	}
	return containerizer.Termination{State: mesos.TaskState_TASK_FAILED, Reason: mesos.TaskStatus_REASON_CONTAINER_LIMITATION,
		Message: fmt.Sprintf("Container %s is listening on unallocated port(s): [%s]", container, strings.Join(texts, ", ")),
		Limited: []*mesos.Resource{{Name: &name, Type: &kind, Ranges: value}}}
}
