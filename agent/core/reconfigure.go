package core

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// Policy says what of an agent may change while it keeps its ID and its tasks.
type Policy string

// Mesos docs/agent-recovery.md: the policies of --reconfiguration_policy.
const (
	// PolicyEqual lets nothing change.
	PolicyEqual Policy = "equal"
	// PolicyAdditive lets resources and attributes grow, and a fault domain come where none was.
	PolicyAdditive Policy = "additive"
)

// incompatible says which fact of an agent has changed that the policy does not let change.
func (p Policy) incompatible(was, is *mesos.AgentInfo) string {
	switch {
	case was.GetHostname() != is.GetHostname():
		return fmt.Sprintf("--hostname was %q and is %q", was.GetHostname(), is.GetHostname())
	case was.GetPort() != is.GetPort():
		return fmt.Sprintf("--port was %d and is %d", was.GetPort(), is.GetPort())
	}
	if p == PolicyAdditive {
		return shrunk(was, is)
	}
	switch {
	case !equalList(was.GetResources(), is.GetResources()):
		return "--resources (or what was detected) have changed"
	case !equalList(was.GetAttributes(), is.GetAttributes()):
		return "--attributes have changed"
	case !proto.Equal(was.GetDomain(), is.GetDomain()):
		return "--domain has changed"
	}
	return ""
}

// shrunk says what an agent had and has no more.
func shrunk(was, is *mesos.AgentInfo) string {
	before, err := resources.FromProto(was.GetResources())
	if err != nil {
		return fmt.Sprintf("the resources on disk cannot be read: %v", err)
	}
	now, err := resources.FromProto(is.GetResources())
	if err != nil {
		return fmt.Sprintf("--resources: %v", err)
	}
	if !now.Contains(before) {
		return fmt.Sprintf("--resources were %s and are %s: they may only grow", before, now)
	}
	for _, attribute := range was.GetAttributes() {
		if !slices.ContainsFunc(is.GetAttributes(), func(a *mesos.Attribute) bool { return covers(a, attribute) }) {
			return fmt.Sprintf("--attributes have less than before of %q: they may only grow, and texts stay", attribute.GetName())
		}
	}
	if was.Domain != nil && !proto.Equal(was.GetDomain(), is.GetDomain()) {
		return "--domain has changed: it may only be given where none was"
	}
	return ""
}

// covers says whether an attribute is another one, or more of it.
func covers(is, was *mesos.Attribute) bool {
	if is.GetName() != was.GetName() || is.GetType() != was.GetType() {
		return false
	}
	switch was.GetType() {
	case mesos.Value_SCALAR:
		return is.GetScalar().GetValue() >= was.GetScalar().GetValue()
	case mesos.Value_RANGES:
		return !slices.ContainsFunc(was.GetRanges().GetRange(), func(r *mesos.Value_Range) bool {
			return !slices.ContainsFunc(is.GetRanges().GetRange(), func(s *mesos.Value_Range) bool {
				return s.GetBegin() <= r.GetBegin() && r.GetEnd() <= s.GetEnd()
			})
		})
	case mesos.Value_SET:
		return !slices.ContainsFunc(was.GetSet().GetItem(), func(item string) bool {
			return !slices.Contains(is.GetSet().GetItem(), item)
		})
	}
	return is.GetText().GetValue() == was.GetText().GetValue()
}

func equalList[M proto.Message](a, b []M) bool {
	return slices.EqualFunc(a, b, func(x, y M) bool { return proto.Equal(x, y) })
}
