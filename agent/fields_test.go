package agent

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"agora.dev/agora/agent/internal/fakecontainers"
	agentpb "agora.dev/agora/api/mesos/v1/agent"
	executorpb "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/internal/testkit/fieldskit"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// TestCallsWithoutAFieldAreAnsweredByARealAgent sends every call of the agent's and the executor's API with each of its
// fields dropped, one at a time.
func TestCallsWithoutAFieldAreAnsweredByARealAgent(t *testing.T) {
	m := newMaster(t)
	machine := fakecontainers.New()
	a := start(t, t.TempDir(), machine, m, 0)
	defer a.stop()
	m.register()
	answers := map[int]int{}
	for path, empty := range map[string]func() proto.Message{"/api/v1": func() proto.Message { return new(agentpb.Call) },
		"/api/v1/executor": func() proto.Message { return new(executorpb.Call) }} {
		fields := empty().ProtoReflect().Descriptor().Fields()
		kinds := fields.ByName("type").Enum().Values()
		for i := range kinds.Len() {
			kind := kinds.Get(i)
			call := empty().ProtoReflect()
			call.Set(fields.ByName("type"), protoreflect.ValueOfEnum(kind.Number()))
			if member := fields.ByName(protoreflect.Name(strings.ToLower(string(kind.Name())))); member != nil {
				fieldskit.Fill(call.Mutable(member).Message(), 2, fieldskit.Plain, nil)
			}
			for _, id := range []protoreflect.Name{"framework_id", "executor_id"} {
				if f := fields.ByName(id); f != nil {
					fieldskit.Fill(call.Mutable(f).Message(), 1, fieldskit.Plain, nil)
				}
			}
			fieldskit.Each(call, nil, func(what string) {
				raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(call.Interface())
				if err != nil {
					t.Fatal(err)
				}
				r, err := http.Post("http://"+a.Address()+path, "application/x-protobuf", bytes.NewReader(raw))
				if err != nil {
					t.Errorf("%s %s: %v", kind.Name(), what, err)
					return
				}
				r.Body.Close()
				machine.End("x", 0) // a call may have launched it, and WAIT_CONTAINER waits
				answers[r.StatusCode]++
				if r.StatusCode >= 500 && r.StatusCode != 501 && r.StatusCode != 503 {
					t.Errorf("%s %s: %s", kind.Name(), what, r.Status)
				}
			})
		}
	}
	t.Logf("answers by status: %v", answers)
	if answers[400] == 0 {
		t.Error("no call was refused")
	}
}
