package codec

import (
	"errors"
	"strconv"
	"sync"

	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
)

// plan is what encoding and decoding need to know of one message type. Plans are made once for
// each descriptor and never change; those of sub-messages are reached lazily, as types recurse.
type plan struct {
	fields   []field // in the order of the .proto file, which is the order of output
	byName   map[string]*field
	byNumber map[protowire.Number]*field // message fields only
	required []*field
}

type field struct {
	desc     protoreflect.FieldDescriptor
	name     string
	key      []byte // "name":
	kind     protoreflect.Kind
	list     bool
	isMap    bool
	required bool
	// unset is the JSON of the explicit default, written when the field is unset; nil for none.
	unset []byte
	enum  *enumPlan
	once  sync.Once
	sub   *plan
}

type enumPlan struct {
	quoted map[protoreflect.EnumNumber][]byte
	byName map[string]protoreflect.EnumNumber
}

var plans sync.Map // protoreflect.MessageDescriptor → *plan

func planOf(md protoreflect.MessageDescriptor) *plan {
	if p, ok := plans.Load(md); ok {
		return p.(*plan)
	}
	p, _ := plans.LoadOrStore(md, newPlan(md))
	return p.(*plan)
}

func newPlan(md protoreflect.MessageDescriptor) *plan {
	fds := md.Fields()
	p := &plan{
		fields:   make([]field, fds.Len()),
		byName:   make(map[string]*field, fds.Len()),
		byNumber: make(map[protowire.Number]*field),
	}
	for i := range p.fields {
		f := &p.fields[i]
		f.fill(fds.Get(i))
		if writtenEmpty[f.desc.FullName()] {
			f.unset = []byte("[]")
		}
		p.byName[f.name] = f
		if f.kind == protoreflect.MessageKind || f.kind == protoreflect.GroupKind {
			p.byNumber[f.desc.Number()] = f
		}
		if f.required {
			p.required = append(p.required, f)
		}
	}
	return p
}

func (f *field) fill(fd protoreflect.FieldDescriptor) {
	f.desc = fd
	f.name = string(fd.Name())
	f.key = append(strconv.AppendQuote(nil, f.name), ':')
	f.kind = fd.Kind()
	f.isMap = fd.IsMap()
	f.list = fd.IsList()
	f.required = fd.Cardinality() == protoreflect.Required
	if f.kind == protoreflect.EnumKind {
		f.enum = newEnumPlan(fd.Enum())
	}
	options, _ := fd.Options().(*descriptorpb.FieldOptions)
	if fd.HasDefault() && !options.GetDeprecated() && fd.ContainingOneof() == nil {
		f.unset, _ = f.appendScalar(nil, fd.Default())
	}
}

// message returns the plan of a message field's type.
func (f *field) message() *plan {
	f.once.Do(func() { f.sub = planOf(f.desc.Message()) })
	return f.sub
}

func newEnumPlan(ed protoreflect.EnumDescriptor) *enumPlan {
	values := ed.Values()
	e := &enumPlan{
		quoted: make(map[protoreflect.EnumNumber][]byte, values.Len()),
		byName: make(map[string]protoreflect.EnumNumber, values.Len()),
	}
	for i := range values.Len() {
		v := values.Get(i)
		e.byName[string(v.Name())] = v.Number()
		if e.quoted[v.Number()] == nil { // of aliases the first name is written
			e.quoted[v.Number()] = strconv.AppendQuote(nil, string(v.Name()))
		}
	}
	return e
}

// writtenEmpty lists the lists that a real master or agent writes as [] when they are empty,
// because it does not write these answers from a message. Any other empty list is left out.
var writtenEmpty = map[protoreflect.FullName]bool{
	"mesos.v1.master.Response.GetAgents.agents":                   true,
	"mesos.v1.master.Response.GetAgents.recovered_agents":         true,
	"mesos.v1.master.Response.GetFrameworks.frameworks":           true,
	"mesos.v1.master.Response.GetFrameworks.completed_frameworks": true,
	"mesos.v1.master.Response.GetExecutors.executors":             true,
	"mesos.v1.master.Response.GetTasks.tasks":                     true,
	"mesos.v1.master.Response.GetTasks.unreachable_tasks":         true,
	"mesos.v1.master.Response.GetTasks.completed_tasks":           true,
	"mesos.v1.agent.Response.GetFrameworks.frameworks":            true,
	"mesos.v1.agent.Response.GetFrameworks.completed_frameworks":  true,
	"mesos.v1.agent.Response.GetExecutors.executors":              true,
	"mesos.v1.agent.Response.GetExecutors.completed_executors":    true,
	"mesos.v1.agent.Response.GetTasks.pending_tasks":              true,
	"mesos.v1.agent.Response.GetTasks.queued_tasks":               true,
	"mesos.v1.agent.Response.GetTasks.launched_tasks":             true,
	"mesos.v1.agent.Response.GetTasks.terminated_tasks":           true,
	"mesos.v1.agent.Response.GetTasks.completed_tasks":            true,
}

var errDepth = errors.New("nested too deeply")

// checkDepth walks the wire format along message fields, and fails where they nest deeper than
// left. Malformed bytes end the walk: the decoder that follows reports them.
func checkDepth(p *plan, data []byte, left int) error {
	if left == 0 {
		return errDepth
	}
	if len(p.byNumber) == 0 {
		return nil
	}
	for len(data) > 0 {
		number, wire, n := protowire.ConsumeTag(data)
		if n < 0 {
			return nil
		}
		data = data[n:]
		f := p.byNumber[number]
		if f == nil || wire != protowire.BytesType {
			if n = protowire.ConsumeFieldValue(number, wire, data); n < 0 {
				return nil
			}
			data = data[n:]
			continue
		}
		content, n := protowire.ConsumeBytes(data)
		if n < 0 {
			return nil
		}
		if err := checkDepth(f.message(), content, left-1); err != nil {
			return err
		}
		data = data[n:]
	}
	return nil
}
