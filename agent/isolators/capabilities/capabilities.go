// Package capabilities owns which of root's privileges a container has: the five sets of
// its first process, from what the operator allows and what the task asks for.
//
// It promises that nobody has more than the operator's bound, and that a set which nobody
// named is no larger than the effective one. It refuses names that are no capability.
package capabilities

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// prefix turns Mesos's names into those of the OCI specification.
const prefix = "CAP_"

// Policy is what the operator says about all containers of an agent. Names are those of
// the OCI specification, as CAP_CHOWN.
type Policy struct {
	// Effective are those of a task that asks for none (Mesos --effective_capabilities).
	// Nil stands for Default where the user is root, and none otherwise.
	Effective []string
	// Bounding is what a task may have at most (Mesos --bounding_capabilities); nil allows
	// everything that it asks for.
	Bounding []string
	// Default are those of root when neither the operator nor the task says anything.
	Default []string
}

// Parse reads the value of an option: JSON of CapabilityInfo. An empty text is nil.
func Parse(text string) ([]string, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var given struct {
		Capabilities []string `json:"capabilities"`
	}
	// The codec of calls passes over names that it does not know; here one is a mistake.
	strict := json.NewDecoder(strings.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&given); err != nil || strict.More() {
		return nil, errors.New(`not of the form {"capabilities":["NET_RAW","SYS_ADMIN"]}`)
	}
	info := &mesos.CapabilityInfo{}
	for _, name := range given.Capabilities {
		number, known := mesos.CapabilityInfo_Capability_value[name]
		if !known {
			return nil, fmt.Errorf("%q is not a capability; names are as NET_RAW", name)
		}
		info.Capabilities = append(info.Capabilities, mesos.CapabilityInfo_Capability(number))
	}
	return names(info)
}

// Check verifies that the sets agree.
func (p Policy) Check() error {
	if beyond := p.beyond(p.Effective); len(beyond) > 0 {
		return fmt.Errorf("--effective_capabilities is not a subset of --bounding_capabilities: %s is not in it", strings.Join(beyond, ", "))
	}
	return nil
}

// beyond are those outside of the operator's bound.
func (p Policy) beyond(set []string) []string {
	if p.Bounding == nil {
		return nil
	}
	return without(set, p.Bounding)
}

// Sets are those of a container's process. A request beyond the bound is an error with the
// text of Mesos. Root gets no more by executing a file, because no_new_privs is set.
func (p Policy) Sets(info *mesos.LinuxInfo, root bool) (*specs.LinuxCapabilities, error) {
	effective, bounding, err := asked(info)
	if err != nil {
		return nil, err
	}
	if len(p.beyond(bounding)) > 0 {
		return nil, refused("Requested bounding capabilities", bounding, p.Bounding)
	}
	allowed := bounding
	if allowed == nil {
		allowed = p.Bounding
	}
	if effective == nil {
		effective = p.Effective
	}
	if effective != nil {
		if allowed != nil && len(without(effective, allowed)) > 0 {
			return nil, refused("Requested capabilities", effective, allowed)
		}
		if bounding == nil {
			bounding = effective
		}
		// Ambient too: they reach a program that a user other than root executes.
		return &specs.LinuxCapabilities{Bounding: bounding, Effective: effective, Permitted: effective, Inheritable: effective, Ambient: effective}, nil
	}
	if bounding == nil {
		bounding = within(p.Default, allowed)
	}
	if root {
		effective = bounding
	}
	return &specs.LinuxCapabilities{Bounding: bounding, Effective: effective, Permitted: effective}, nil
}

// asked are the sets that a task names; nil for what it does not.
func asked(info *mesos.LinuxInfo) (effective, bounding []string, err error) {
	request := info.GetEffectiveCapabilities()
	if request == nil {
		request = info.GetCapabilityInfo()
	}
	if effective, err = names(request); err != nil {
		return nil, nil, err
	}
	bounding, err = names(info.GetBoundingCapabilities())
	return effective, bounding, err
}

// names are in the order of their numbers, each once; nil for no message.
func names(info *mesos.CapabilityInfo) ([]string, error) {
	if info == nil {
		return nil, nil
	}
	sorted := slices.Clone(info.GetCapabilities())
	slices.Sort(sorted)
	out := []string{}
	for _, c := range slices.Compact(sorted) {
		if _, known := mesos.CapabilityInfo_Capability_name[int32(c)]; !known || c == mesos.CapabilityInfo_UNKNOWN {
			return nil, fmt.Errorf("%s is not a capability", c)
		}
		out = append(out, prefix+c.String())
	}
	return out, nil
}

func refused(what string, requested, allowed []string) error {
	return fmt.Errorf("%s '%s', but only '%s' are allowed", what, shown(requested), shown(allowed))
}

// shown is a set as Mesos writes it.
func shown(set []string) string {
	short := make([]string, len(set))
	for i, c := range set {
		short[i] = strings.TrimPrefix(c, prefix)
	}
	return "{ " + strings.Join(short, ", ") + " }"
}

func without(set, other []string) (out []string) {
	for _, c := range set {
		if !slices.Contains(other, c) {
			out = append(out, c)
		}
	}
	return out
}

// within is the common part of two sets; no bound is all.
func within(set, bound []string) []string {
	if bound == nil {
		return set
	}
	return without(set, without(set, bound))
}
