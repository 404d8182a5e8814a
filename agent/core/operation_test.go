package core_test

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	link "agora.dev/agora/api/agora/link/v1"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

func machine() []*mesos.Resource {
	r, err := resources.Parse("cpus:4;mem:1024;disk:100", "*")
	if err != nil {
		panic(err)
	}
	return r.Proto()
}

// disk is a reserved disk of role web, and with an id a volume on it.
func disk(size float64, volume string) *mesos.Resource {
	r := &mesos.Resource{Name: proto.String("disk"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &size},
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: proto.String("web")},
		Reservations: []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(),
			Role: proto.String("web")}}}
	if volume != "" {
		r.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &volume},
			Volume: &mesos.Volume{ContainerPath: proto.String("data"), Mode: mesos.Volume_RW.Enum()}}
	}
	return r
}

// operation plays "operate UUID ID|- reserve|unreserve|create|destroy|grow|shrink SIZE [VOLUME]",
// "ack-operation UUID" and "run-on FRAMEWORK TASK SIZE VOLUME".
func (w *world) operation(words []string) {
	uuid := &mesos.UUID{Value: []byte(words[1])}
	switch words[0] {
	case "ack-operation":
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_AcknowledgeOperation{AcknowledgeOperation: &link.AcknowledgeOperation{
			OperationUuid: uuid, StatusUuid: &mesos.UUID{Value: w.updates[words[1]]}}}})
	case "run-on":
		task := taskInfo(words[2])
		task.Resources = append(task.Resources, disk(number(words[3]), words[4]))
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_RunTask{RunTask: &link.RunTask{Framework: framework(words[1]), Task: task}}})
	case "operate":
		op := parseOperation(words[3:])
		if words[2] != "-" {
			op.Id = &mesos.OperationID{Value: &words[2]}
		}
		w.fromMaster(&link.FromMaster{Message: &link.FromMaster_ApplyOperation{ApplyOperation: &link.ApplyOperation{
			FrameworkId: &mesos.FrameworkID{Value: proto.String("f")}, OperationUuid: uuid, Operation: op}}})
	}
}

func number(text string) (n float64) {
	fmt.Sscan(text, &n)
	return n
}

func parseOperation(words []string) *mesos.Offer_Operation {
	volume := ""
	if len(words) > 2 {
		volume = words[2]
	}
	list := []*mesos.Resource{disk(number(words[1]), volume)}
	switch words[0] {
	case "reserve":
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: list}}
	case "unreserve":
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE.Enum(), Unreserve: &mesos.Offer_Operation_Unreserve{Resources: list}}
	case "create":
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: list}}
	case "destroy":
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: list}}
	case "grow":
		return &mesos.Offer_Operation{Type: mesos.Offer_Operation_GROW_VOLUME.Enum(), GrowVolume: &mesos.Offer_Operation_GrowVolume{
			Volume: list[0], Addition: disk(number(words[3]), "")}}
	}
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_SHRINK_VOLUME.Enum(), ShrinkVolume: &mesos.Offer_Operation_ShrinkVolume{
		Volume: list[0], Subtract: &mesos.Value_Scalar{Value: proto.Float64(number(words[3]))}}}
}

func describeResources(w core.WriteResources) string {
	text := "resources " + listed(w.Resources)
	var operations []string
	for _, o := range w.Operations {
		operations = append(operations, o.GetInfo().GetId().GetValue())
	}
	text += " operations [" + strings.Join(operations, " ") + "]"
	if len(w.Removing) > 0 {
		text += " removing " + listed(w.Removing)
	}
	return text
}

func listed(list []*mesos.Resource) string {
	r, err := resources.FromProto(list)
	if err != nil {
		return err.Error()
	}
	return r.String()
}

func (w *world) describeOperation(u *link.OperationUpdate) string {
	s := u.GetStatus()
	w.updates[string(u.GetOperationUuid().GetValue())] = s.GetUuid().GetValue()
	text := fmt.Sprintf("operation %s %s", u.GetOperationUuid().GetValue(), s.GetState())
	if s.Message != nil {
		text += fmt.Sprintf(" %q", s.GetMessage())
	}
	if s.Uuid != nil {
		text += ", to be acknowledged"
	}
	return text
}
