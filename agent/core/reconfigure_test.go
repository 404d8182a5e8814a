package core_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// reconfigurable is an agent with attributes "rack:TEXT;slots:SCALAR;span:RANGES".
func reconfigurable(t *testing.T, total, rack string, slots float64, end uint64) *mesos.AgentInfo {
	t.Helper()
	r, err := resources.Parse(total, "*")
	if err != nil {
		t.Fatal(err)
	}
	return &mesos.AgentInfo{Hostname: proto.String("h"), Port: proto.Int32(5051), Resources: r.Proto(), Attributes: []*mesos.Attribute{
		{Name: proto.String("rack"), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: &rack}},
		{Name: proto.String("slots"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &slots}},
		{Name: proto.String("span"), Type: mesos.Value_RANGES.Enum(), Ranges: &mesos.Value_Ranges{
			Range: []*mesos.Value_Range{{Begin: proto.Uint64(1), End: &end}}}},
	}}
}

func withDomain(info *mesos.AgentInfo, region string) *mesos.AgentInfo {
	info.Domain = &mesos.DomainInfo{FaultDomain: &mesos.DomainInfo_FaultDomain{
		Region: &mesos.DomainInfo_FaultDomain_RegionInfo{Name: &region}, Zone: &mesos.DomainInfo_FaultDomain_ZoneInfo{Name: proto.String("z")}}}
	return info
}

func TestReconfigurationPolicy(t *testing.T) {
	const total = "cpus:2;mem:100;ports:[10-20]"
	before := func() *mesos.AgentInfo { return reconfigurable(t, total, "r1", 2, 9) }
	for _, c := range []struct {
		name            string
		was, is         *mesos.AgentInfo
		equal, additive string // parts of the refusal; empty when the agent starts
	}{
		{"the same", before(), before(), "", ""},
		{"more", before(), reconfigurable(t, "cpus:4;mem:100;disk:5;ports:[5-30]", "r1", 3, 10), "--resources", ""},
		{"less memory", before(), reconfigurable(t, "cpus:4;mem:99;ports:[10-20]", "r1", 2, 9), "--resources", "may only grow"},
		{"fewer ports", before(), reconfigurable(t, "cpus:2;mem:100;ports:[10-19]", "r1", 2, 9), "--resources", "may only grow"},
		{"another rack", before(), reconfigurable(t, total, "r2", 2, 9), "--attributes", `less than before of "rack"`},
		{"fewer slots", before(), reconfigurable(t, total, "r1", 1, 9), "--attributes", `less than before of "slots"`},
		{"a shorter span", before(), reconfigurable(t, total, "r1", 2, 8), "--attributes", `less than before of "span"`},
		{"a domain", before(), withDomain(before(), "eu"), "--domain", ""},
		{"another domain", withDomain(before(), "eu"), withDomain(before(), "us"), "--domain", "--domain"},
		{"no domain", withDomain(before(), "eu"), before(), "--domain", "--domain"},
	} {
		for policy, want := range map[core.Policy]string{"": c.equal, core.PolicyEqual: c.equal, core.PolicyAdditive: c.additive} {
			refusal, written := recoverAs(policy, c.was, c.is)
			if (refusal == "") != (want == "") || !strings.Contains(refusal, want) {
				t.Errorf("%s, policy %q: refused with %q, want %q", c.name, policy, refusal, want)
			}
			if changed := !proto.Equal(c.was.Domain, c.is.Domain) || c.name == "more"; want == "" && written != changed {
				t.Errorf("%s, policy %q: written down: %v", c.name, policy, written)
			}
		}
	}
}

// recoverAs starts an agent on what another one left, and tells the refusal and whether it wrote itself down.
func recoverAs(policy core.Policy, was, is *mesos.AgentInfo) (refusal string, written bool) {
	was = proto.CloneOf(was)
	was.Id = &mesos.AgentID{Value: proto.String("S0")}
	c := core.New(core.Config{Info: is, Version: "1", Reconfiguration: policy, Executors: builtins{},
		NewUUID: func() (id [16]byte) { return id }, Random: func() float64 { return 0 }})
	ready := c.Step(time.Unix(1, 0), core.Recovered{State: &core.State{Agent: was}})
	for _, send := range ready.Send {
		if exit, ok := send.(core.Exit); ok && exit.Err != nil {
			refusal = exit.Err.Error()
		}
	}
	for _, write := range ready.Persist {
		_, agent := write.(core.WriteAgent)
		written = written || agent
	}
	return refusal, written
}
