package core

import (
	"strings"
	"testing"

	"agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/encoding/prototext"
)

// TestATaskThatAnAgentBringsBackShowsNoSecret: the agent may be one that sends them.
func TestATaskThatAnAgentBringsBackShowsNoSecret(t *testing.T) {
	secret := &mesos.Secret{Type: mesos.Secret_VALUE.Enum(), Value: &mesos.Secret_Value{Data: []byte("canary")}}
	sent := &mesos.Task{
		Container: &mesos.ContainerInfo{Type: mesos.ContainerInfo_MESOS.Enum(), Volumes: []*mesos.Volume{{
			Mode: mesos.Volume_RW.Enum(), ContainerPath: ptr("v"), Source: &mesos.Volume_Source{Type: mesos.Volume_Source_SECRET.Enum(), Secret: secret}}}},
		HealthCheck: &mesos.HealthCheck{Command: &mesos.CommandInfo{Environment: &mesos.Environment{Variables: []*mesos.Environment_Variable{
			{Name: ptr("A"), Type: mesos.Environment_Variable_SECRET.Enum(), Secret: secret}}}}},
	}
	if before := prototext.Format(sent); strings.Count(before, "canary") != 2 {
		t.Fatalf("the task has not two secrets: %s", before)
	}
	if shown := prototext.Format(recordOf(sent).Base); strings.Contains(shown, "canary") {
		t.Errorf("shown: %s", shown)
	}
}
