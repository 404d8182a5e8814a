package codec

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// UnmarshalJSON replaces the content of msg with what Mesos would read from data: unknown names
// are ignored, null is unset, a string may hold a number, a bare element is a list of one.
func UnmarshalJSON(data []byte, msg proto.Message) error {
	if len(data) > MaxSize {
		return &SizeError{Size: len(data)}
	}
	proto.Reset(msg)
	d := decoder{scanner{data: data}}
	err := d.document(msg.ProtoReflect())
	var conversion *ConversionError
	if errors.As(err, &conversion) {
		// A document that is no JSON at all is told so, even if its shape went wrong first.
		whole := scanner{data: data}
		if syntax := whole.skip(MaxDepth); syntax != nil {
			return syntax
		}
		if trailing := whole.end(); trailing != nil {
			return trailing
		}
	}
	if err != nil {
		return err
	}
	if proto.CheckInitialized(msg) == nil {
		return nil
	}
	return &ConversionError{Text: "Missing required fields: " + missing(msg)}
}

type decoder struct{ scanner }

func (d *decoder) document(m protoreflect.Message) error {
	if c := d.peek(); c != '{' {
		if err := d.skip(MaxDepth); err != nil {
			return err
		}
		return &ConversionError{Text: "Expecting a JSON object"}
	}
	if err := d.message(m, planOf(m.Descriptor()), MaxDepth); err != nil {
		return err
	}
	return d.end()
}

func (d *decoder) message(m protoreflect.Message, p *plan, left int) error {
	return d.object(left, func(key []byte) error {
		f := p.byName[string(key)]
		if f == nil {
			return d.skip(left - 1)
		}
		if m.Has(f.desc) { // of two equal names the last counts
			m.Clear(f.desc)
		}
		return d.field(m, f, left-1)
	})
}

func (d *decoder) field(m protoreflect.Message, f *field, left int) error {
	c := d.peek()
	switch {
	case c == 'n':
		return d.literal("null")
	case f.isMap:
		return d.mapField(m.Mutable(f.desc).Map(), f, left)
	case f.list && c == '[':
		list := m.Mutable(f.desc).List()
		return d.array(left, func() error { return d.element(list, f, left-1) })
	case f.list:
		return d.element(m.Mutable(f.desc).List(), f, left)
	case f.kind == protoreflect.MessageKind || f.kind == protoreflect.GroupKind:
		if c != '{' {
			return d.unexpected(f)
		}
		return d.message(m.Mutable(f.desc).Message(), f.message(), left)
	}
	v, ok, err := d.scalar(f)
	if ok && err == nil {
		m.Set(f.desc, v)
	}
	return err
}

func (d *decoder) element(list protoreflect.List, f *field, left int) error {
	c := d.peek()
	if c == 'n' {
		return d.literal("null")
	}
	if f.kind == protoreflect.MessageKind || f.kind == protoreflect.GroupKind {
		if c != '{' {
			return d.unexpected(f)
		}
		return d.message(list.AppendMutable().Message(), f.message(), left)
	}
	v, ok, err := d.scalar(f)
	if ok && err == nil {
		list.Append(v)
	}
	return err
}

func (d *decoder) mapField(m protoreflect.Map, f *field, left int) error {
	if d.peek() != '{' {
		return d.unexpected(f)
	}
	value := &field{}
	value.fill(f.desc.MapValue())
	return d.object(left, func(key []byte) error {
		k, err := mapKey(f, string(key))
		if err != nil {
			return err
		}
		if d.peek() == 'n' {
			return d.literal("null")
		}
		if value.kind == protoreflect.MessageKind {
			if d.peek() != '{' {
				return d.unexpected(f)
			}
			v := m.NewValue()
			m.Set(k, v)
			return d.message(v.Message(), value.message(), left-1)
		}
		v, ok, err := d.scalar(value)
		if ok && err == nil {
			m.Set(k, v)
		}
		return err
	})
}

func mapKey(f *field, text string) (protoreflect.MapKey, error) {
	if f.desc.MapKey().Kind() == protoreflect.StringKind {
		return protoreflect.ValueOfString(text).MapKey(), nil
	}
	key := &field{}
	key.fill(f.desc.MapKey())
	if key.kind == protoreflect.BoolKind {
		return protoreflect.ValueOfBool(text == "true").MapKey(), nil
	}
	v, err := key.number([]byte(text))
	return v.MapKey(), err
}

