package codec

import (
	"encoding/base64"
	"fmt"
	"math"
	"sort"
	"strconv"
	"unicode/utf8"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// AppendJSON appends msg as Mesos writes it: fields in the order of the .proto file, without
// white space, explicit defaults of unset fields included (unless the field is deprecated).
func AppendJSON(dst []byte, msg proto.Message) ([]byte, error) {
	m := msg.ProtoReflect()
	return appendMessage(dst, m, planOf(m.Descriptor()), MaxDepth)
}

func appendMessage(dst []byte, m protoreflect.Message, p *plan, left int) ([]byte, error) {
	if left == 0 {
		return dst, fmt.Errorf("encode %s: %w", m.Descriptor().FullName(), errDepth)
	}
	dst = append(dst, '{')
	start := len(dst)
	for i := range p.fields {
		f := &p.fields[i]
		if !m.Has(f.desc) {
			if f.unset != nil {
				dst = append(append(comma(dst, start), f.key...), f.unset...)
			}
			continue
		}
		before := len(dst)
		dst = append(comma(dst, start), f.key...)
		var written bool
		var err error
		if dst, written, err = f.appendField(dst, m.Get(f.desc), left); err != nil {
			return dst, err
		}
		if !written {
			dst = dst[:before]
		}
	}
	return append(dst, '}'), nil
}

func comma(dst []byte, start int) []byte {
	if len(dst) > start {
		return append(dst, ',')
	}
	return dst
}

// appendField reports false for an enum number without a name, which JSON cannot say.
func (f *field) appendField(dst []byte, v protoreflect.Value, left int) ([]byte, bool, error) {
	switch {
	case f.isMap:
		dst, err := f.appendMap(dst, v.Map(), left)
		return dst, true, err
	case f.list:
		dst, err := f.appendList(dst, v.List(), left)
		return dst, true, err
	case f.kind == protoreflect.MessageKind || f.kind == protoreflect.GroupKind:
		dst, err := appendMessage(dst, v.Message(), f.message(), left-1)
		return dst, true, err
	}
	dst, written := f.appendScalar(dst, v)
	return dst, written, nil
}

func (f *field) appendList(dst []byte, list protoreflect.List, left int) ([]byte, error) {
	dst = append(dst, '[')
	start := len(dst)
	isMessage := f.kind == protoreflect.MessageKind || f.kind == protoreflect.GroupKind
	for i := range list.Len() {
		before := len(dst)
		dst = comma(dst, start)
		if isMessage {
			var err error
			if dst, err = appendMessage(dst, list.Get(i).Message(), f.message(), left-1); err != nil {
				return dst, err
			}
			continue
		}
		var written bool
		if dst, written = f.appendScalar(dst, list.Get(i)); !written {
			dst = dst[:before]
		}
	}
	return append(dst, ']'), nil
}

func (f *field) appendMap(dst []byte, m protoreflect.Map, left int) ([]byte, error) {
	keys := make([]protoreflect.MapKey, 0, m.Len())
	m.Range(func(k protoreflect.MapKey, _ protoreflect.Value) bool {
		keys = append(keys, k)
		return true
	})
	sort.Slice(keys, func(i, j int) bool { return keys[i].String() < keys[j].String() })
	value := &field{}
	value.fill(f.desc.MapValue())
	dst = append(dst, '{')
	start := len(dst)
	for _, k := range keys {
		before := len(dst)
		dst = append(appendString(comma(dst, start), k.String()), ':')
		var written bool
		var err error
		if dst, written, err = value.appendField(dst, m.Get(k), left-1); err != nil {
			return dst, err
		}
		if !written {
			dst = dst[:before]
		}
	}
	return append(dst, '}'), nil
}

func (f *field) appendScalar(dst []byte, v protoreflect.Value) ([]byte, bool) {
	switch f.kind {
	case protoreflect.StringKind:
		return appendString(dst, v.String()), true
	case protoreflect.BoolKind:
		return strconv.AppendBool(dst, v.Bool()), true
	case protoreflect.DoubleKind:
		return appendFloat(dst, v.Float(), 64), true
	case protoreflect.FloatKind:
		return appendFloat(dst, v.Float(), 32), true
	case protoreflect.BytesKind:
		dst = append(dst, '"')
		dst = base64.StdEncoding.AppendEncode(dst, v.Bytes())
		return append(dst, '"'), true
	case protoreflect.EnumKind:
		name := f.enum.quoted[v.Enum()]
		return append(dst, name...), name != nil
	case protoreflect.Uint32Kind, protoreflect.Uint64Kind, protoreflect.Fixed32Kind, protoreflect.Fixed64Kind:
		return strconv.AppendUint(dst, v.Uint(), 10), true
	}
	return strconv.AppendInt(dst, v.Int(), 10), true
}

// appendFloat writes the shortest text that reads back as v, with ".0" if it is integral. JSON
// has no infinities: they are written as the strings that Mesos reads.
func appendFloat(dst []byte, v float64, bits int) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, `"NaN"`...)
	case math.IsInf(v, 1):
		return append(dst, `"Infinity"`...)
	case math.IsInf(v, -1):
		return append(dst, `"-Infinity"`...)
	}
	abs := math.Abs(v)
	if abs != 0 && (abs < 1e-6 || abs >= 1e21) {
		return strconv.AppendFloat(dst, v, 'e', -1, bits)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, 'f', -1, bits)
	for _, c := range dst[start:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}

const hex = "0123456789ABCDEF"

// appendString quotes s. Bytes that are not UTF-8 become U+FFFD, as JSON cannot carry them.
func appendString(dst []byte, s string) []byte {
	dst = append(dst, '"')
	done := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= 0x20 && c < utf8.RuneSelf && c != '"' && c != '\\' {
			i++
			continue
		}
		if c >= utf8.RuneSelf {
			r, size := utf8.DecodeRuneInString(s[i:])
			if r == utf8.RuneError && size == 1 {
				dst = append(append(dst, s[done:i]...), "\uFFFD"...)
				done = i + 1
			}
			i += size
			continue
		}
		dst = append(dst, s[done:i]...)
		dst = appendEscape(dst, c)
		i++
		done = i
	}
	return append(append(dst, s[done:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hex[c>>4], hex[c&15])
}
