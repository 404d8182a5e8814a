// Package fieldskit fills protobuf messages and takes their fields away one at a time, for tests of what a stranger may send.
package fieldskit

import (
	"fmt"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// Fill sets every field of a message that is no map, down to a depth of messages; those that are required at any depth.
// value gives the scalars. special fills a message itself, and says so; nil: none is special.
func Fill(m protoreflect.Message, depth int, value func(protoreflect.FieldDescriptor) protoreflect.Value, special func(protoreflect.Message) bool) {
	if special != nil && special(m) {
		return
	}
	fields := m.Descriptor().Fields()
	for i := range fields.Len() {
		f := fields.Get(i)
		switch {
		case f.IsMap() || f.Message() != nil && depth <= 0 && f.Cardinality() != protoreflect.Required:
		case f.IsList() && f.Message() != nil:
			Fill(m.Mutable(f).List().AppendMutable().Message(), depth-1, value, special)
		case f.IsList():
			m.Mutable(f).List().Append(value(f))
		case f.Message() != nil:
			Fill(m.Mutable(f).Message(), depth-1, value, special)
		default:
			m.Set(f, value(f))
		}
	}
}

// Plain is an unremarkable value of a scalar field; of an enumeration the last one.
func Plain(f protoreflect.FieldDescriptor) protoreflect.Value {
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

// Each calls visit while one field that is set, at any depth, is away, and then while a scalar has each of its odd values;
// nil: only away. Afterwards the message is as it was.
func Each(m protoreflect.Message, odd func(protoreflect.FieldDescriptor) []protoreflect.Value, visit func(what string)) {
	var set []protoreflect.FieldDescriptor
	m.Range(func(f protoreflect.FieldDescriptor, _ protoreflect.Value) bool {
		set = append(set, f)
		return true
	})
	for _, f := range set {
		value := m.Get(f)
		m.Clear(f)
		visit("without " + string(f.FullName()))
		if odd != nil && f.Message() == nil && !f.IsList() {
			for i, one := range odd(f) {
				m.Set(f, one)
				visit(fmt.Sprintf("with odd value %d of %s", i, f.FullName()))
			}
		}
		m.Set(f, value)
		switch {
		case f.Message() == nil || f.IsMap():
		case f.IsList():
			for i := range value.List().Len() {
				Each(value.List().Get(i).Message(), odd, visit)
			}
		default:
			Each(value.Message(), odd, visit)
		}
	}
}
