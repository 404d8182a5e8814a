package httpapi

import (
	"bytes"
	"net/http/httptest"
	"strings"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/testkit/fieldskit"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fill sets every field of a message, down to a depth.
func fill(m protoreflect.Message, depth int) { fieldskit.Fill(m, depth, fieldskit.Plain, nil) }

// refuseAll sends every call of an API with each of its fields dropped, one at a time.
func refuseAll(t *testing.T, path string, empty func() proto.Message, skip map[string]bool) {
	answers := map[int]int{}
	fields := empty().ProtoReflect().Descriptor().Fields()
	kind := fields.ByName("type")
	for i := range kind.Enum().Values().Len() {
		call := kind.Enum().Values().Get(i)
		member := fields.ByName(protoreflect.Name(strings.ToLower(string(call.Name()))))
		if member == nil || skip[string(call.Name())] {
			continue
		}
		e := newEdge(t)
		m := empty().ProtoReflect()
		m.Set(kind, protoreflect.ValueOfEnum(call.Number()))
		fill(m.Mutable(member).Message(), 4)
		if id := fields.ByName("framework_id"); id != nil {
			fill(m.Mutable(id).Message(), 1)
		}
		fieldskit.Each(m, nil, func(what string) {
			raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m.Interface())
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("POST", path, bytes.NewReader(raw))
			r.Header.Set("Content-Type", string(codec.Protobuf))
			status, _, body := e.serve(r)
			answers[status]++
			if status >= 500 && status != 501 {
				t.Errorf("%s %s: %d %s", call.Name(), what, status, body)
			}
		})
	}
	t.Logf("answers by status: %v", answers)
	if answers[400] == 0 {
		t.Error("no call was refused")
	}
}

func TestOperatorCallsWithoutAFieldAreAnsweredAndNeverPanic(t *testing.T) {
	refuseAll(t, "/api/v1", func() proto.Message { return new(master.Call) }, nil)
}

func TestSchedulerCallsWithoutAFieldAreAnsweredAndNeverPanic(t *testing.T) {
	// A subscription is a stream, which this recorder cannot be.
	refuseAll(t, "/api/v1/scheduler", func() proto.Message { return new(scheduler.Call) }, map[string]bool{"SUBSCRIBE": true})
}
