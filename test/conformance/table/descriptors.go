package table

import (
	"reflect"
	"slices"
	"strings"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// roots are what clients send and get.
var roots = []proto.Message{&scheduler.Call{}, &scheduler.Event{}, &executor.Call{}, &executor.Event{}, &master.Call{}, &master.Response{},
	&master.Event{}, &agent.Call{}, &agent.Response{}, &agent.ProcessIO{}}

// Messages are those reachable from the roots, sorted by name.
func Messages() []protoreflect.MessageDescriptor {
	seen := map[protoreflect.FullName]protoreflect.MessageDescriptor{}
	var walk func(protoreflect.MessageDescriptor)
	walk = func(m protoreflect.MessageDescriptor) {
		if seen[m.FullName()] != nil || m.IsMapEntry() || !strings.HasPrefix(string(m.FullName()), "mesos.") {
			return
		}
		seen[m.FullName()] = m
		for i := range m.Fields().Len() {
			if of := m.Fields().Get(i).Message(); of != nil {
				walk(of)
			}
		}
	}
	for _, root := range roots {
		walk(root.ProtoReflect().Descriptor())
	}
	var list []protoreflect.MessageDescriptor
	for _, m := range seen {
		list = append(list, m)
	}
	slices.SortFunc(list, func(a, b protoreflect.MessageDescriptor) int {
		return strings.Compare(string(a.FullName()), string(b.FullName()))
	})
	return list
}

// goFields gives the key in Uses of each field of a message.
func goFields(m protoreflect.MessageDescriptor) map[string]string {
	of, err := protoregistry.GlobalTypes.FindMessageByName(m.FullName())
	if err != nil {
		return nil
	}
	t := reflect.TypeOf(of.Zero().Interface()).Elem()
	keys := map[string]string{}
	for i := range t.NumField() {
		for part := range strings.SplitSeq(t.Field(i).Tag.Get("protobuf"), ",") {
			if name, ok := strings.CutPrefix(part, "name="); ok {
				keys[name] = t.PkgPath() + "." + t.Name() + "." + t.Field(i).Name
			}
		}
	}
	return keys
}

// FieldRows has a row for each field of each message.
func FieldRows(uses Uses) (rows []Row) {
	for _, m := range Messages() {
		keys := goFields(m)
		for i := range m.Fields().Len() {
			name := string(m.Fields().Get(i).Name())
			rows = append(rows, Row{Section: "Fields", Kind: "field", Name: string(m.FullName()) + "." + name, Short: name, Done: uses[keys[name]]})
		}
	}
	return rows
}

// enum names the values of an enumeration whose use is the proof.
type enum struct {
	section, kind string
	of            protoreflect.EnumDescriptor
	prefix        string // of the Go constants
}

var enums = []enum{
	{"Scheduler API: events", "event scheduler", scheduler.Event_UNKNOWN.Descriptor(), apiDir + "/scheduler.Event_"},
	{"Executor API: events", "event executor", executor.Event_UNKNOWN.Descriptor(), apiDir + "/executor.Event_"},
	{"Operator API of the master: events", "event master", master.Event_UNKNOWN.Descriptor(), apiDir + "/master.Event_"},
	{"Capabilities of frameworks", "capability framework", mesos.FrameworkInfo_Capability_UNKNOWN.Descriptor(), apiDir + ".FrameworkInfo_Capability_"},
	{"Capabilities of agents", "capability agent", mesos.AgentInfo_Capability_UNKNOWN.Descriptor(), apiDir + ".AgentInfo_Capability_"},
	{"Capabilities of masters", "capability master", mesos.MasterInfo_Capability_UNKNOWN.Descriptor(), apiDir + ".MasterInfo_Capability_"},
	{"Operations of offers", "operation", mesos.Offer_Operation_UNKNOWN.Descriptor(), apiDir + ".Offer_Operation_"},
	{"States of operations", "operation state", mesos.OperationState_OPERATION_UNSUPPORTED.Descriptor(), apiDir + ".OperationState_"},
	{"States of tasks", "task state", mesos.TaskState_TASK_STAGING.Descriptor(), apiDir + ".TaskState_"},
	{"Reasons of task statuses", "reason", mesos.TaskStatus_REASON_RECONCILIATION.Descriptor(), apiDir + ".TaskStatus_"},
}

// EnumRows has a row for each event, capability, operation, state and reason.
func EnumRows(uses Uses) (rows []Row) {
	for _, e := range enums {
		for i := range e.of.Values().Len() {
			name := string(e.of.Values().Get(i).Name())
			if name != "UNKNOWN" {
				rows = append(rows, Row{Section: e.section, Kind: e.kind, Name: name, Done: uses[e.prefix+name]})
			}
		}
	}
	return rows
}