// scalar reads a value of a field that is no message. It reports false for the name of an enum
// value that does not exist, which counts as unset.
func (d *decoder) scalar(f *field) (protoreflect.Value, bool, error) {
	var none protoreflect.Value
	switch c := d.peek(); {
	case c == '"':
		text, err := d.str()
		if err != nil {
			return none, false, err
		}
		return f.fromString(text)
	case c == '-' || c >= '0' && c <= '9':
		if !f.numeric() {
			return none, false, d.unexpected(f)
		}
		text, err := d.number()
		if err != nil {
			return none, false, err
		}
		v, err := f.number(text)
		return v, true, err
	case (c == 't' || c == 'f') && f.kind == protoreflect.BoolKind:
		word := "true"
		if c == 'f' {
			word = "false"
		}
		return protoreflect.ValueOfBool(c == 't'), true, d.literal(word)
	}
	return none, false, d.unexpected(f)
}

// unexpected reads the value at hand and tells that its JSON type does not suit the field.
func (d *decoder) unexpected(f *field) error {
	kind := "number"
	switch d.peek() {
	case '{':
		kind = "object"
	case '[':
		kind = "array"
	case '"':
		kind = "string"
	case 't', 'f':
		kind = "boolean"
	}
	if err := d.skip(MaxDepth); err != nil {
		return err
	}
	return &ConversionError{Text: fmt.Sprintf("Not expecting a JSON %s for field '%s'", kind, f.name)}
}

func (f *field) numeric() bool {
	switch f.kind {
	case protoreflect.StringKind, protoreflect.BytesKind, protoreflect.EnumKind, protoreflect.BoolKind:
		return false
	}
	return true
}

func (f *field) fromString(text []byte) (protoreflect.Value, bool, error) {
	var none protoreflect.Value
	switch f.kind {
	case protoreflect.StringKind:
		return protoreflect.ValueOfString(string(text)), true, nil
	case protoreflect.BytesKind:
		data, err := base64.StdEncoding.AppendDecode(make([]byte, 0, len(text)*3/4), text)
		if err != nil {
			return none, false, f.errorf("Failed to base64 decode bytes field '%s': %v", f.name, err)
		}
		return protoreflect.ValueOfBytes(data), true, nil
	case protoreflect.EnumKind:
		number, ok := f.enum.byName[string(text)]
		if !ok && f.required {
			return none, false, f.errorf("Failed to find enum for '%s'", clip(text))
		}
		return protoreflect.ValueOfEnum(number), ok, nil
	case protoreflect.BoolKind:
		if s := string(text); s == "true" || s == "false" {
			return protoreflect.ValueOfBool(s == "true"), true, nil
		}
		return none, false, f.errorf("Failed to parse '%s' as a JSON boolean for field '%s'", clip(text), f.name)
	}
	v, err := f.number(text)
	return v, true, err
}

// number converts the text of a number, which may come from a string. An integer field takes
// the integral part of a fraction, as Mesos does; it refuses what it cannot hold.
func (f *field) number(text []byte) (protoreflect.Value, error) {
	switch f.kind {
	case protoreflect.DoubleKind, protoreflect.FloatKind:
		v, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			return protoreflect.Value{}, f.notNumber(text)
		}
		if f.kind == protoreflect.FloatKind {
			return protoreflect.ValueOfFloat32(float32(v)), nil
		}
		return protoreflect.ValueOfFloat64(v), nil
	case protoreflect.Uint32Kind, protoreflect.Fixed32Kind:
		v, err := f.unsigned(text, 32)
		return protoreflect.ValueOfUint32(uint32(v)), err
	case protoreflect.Uint64Kind, protoreflect.Fixed64Kind:
		v, err := f.unsigned(text, 64)
		return protoreflect.ValueOfUint64(v), err
	case protoreflect.Int32Kind, protoreflect.Sint32Kind, protoreflect.Sfixed32Kind:
		v, err := f.signed(text, 32)
		return protoreflect.ValueOfInt32(int32(v)), err
	}
	v, err := f.signed(text, 64)
	return protoreflect.ValueOfInt64(v), err
}

func (f *field) signed(text []byte, bits int) (int64, error) {
	if v, err := strconv.ParseInt(string(text), 10, bits); err == nil {
		return v, nil
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if limit := math.Ldexp(1, bits-1); err != nil || !(v > -limit-1 && v < limit) {
		return 0, f.notNumber(text)
	}
	return int64(v), nil
}

func (f *field) unsigned(text []byte, bits int) (uint64, error) {
	if v, err := strconv.ParseUint(string(text), 10, bits); err == nil {
		return v, nil
	}
	v, err := strconv.ParseFloat(string(text), 64)
	if err != nil || !(v > -1 && v < math.Ldexp(1, bits)) {
		return 0, f.notNumber(text)
	}
	return uint64(v), nil
}

func (f *field) notNumber(text []byte) error {
	return f.errorf("Failed to parse '%s' as a JSON number for field '%s'", clip(text), f.name)
}

func (f *field) errorf(format string, args ...any) error {
	return &ConversionError{Text: fmt.Sprintf(format, args...)}
}

// clip bounds what an error repeats of the input.
func clip(text []byte) string {
	const most = 64
	if len(text) > most {
		return string(text[:most]) + "..."
	}
	return string(text)
}
