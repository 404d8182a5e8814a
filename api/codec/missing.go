package codec

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// missing lists the paths of unset required fields, a message's own before those of its parts.
func missing(msg proto.Message) string {
	m := msg.ProtoReflect()
	return strings.Join(appendMissing(nil, "", m, planOf(m.Descriptor())), ", ")
}

func appendMissing(paths []string, prefix string, m protoreflect.Message, p *plan) []string {
	const most = 100 // hostile input can miss a million
	for _, f := range p.required {
		if !m.Has(f.desc) && len(paths) < most {
			paths = append(paths, prefix+f.name)
		}
	}
	for i := range p.fields {
		f := &p.fields[i]
		if f.kind != protoreflect.MessageKind || f.isMap || !m.Has(f.desc) {
			continue
		}
		if !f.list {
			paths = appendMissing(paths, prefix+f.name+".", m.Get(f.desc).Message(), f.message())
			continue
		}
		list := m.Get(f.desc).List()
		for i := range list.Len() {
			if len(paths) >= most {
				return paths
			}
			paths = appendMissing(paths, fmt.Sprintf("%s%s[%d].", prefix, f.name, i), list.Get(i).Message(), f.message())
		}
	}
	return paths
}
