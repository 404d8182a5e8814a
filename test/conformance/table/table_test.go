package table

import (
	"flag"
	"os"
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"agora.dev/agora/api/codec"
)

var update = flag.Bool("update", false, "write docs/design/compatibility-table.md")

const tableFile = "../../../docs/design/compatibility-table.md"

func TestEveryRowIsDoneOrArgued(t *testing.T) {
	uses, err := FindUses("../../..")
	if err != nil {
		t.Fatal(err)
	}
	exceptions, err := ReadExceptions("testdata/exceptions.txt")
	if err != nil {
		t.Fatal(err)
	}
	c := newCluster(t)
	c.subscribe()
	metrics := c.metricRows()
	rows := append(c.callRows(), EnumRows(uses)...)
	rows = append(append(append(append(rows, c.endpointRows()...), metrics...), c.flagRows()...), permissionRows(uses)...)
	text, problems := Judge(append(rows, FieldRows(uses)...), exceptions)
	for _, problem := range problems {
		t.Error(problem)
	}
	if *update {
		if err := os.WriteFile(tableFile, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if have, err := os.ReadFile(tableFile); err != nil || string(have) != text {
		t.Errorf("%s is stale: run go test ./test/conformance/table -update", tableFile)
	}
}

// fill sets every field of a message, those of messages in it as deep as depth.
func fill(m protoreflect.Message, depth int) {
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		field := fields.Get(i)
		switch {
		case field.IsMap():
			if field.MapValue().Message() != nil && depth == 0 {
				continue
			}
			of := m.Mutable(field).Map()
			value := of.NewValue()
			if field.MapValue().Message() != nil {
				fill(value.Message(), depth-1)
			} else {
				value = scalar(field.MapValue())
			}
			of.Set(scalar(field.MapKey()).MapKey(), value)
		case field.Message() != nil && depth == 0 && field.Cardinality() != protoreflect.Required:
		case field.IsList() && field.Message() != nil:
			fill(m.Mutable(field).List().AppendMutable().Message(), depth-1)
		case field.IsList():
			m.Mutable(field).List().Append(scalar(field))
		case field.Message() != nil:
			fill(m.Mutable(field).Message(), max(0, depth-1))
		default:
			m.Set(field, scalar(field))
		}
	}
}

// scalar is a value that is not the default.
func scalar(field protoreflect.FieldDescriptor) protoreflect.Value {
	switch field.Kind() {
	case protoreflect.BoolKind:
		return protoreflect.ValueOfBool(!field.Default().Bool())
	case protoreflect.EnumKind:
		values := field.Enum().Values()
		return protoreflect.ValueOfEnum(values.Get(values.Len() - 1).Number())
	case protoreflect.StringKind:
		return protoreflect.ValueOfString("é" + string(field.Name()))
	case protoreflect.BytesKind:
		return protoreflect.ValueOfBytes([]byte{0, 255, byte(field.Number())})
	case protoreflect.DoubleKind:
		return protoreflect.ValueOfFloat64(float64(field.Number()) + 0.5)
	case protoreflect.FloatKind:
		return protoreflect.ValueOfFloat32(float32(field.Number()) + 0.5)
	case protoreflect.Int32Kind:
		return protoreflect.ValueOfInt32(-7)
	case protoreflect.Int64Kind:
		return protoreflect.ValueOfInt64(1<<52 + 1)
	case protoreflect.Uint32Kind:
		return protoreflect.ValueOfUint32(1<<32 - 1)
	}
	return protoreflect.ValueOfUint64(1<<52 + 1)
}

func TestEveryFieldSurvivesBothEncodings(t *testing.T) {
	for _, descriptor := range Messages() {
		of, err := protoregistry.GlobalTypes.FindMessageByName(descriptor.FullName())
		if err != nil {
			t.Fatal(err)
		}
		sent := of.New()
		fill(sent, 2)
		for _, media := range []codec.MediaType{codec.JSON, codec.Protobuf} {
			text, err := codec.Marshal(media, sent.Interface())
			got := of.New().Interface()
			if err == nil {
				err = codec.Unmarshal(media, text, got)
			}
			if err != nil || !proto.Equal(got, sent.Interface()) {
				t.Errorf("%s as %s: %v\nsent %v\ngot  %v", descriptor.FullName(), media, err, sent, got)
			}
		}
	}
}
