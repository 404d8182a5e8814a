package codec

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	link "agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

func FuzzSchedulerCall(f *testing.F)  { fuzz(f, &scheduler.Call{}) }
func FuzzSchedulerEvent(f *testing.F) { fuzz(f, &scheduler.Event{}) }
func FuzzExecutorCall(f *testing.F)   { fuzz(f, &executor.Call{}) }
func FuzzExecutorEvent(f *testing.F)  { fuzz(f, &executor.Event{}) }
func FuzzAgentCall(f *testing.F)      { fuzz(f, &agent.Call{}) }
func FuzzMasterCall(f *testing.F)     { fuzz(f, &master.Call{}) }
func FuzzLinkFromAgent(f *testing.F)  { fuzz(f, &link.FromAgent{}) }
func FuzzLinkFromMaster(f *testing.F) { fuzz(f, &link.FromMaster{}) }

// fuzz feeds inputs of both encodings to the decoder of empty's type.
func fuzz(f *testing.F, empty proto.Message) {
	for seed := range uint64(8) {
		msg := empty.ProtoReflect().New()
		fill(msg, rand.New(rand.NewPCG(seed, 0)), 4)
		for _, mt := range []MediaType{JSON, Protobuf} {
			data, err := Marshal(mt, msg.Interface())
			if err != nil {
				f.Fatalf("%s: %v", mt, err)
			}
			f.Add(mt == JSON, data)
		}
	}
	for _, bad := range []string{"", "{", "[]", "null", `{"type":5}`, `{"type":null}`, "\xff\xff\xff\xff\xff", "\x0a\x80\x80\x80\x80\x10", strings.Repeat(`{"a":[`, 200)} {
		f.Add(true, []byte(bad))
		f.Add(false, []byte(bad))
	}
	f.Fuzz(func(t *testing.T, json bool, data []byte) {
		mt := Protobuf
		if json {
			mt = JSON
		}
		msg := empty.ProtoReflect().New().Interface()
		if err := Unmarshal(mt, data, msg); err != nil {
			checkError(t, err)
			return
		}
		checkStable(t, mt, msg)
		if json {
			checkStable(t, Protobuf, msg)
		}
	})
}

// checkError holds the decoder to the errors that it documents.
func checkError(t *testing.T, err error) {
	t.Helper()
	var (
		syntax   *SyntaxError
		shape    *ConversionError
		protobuf *ProtobufError
		size     *SizeError
	)
	if !errors.As(err, &syntax) && !errors.As(err, &shape) && !errors.As(err, &protobuf) && !errors.As(err, &size) {
		t.Fatalf("error of an undocumented type %T: %v", err, err)
	}
	if Describe("Call", err) == "" {
		t.Fatal("an error without words")
	}
}

// checkStable encodes, decodes and encodes again: both times the same bytes.
func checkStable(t *testing.T, mt MediaType, msg proto.Message) {
	t.Helper()
	first, err := Marshal(mt, msg)
	if err != nil {
		t.Fatalf("%s: encode what was decoded: %v", mt, err)
	}
	again := msg.ProtoReflect().New().Interface()
	if err := Unmarshal(mt, first, again); err != nil {
		// Lists that were written as bare elements nest one level deeper when written as lists.
		if strings.Contains(err.Error(), errDepth.Error()) {
			return
		}
		t.Fatalf("%s: decode what was encoded: %v\n%q", mt, err, first)
	}
	second, err := Marshal(mt, again)
	if err != nil || !bytes.Equal(first, second) {
		t.Fatalf("%s: %v\n got %q\nwant %q", mt, err, second, first)
	}
}

// TestAnyMessageSurvivesBothEncodings is the property behind the fuzz targets, on messages that
// use every field of every type.
func TestAnyMessageSurvivesBothEncodings(t *testing.T) {
	types := []proto.Message{&scheduler.Call{}, &scheduler.Event{}, &executor.Call{}, &executor.Event{}, &agent.Call{}, &agent.Response{},
		&master.Call{}, &master.Response{}, &master.Event{}, &link.FromAgent{}, &link.FromMaster{}}
	for _, empty := range types {
		for seed := range uint64(20) {
			msg := empty.ProtoReflect().New()
			fill(msg, rand.New(rand.NewPCG(seed, 1)), 5)
			for _, mt := range []MediaType{JSON, Protobuf} {
				data, err := Marshal(mt, msg.Interface())
				if err != nil {
					t.Fatalf("%T seed %d: %s: %v", empty, seed, mt, err)
				}
				again := msg.New().Interface()
				if err := Unmarshal(mt, data, again); err != nil {
					t.Fatalf("%T seed %d: %s: %v", empty, seed, mt, err)
				}
				if !proto.Equal(msg.Interface(), again) {
					t.Fatalf("%T seed %d: %s:\n got %v\nwant %v", empty, seed, mt, again, msg.Interface())
				}
			}
		}
	}
}

// fill sets the required fields of m, and some of the others down to depth.
func fill(m protoreflect.Message, r *rand.Rand, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		deep := f.Kind() == protoreflect.MessageKind || f.Kind() == protoreflect.GroupKind
		// JSON writes explicit defaults, so that what was unset comes back set.
		if f.Cardinality() != protoreflect.Required && !f.HasDefault() && (r.IntN(3) == 0 || deep && depth <= 0) {
			continue
		}
		switch {
		case f.IsMap():
			key := protoreflect.ValueOfString(fmt.Sprint("k", r.IntN(9))).MapKey()
			value := m.Mutable(f).Map().NewValue()
			if f.MapValue().Kind() == protoreflect.MessageKind {
				fill(value.Message(), r, depth-1)
			} else {
				value = scalarOf(f.MapValue(), r)
			}
			m.Mutable(f).Map().Set(key, value)
		case f.IsList():
			list := m.Mutable(f).List()
			for range 1 + r.IntN(2) {
				if !deep {
					list.Append(scalarOf(f, r))
					continue
				}
				element := list.NewElement()
				fill(element.Message(), r, depth-1)
				list.Append(element)
			}
		case deep:
			fill(m.Mutable(f).Message(), r, depth-1)
		default:
			m.Set(f, scalarOf(f, r))
		}
	}
}

func scalarOf(f protoreflect.FieldDescriptor, r *rand.Rand) protoreflect.Value {
	switch f.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(r.IntN(2) == 0)
	case protoreflect.EnumKind:
		values := f.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(r.IntN(values.Len())).Number())
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		return protoreflect.ValueOfInt32(int32(r.Uint32()))
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		return protoreflect.ValueOfUint32(r.Uint32())
	case protoreflect.Int64Kind, protoreflect.Sint64Kind, protoreflect.Sfixed64Kind:
		return protoreflect.ValueOfInt64(int64(r.Uint64()))
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		return protoreflect.ValueOfUint64(r.Uint64())
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(r.NormFloat64()))
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(r.NormFloat64() * 1e6)
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{byte(r.Uint32()), 0, 0xff})
	}
	texts := []string{"", "a", "slash/ed", "quo\"ted\\", "line\nfeed\x00", "größe 😀", "Infinity", "null"}
	return protoreflect.ValueOfString(texts[r.IntN(len(texts))])
}
