package codec

import (
	"bytes"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

func TestJSONIsWrittenAsMesosWritesIt(t *testing.T) {
	for _, c := range []struct {
		name string
		msg  proto.Message
		want string
	}{
		{"defaults of unset fields, not the deprecated ones", &mesos.FrameworkInfo{User: proto.String("u"), Name: proto.String("n")},
			`{"user":"u","name":"n","failover_timeout":0.0,"checkpoint":false}`},
		{"integral doubles keep a decimal", &mesos.Value_Scalar{Value: proto.Float64(15)}, `{"value":15.0}`},
		{"fractions are shortest", &mesos.Value_Scalar{Value: proto.Float64(1795242088.2729719)}, `{"value":1795242088.2729719}`},
		{"64-bit integers are numbers", &mesos.Value_Range{Begin: proto.Uint64(1), End: proto.Uint64(math.MaxUint64)}, `{"begin":1,"end":18446744073709551615}`},
		{"infinity is a string", &mesos.Value_Scalar{Value: proto.Float64(math.Inf(1))}, `{"value":"Infinity"}`},
		{"strings are escaped", &mesos.TaskID{Value: proto.String("a/\"\\\n\x01é\xff")}, "{\"value\":\"a/\\\"\\\\\\n\\u0001é\uFFFD\"}"},
		{"empty lists of an answer", &master.Response_GetAgents{}, `{"agents":[],"recovered_agents":[]}`},
		{"an enum number without a name is left out", &scheduler.Call{Type: scheduler.Call_Type(99).Enum()}, `{}`},
	} {
		got, err := AppendJSON(nil, c.msg)
		if err != nil || string(got) != c.want {
			t.Errorf("%s:\n got %s, %v\nwant %s", c.name, got, err, c.want)
		}
	}
}

func TestJSONIsReadAsMesosReadsIt(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"unknown names are ignored", `{"value":"x","Value":"y","deep":{"a":[1,{"b":null}]}}`, `{"value":"x"}`},
		{"white space", " \t\r\n{ \"value\" : \"x\" } \n", `{"value":"x"}`},
		{"the last of equal names counts", `{"value":"x","value":"y"}`, `{"value":"y"}`},
		{"escapes", `{"value":"\u00e9\ud83d\ude00\/\n"}`, "{\"value\":\"é😀/\\n\"}"},
		{"half of a pair", `{"value":"\ud83d!"}`, "{\"value\":\"\uFFFD!\"}"},
	} {
		compareRead(t, c.name, c.in, c.want, &mesos.TaskID{})
	}
	compareRead(t, "a string holding a number", `{"begin":"3","end":7.0}`, `{"begin":3,"end":7}`, &mesos.Value_Range{})
	compareRead(t, "Infinity", `{"value":"-Infinity"}`, `{"value":"-Infinity"}`, &mesos.Value_Scalar{})
	compareRead(t, "null is unset", `{"type":"REVIVE","revive":null,"framework_id":null}`, `{"type":"REVIVE"}`, &scheduler.Call{})
	compareRead(t, "an unknown enum name is unset", `{"type":"FROBNICATE"}`, `{}`, &scheduler.Call{})
	compareRead(t, "a bare element is a list of one", `{"type":"REVIVE","revive":{"roles":"a"}}`, `{"type":"REVIVE","revive":{"roles":["a"]}}`, &scheduler.Call{})
	compareRead(t, "bool from a string", `{"value":"","shell":"false","extra":0}`, `{"value":"","shell":false}`, &mesos.CommandInfo{})
}

func compareRead(t *testing.T, name, in, want string, msg proto.Message) {
	t.Helper()
	if err := UnmarshalJSON([]byte(in), msg); err != nil {
		t.Errorf("%s: read %s: %v", name, in, err)
		return
	}
	if got, err := AppendJSON(nil, msg); err != nil || string(got) != want {
		t.Errorf("%s: read %s:\n got %s, %v\nwant %s", name, in, got, err, want)
	}
}

func TestErrorsSpeakAsMesosDoes(t *testing.T) {
	const parse, convert = "Failed to parse body into JSON: ", "Failed to convert JSON into Call protobuf: "
	for _, c := range []struct {
		in, want string
		msg      proto.Message
	}{
		{``, parse + "syntax error at line 1 near: ", &scheduler.Call{}},
		{`{`, parse + "syntax error at line 1 near: ", &scheduler.Call{}},
		{`{"type": `, parse + "syntax error at line 1 near: ", &agent.Call{}},
		{"{\n\"type\": !x}\n", parse + "syntax error at line 2 near: !x}", &agent.Call{}},
		{`{} x`, parse + "Parsed JSON included non-whitespace trailing characters: x", &agent.Call{}},
		{`{"get_metrics":"x",!}`, parse + `syntax error at line 1 near: !}`, &master.Call{}},
		{`[]`, convert + "Expecting a JSON object", &scheduler.Call{}},
		{`{"type":5}`, convert + "Not expecting a JSON number for field 'type'", &scheduler.Call{}},
		{`{"get_metrics":"x"}`, convert + "Not expecting a JSON string for field 'get_metrics'", &master.Call{}},
		{`{"acknowledge":{"uuid":{"value":"AA=="}}}`, convert + "Not expecting a JSON object for field 'uuid'", &scheduler.Call{}},
		{`{"framework_id":[]}`, convert + "Not expecting a JSON array for field 'framework_id'", &scheduler.Call{}},
		{`{"type":"SUBSCRIBE","subscribe":{"framework_info":{"name":"x"}}}`, convert + "Missing required fields: subscribe.framework_info.user", &scheduler.Call{}},
		{`{"type":"SUBSCRIBE","subscribe":{}}`, convert + "Missing required fields: executor_id, framework_id", &executor.Call{}},
		{`{"set_logging_level":{"level":1}}`, convert + "Missing required fields: set_logging_level.duration", &master.Call{}},
	} {
		err := UnmarshalJSON([]byte(c.in), c.msg)
		if err == nil {
			t.Errorf("%q: no error, want %q", c.in, c.want)
		} else if got := Describe("Call", err); got != c.want {
			t.Errorf("%q:\n got %q\nwant %q", c.in, got, c.want)
		}
	}
}

