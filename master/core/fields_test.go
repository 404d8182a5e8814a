package core

import (
	"cmp"
	"math"
	"runtime/debug"
	"strings"
	"testing"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/testkit/fieldskit"
	"agora.dev/agora/master/validation"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// example fills every field of a message down to a depth, with ids of what prepared has.
func example(m protoreflect.Message, depth int) {
	fieldskit.Fill(m, depth, func(f protoreflect.FieldDescriptor) protoreflect.Value { return oddValues(f)[0] }, known)
}

// known fills messages that have to name something, or to be of a certain form.
func known(m protoreflect.Message) bool {
	switch v := m.Interface().(type) {
	case *mesos.FrameworkID:
		v.Value = ptr("m-0000")
	case *mesos.AgentID:
		v.Value = ptr("m-S0")
	case *mesos.OfferID:
		v.Value = ptr("m-O0")
	case *mesos.Resource:
		v.Name, v.Type, v.Scalar = ptr("cpus"), mesos.Value_SCALAR.Enum(), &mesos.Value_Scalar{Value: ptr(1.0)}
	default:
		return false
	}
	return true
}

// oddValues are values of a field; the first one is plain.
func oddValues(f protoreflect.FieldDescriptor) (list []protoreflect.Value) {
	switch f.Kind() {
	case protoreflect.StringKind:
		for _, s := range []string{"web", "", ".", "..", "/", "a/../b", "\x00", "-x", "*", " ", "\u202e", "\xff", strings.Repeat("x", 64<<10)} {
			list = append(list, protoreflect.ValueOfString(s))
		}
	case protoreflect.BytesKind:
		for _, s := range []string{"0123456789abcdef", "", "\x00", strings.Repeat("x", 64<<10)} {
			list = append(list, protoreflect.ValueOfBytes([]byte(s)))
		}
	case protoreflect.EnumKind:
		for _, n := range []protoreflect.EnumNumber{1, 0, -7, math.MaxInt32} {
			list = append(list, protoreflect.ValueOfEnum(n))
		}
	case protoreflect.BoolKind:
		return []protoreflect.Value{protoreflect.ValueOfBool(true), protoreflect.ValueOfBool(false)}
	case protoreflect.DoubleKind:
		for _, v := range []float64{1, 0, math.Copysign(0, -1), -1, 0.0004, math.NaN(), math.Inf(1), math.Inf(-1), math.MaxFloat64, 5e-324} {
			list = append(list, protoreflect.ValueOfFloat64(v))
		}
	case protoreflect.FloatKind:
		return []protoreflect.Value{protoreflect.ValueOfFloat32(1), protoreflect.ValueOfFloat32(float32(math.NaN()))}
	case protoreflect.Int32Kind:
		for _, v := range []int32{1, 0, -1, math.MinInt32, math.MaxInt32} {
			list = append(list, protoreflect.ValueOfInt32(v))
		}
	case protoreflect.Uint32Kind:
		for _, v := range []uint32{1, 0, 65536, math.MaxUint32} {
			list = append(list, protoreflect.ValueOfUint32(v))
		}
	case protoreflect.Uint64Kind:
		for _, v := range []uint64{1, 0, math.MaxUint64} {
			list = append(list, protoreflect.ValueOfUint64(v))
		}
	default:
		for _, v := range []int64{1, 0, -1, math.MinInt64, math.MaxInt64} {
			list = append(list, protoreflect.ValueOfInt64(v))
		}
	}
	return list
}

// stepOdd carries a call with each of its fields dropped or odd out on a cluster, one at a time, as the edge does: what
// validation refuses does not come to the core.
func stepOdd(t *testing.T, call *scheduler.Call, at proto.Message) (asked, refused int) {
	s, used := prepared(t), 0
	fieldskit.Each(at.ProtoReflect(), oddValues, func(what string) {
		asked++
		copied := proto.CloneOf(call)
		if err := cmp.Or(proto.CheckInitialized(copied), validation.Call(copied, "")); err != nil {
			refused++
			return
		}
		if used++; used%16 == 0 || call.GetType() == scheduler.Call_ACCEPT {
			s = prepared(t)
		}
		defer func() {
			if p := recover(); p != nil {
				t.Fatalf("%s %s: panic: %v\n%s", call.GetType(), what, p, debug.Stack())
			}
		}()
		s.core.Step(s.now, SchedulerCall{Request: 1, Conn: 1, Call: copied})
		if err := s.core.CheckInvariants(); err != nil {
			t.Fatalf("%s %s: %v", call.GetType(), what, err)
		}
		s.core.Snapshot()
	})
	return asked, refused
}

func TestNoFieldOfASchedulerCallHurts(t *testing.T) {
	fields := new(scheduler.Call).ProtoReflect().Descriptor().Fields()
	asked, refused := 0, 0
	for i := range scheduler.Call_SUBSCRIBE.Descriptor().Values().Len() {
		kind := scheduler.Call_SUBSCRIBE.Descriptor().Values().Get(i)
		call := &scheduler.Call{Type: scheduler.Call_Type(kind.Number()).Enum(), FrameworkId: frameworkID("m-0000")}
		if member := fields.ByName(protoreflect.Name(strings.ToLower(string(kind.Name())))); member != nil && kind.Name() != "ACCEPT" {
			example(call.ProtoReflect().Mutable(member).Message(), 5)
		}
		n, r := stepOdd(t, call, call)
		asked, refused = asked+n, refused+r
	}
	t.Logf("%d calls, %d refused by validation", asked, refused)
	if asked-refused < 300 {
		t.Error("hardly any call comes to the core")
	}
}

func TestNoFieldOfAnOperationHurts(t *testing.T) {
	fields := new(mesos.Offer_Operation).ProtoReflect().Descriptor().Fields()
	asked, refused := 0, 0
	for i := range mesos.Offer_Operation_LAUNCH.Descriptor().Values().Len() {
		kind := mesos.Offer_Operation_LAUNCH.Descriptor().Values().Get(i)
		op := &mesos.Offer_Operation{Type: mesos.Offer_Operation_Type(kind.Number()).Enum()}
		if member := fields.ByName(protoreflect.Name(strings.ToLower(string(kind.Name())))); member != nil {
			example(op.ProtoReflect().Mutable(member).Message(), 5)
		}
		n, r := stepOdd(t, &scheduler.Call{Type: scheduler.Call_ACCEPT.Enum(), FrameworkId: frameworkID("m-0000"), Accept: &scheduler.Call_Accept{
			OfferIds: []*mesos.OfferID{offerID("m-O0")}, Filters: &mesos.Filters{RefuseSeconds: ptr(1.0)}, Operations: []*mesos.Offer_Operation{op}}}, op)
		asked, refused = asked+n, refused+r
	}
	t.Logf("%d operations, %d refused by validation", asked, refused)
	if asked-refused < 500 {
		t.Error("hardly any operation comes to the core")
	}
}
