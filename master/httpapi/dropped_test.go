package httpapi

import (
	"bytes"
	"net/http/httptest"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// fill sets every field of a message, down to a depth.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap():
		case f.IsList():
			list := m.Mutable(f).List()
			if f.Message() == nil {
				list.Append(fieldSample(f))
			} else if depth > 0 {
				fill(list.AppendMutable().Message(), depth-1)
			}
		case f.Message() != nil:
			if depth > 0 {
				fill(m.Mutable(f).Message(), depth-1)
			}
		default:
			m.Set(f, fieldSample(f))
		}
	}
}

func fieldSample(f protoreflect.FieldDescriptor) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("x")
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte("0123456789abcdef"))
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(values.Len() - 1).Number())
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(true)
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(1)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(1)
	case protoreflect.Int32Kind, protoreflect.Sint32Kind:
		return protoreflect.ValueOfInt32(1)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(1)
	case protoreflect.Uint64Kind:
		return protoreflect.ValueOfUint64(1)
	}
	return protoreflect.ValueOfInt64(1)
}

// eachDropped calls visit once for every field that is set, with the field away.
func eachDropped(m protoreflect.Message, visit func(field string)) {
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
				eachDropped(value.List().Get(i).Message(), visit)
			}
		default:
			eachDropped(value.Message(), visit)
		}
	}
}

// refuseAll sends every call of an API with each of its fields dropped, one at a time.
func refuseAll(t *testing.T, path string, empty func() proto.Message, skip map[string]bool) {
	answers := map[int]int{}
	fields := empty().ProtoReflect().Descriptor().Fields()
	kind := fields.ByName("type")
	for i := range kind.Enum().Values().Len() {
		call := kind.Enum().Values().Get(i)
		member := fields.ByName(protoreflect.Name(toLower(string(call.Name()))))
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
		eachDropped(m, func(field string) {
			raw, err := proto.MarshalOptions{AllowPartial: true}.Marshal(m.Interface())
			if err != nil {
				t.Fatal(err)
			}
			r := httptest.NewRequest("POST", path, bytes.NewReader(raw))
			r.Header.Set("Content-Type", string(codec.Protobuf))
			status, _, body := e.serve(r)
			answers[status]++
			if status >= 500 && status != 501 {
				t.Errorf("%s without %s: %d %s", call.Name(), field, status, body)
			}
		})
	}
	t.Logf("answers by status: %v", answers)
	if answers[400] == 0 {
		t.Error("no call was refused")
	}
}

func toLower(s string) string { return string(bytes.ToLower([]byte(s))) }

func TestOperatorCallsWithoutAFieldAreAnsweredAndNeverPanic(t *testing.T) {
	refuseAll(t, "/api/v1", func() proto.Message { return new(master.Call) }, nil)
}

func TestSchedulerCallsWithoutAFieldAreAnsweredAndNeverPanic(t *testing.T) {
	// A subscription is a stream, which this recorder cannot be.
	refuseAll(t, "/api/v1/scheduler", func() proto.Message { return new(scheduler.Call) }, map[string]bool{"SUBSCRIBE": true})
}