func TestBadNumbersAndBytesAreRefused(t *testing.T) {
	for _, in := range []string{`{"begin":-1,"end":1}`, `{"begin":1e30,"end":1}`, `{"begin":"x","end":1}`, `{"begin":01,"end":1}`, `{"begin":true,"end":1}`} {
		if err := UnmarshalJSON([]byte(in), &mesos.Value_Range{}); err == nil {
			t.Errorf("%s: no error", in)
		}
	}
	if err := UnmarshalJSON([]byte(`{"message":{"agent_id":{"value":"a"},"executor_id":{"value":"e"},"data":"*"}}`), &scheduler.Call{}); err == nil || !strings.Contains(err.Error(), "'data'") {
		t.Errorf("bad base64: got %v, want an error naming the field", err)
	}
}

func TestDepthIsBounded(t *testing.T) {
	var conversion *ConversionError
	for _, in := range []string{
		strings.Repeat(`{"parent":`, 1e5) + strings.Repeat(`}`, 1e5),
		`{"value":"x","unknown":` + strings.Repeat(`[`, 1e5) + strings.Repeat(`]`, 1e5) + `}`,
	} {
		if err := UnmarshalJSON([]byte(in), &mesos.ContainerID{}); !errors.As(err, &conversion) {
			t.Errorf("%.30s...: got %v, want a ConversionError", in, err)
		}
	}
	wire := []byte{}
	for range 5000 {
		next := protowire.AppendTag([]byte{0x0a, 1, 'x'}, 2, protowire.BytesType)
		wire = protowire.AppendBytes(next, wire)
	}
	var bad *ProtobufError
	if err := Unmarshal(Protobuf, wire, &mesos.ContainerID{}); !errors.As(err, &bad) {
		t.Errorf("nested protobuf: got %v, want a ProtobufError", err)
	}
}

func TestProtobufChecksRequiredFields(t *testing.T) {
	var bad *ProtobufError
	err := Unmarshal(Protobuf, []byte{0x08, 1, 0x1a, 2, 0x0a, 0}, &scheduler.Call{})
	if !errors.As(err, &bad) || Describe("Call", err) != "Failed to parse body into Call protobuf" {
		t.Errorf("got %v", err)
	}
	if err := Unmarshal(RecordIO, nil, &scheduler.Call{}); err == nil {
		t.Error("RecordIO taken for the encoding of a message")
	}
}

func TestBothEncodingsCarryTheSame(t *testing.T) {
	msg := subscribe()
	for _, mt := range []MediaType{JSON, Protobuf} {
		data, err := Marshal(mt, msg)
		if err != nil {
			t.Fatal(err)
		}
		again := &scheduler.Call{}
		if err := Unmarshal(mt, data, again); err != nil {
			t.Fatalf("%s: %v", mt, err)
		}
		repeated, _ := Marshal(mt, again)
		if !bytes.Equal(data, repeated) {
			t.Errorf("%s:\n got %q\nwant %q", mt, repeated, data)
		}
	}
}

func subscribe() *scheduler.Call {
	call := &scheduler.Call{
		Type:        scheduler.Call_ACCEPT.Enum(),
		FrameworkId: &mesos.FrameworkID{Value: proto.String("f")},
		Accept:      &scheduler.Call_Accept{OfferIds: []*mesos.OfferID{{Value: proto.String("o1")}}},
	}
	for range 20 {
		call.Accept.Operations = append(call.Accept.Operations, &mesos.Offer_Operation{
			Type: mesos.Offer_Operation_LAUNCH.Enum(),
			Launch: &mesos.Offer_Operation_Launch{TaskInfos: []*mesos.TaskInfo{{
				Name: proto.String("name"), TaskId: &mesos.TaskID{Value: proto.String("t")}, AgentId: &mesos.AgentID{Value: proto.String("a")},
				Resources: []*mesos.Resource{{Name: proto.String("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(0.25)}}},
				Command:   &mesos.CommandInfo{Value: proto.String("sleep 1000"), Shell: proto.Bool(true)},
				Data:      []byte("0123456789"),
			}}},
		})
	}
	return call
}

func BenchmarkMarshalJSON(b *testing.B) {
	call := subscribe()
	b.Run("codec", func(b *testing.B) {
		b.ReportAllocs()
		var buf []byte
		for b.Loop() {
			buf, _ = AppendJSON(buf[:0], call)
		}
	})
	b.Run("protojson", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_, _ = protojson.Marshal(call)
		}
	})
}

func BenchmarkUnmarshalJSON(b *testing.B) {
	data, _ := AppendJSON(nil, subscribe())
	b.Run("codec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := UnmarshalJSON(data, &scheduler.Call{}); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("protojson", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if err := protojson.Unmarshal(data, &scheduler.Call{}); err != nil {
				b.Fatal(err)
			}
		}
	})
}
