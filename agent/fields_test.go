package agent

import (
	"bytes"
	"net/http"
	"strings"
	"testing"

	"agora.dev/agora/agent/internal/fakecontainers"
	agentpb "agora.dev/agora/api/mesos/v1/agent"
	executorpb "agora.dev/agora/api/mesos/v1/executor"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

func plainValue(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("x")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("0123456789abcdef"))
	case protoreflect.EnumKind:
		return protoreflect.ValueOfEnum(f.Enum().Values().Get(f.Enum().Values().Len() - 1).Number())
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(false)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(1)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(1)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(1)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1)
	}
	return protoreflect.ValueOfInt64(1)
}

func fillCall(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap() || f.Message() != nil && depth <= 0 && f.Cardinality() != protoreflect.Required:
		case f.IsList() && f.Message() != nil:
			fillCall(m.Mutable(f).List().AppendMutable().Message(), depth-1)
		case f.IsList():
			m.Mutable(f).List().Append(plainValue(f))
		case f.Message() != nil:
			fillCall(m.Mutable(f).Message(), depth-1)
		default:
			m.Set(f, plainValue(f))
		}
	}
}

func eachWithout(m protoreflect.Message, visit func(what string)) {
	var set []protoreflect.FieldDescriptor
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = append(set, f)
		return true
	})
	for _, f := range set {
		value := m.Get(f)
		m.Clear(f)
		visit(string(f.FullName()))
		m.Set(f, value)
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range value.List().Len() {
				eachWithout(value.List().Get(i).Message(), visit)
			}
		default:
			eachWithout(value.Message(), visit)
		}
	}
}

// TestCallsWithoutAFieldAreAnsweredByARealAgent sends every call of the agent's and the executor's API with each of its
// fields dropped, one at a time.
func TestCallsWithoutAFieldAreAnsweredByARealAgent(t *testing.T) {
	m := newMaster(t)
	a := start(t, t.TempDir(), fakecontainers.New(), m, 0)
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
				fillCall(call.Mutable(member).Message(), 2)
			}
			for _, id := range []protoreflect.Name{"framework_id", "executor_id"} {
				if f := fields.ByName(id); f != nil {
					fillCall(call.Mutable(f).Message(), 1)
				}
			}
			eachWithout(call, func(what string) {
				raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(call.Interface())
				if err != nil {
					t.Fatal(err)
				}
				r, err := http.Post("http://"+a.Address()+path, "application/x-protobuf", bytes.NewReader(raw))
				if err != nil {
					t.Errorf("%s without %s: %v", kind.Name(), what, err)
					return
				}
				r.Body.Close()
				answers[r.StatusCode]++
				if r.StatusCode >= 500 && r.StatusCode != 501 && r.StatusCode != 503 {
					t.Errorf("%s without %s: %s", kind.Name(), what, r.Status)
				}
			})
		}
	}
	t.Logf("answers by status: %v", answers)
	if answers[400] == 0 {
		t.Error("no call was refused")
	}
}
