package master_test

import (
	"fmt"
	"strings"
	"testing"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/master"
)

func registration(host, text string) *link.FromAgent {
	return &link.FromAgent{Message: &link.FromAgent_Register{Register: &link.Register{Version: ptr("1.11.0"),
		Agent: &mesos.AgentInfo{Hostname: &host, Port: ptr(int32(1)), Resources: []*mesos.Resource{scalar("cpus", 8), scalar("mem", 8192)},
			Attributes: []*mesos.Attribute{{Name: ptr("note"), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: &text}}}}}}}
}

// TestWhatTheRegistryCannotHoldIsRefused: a leader whose registry write fails ends its term, so nobody may be
// able to order a write that no store carries out.
func TestWhatTheRegistryCannotHoldIsRefused(t *testing.T) {
	m := startMaster(t, master.Deps{})
	long := strings.Repeat("x", 64<<10)
	var many strings.Builder
	for i := range 1100 {
		fmt.Fprintf(&many, `,{"role":"r%d","weight":2}`, i)
	}
	for _, call := range []string{
		`{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"` + long + `","weight":2}]}}`,
		`{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[` + many.String()[1:] + `]}}`,
		`{"type":"UPDATE_QUOTA","update_quota":{"force":true,"quota_configs":[{"role":"` + long + `","limits":{"cpus":{"value":1}}}]}}`,
		`{"type":"SET_QUOTA","set_quota":{"quota_request":{"force":true,"role":"` + long + `","guarantee":[{"name":"cpus","type":"SCALAR","scalar":{"value":1}}]}}}`,
		`{"type":"UPDATE_MAINTENANCE_SCHEDULE","update_maintenance_schedule":{"schedule":{"windows":[{"machine_ids":[{"hostname":"` + long +
			`"}],"unavailability":{"start":{"nanoseconds":1}}}]}}}`,
	} {
		if status, text := operatorCall(t, m, call); status != 400 || !strings.Contains(text, "registry") {
			t.Errorf("%.100s: %d %.300s", call, status, text)
		}
	}
	stream, err := agentlink.Dial(t.Context(), m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer stream.Close()
	if err := stream.Send(registration("large", strings.Repeat("x", 2<<20))); err != nil {
		t.Fatal(err)
	}
	if answer, err := stream.Recv(); err != nil || !strings.Contains(answer.GetRefused().GetReason(), "registry") {
		t.Errorf("agent with an attribute of 2 MiB: %.300v, %v", answer, err)
	}
	startAgent(t, m)
}

// TestManyLargeAgentsAtOnceAreAdmitted has more in one turn of the registrar than a transaction holds.
func TestManyLargeAgentsAtOnceAreAdmitted(t *testing.T) {
	m := startMaster(t, master.Deps{})
	streams := make([]*agentlink.Stream, 60)
	text := strings.Repeat("x", 60<<10)
	for i := range streams {
		streams[i] = m.Dial()
		defer streams[i].Close()
		go streams[i].Send(registration(fmt.Sprintf("large-%d", i), text))
	}
	for i, s := range streams {
		for {
			answer, err := s.Recv()
			if err != nil {
				t.Fatalf("agent %d: %v", i, err)
			}
			if answer.GetRegistered() != nil {
				break
			}
		}
	}
}
