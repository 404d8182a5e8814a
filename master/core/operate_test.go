package core

import (
	"strconv"
	"strings"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
)

// parseOperate reads "operate AGENT JSON", an operator's operation; nil for other calls.
func parseOperate(words []string) OperatorCommand {
	if words[0] != "operate" {
		return nil
	}
	op := &mesos.Offer_Operation{}
	if err := codec.UnmarshalJSON([]byte(strings.Join(words[2:], " ")), op); err != nil {
		panic(err)
	}
	return OperateAgent{Agent: AgentID(words[1]), Operation: op}
}

// parseAnswer reads "N yes" or "N no FREE", the allocator's word on a change.
func parseAnswer(words []string) Event {
	asked, _ := strconv.ParseUint(words[0], 10, 64)
	answer := AllocatorAnswer{Asked: asked, Done: words[1] == "yes"}
	if len(words) > 2 {
		answer.Free = parseResources(words[2], "")
	}
	return AllocatorAnswered{Answers: []AllocatorAnswer{answer}}
}

// parseDisk reads ROLE/SIZE or ROLE/SIZE/VOLUME[/shared].
func parseDisk(parts []string) *mesos.Resource {
	size, _ := strconv.ParseFloat(parts[1], 64)
	r := &mesos.Resource{Name: ptr("disk"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &size},
		Reservations: []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &parts[0]}}}
	if len(parts) > 2 {
		r.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &parts[2]},
			Volume: &mesos.Volume{ContainerPath: ptr("data"), Mode: mesos.Volume_RW.Enum()}}
	}
	if len(parts) > 3 {
		r.Shared = &mesos.Resource_SharedInfo{}
	}
	return r
}

// parseReportedOperation reads FRAMEWORK/ID/UUID/STATE of a RESERVE that an agent still has.
func parseReportedOperation(parts []string) *mesos.Operation {
	state := mesos.OperationState(mesos.OperationState_value["OPERATION_"+parts[3]])
	id := &mesos.OperationID{Value: &parts[1]}
	return &mesos.Operation{FrameworkId: frameworkID(FrameworkID(parts[0])), Uuid: &mesos.UUID{Value: scriptUUID(parts[2])},
		Info:         &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Id: id},
		LatestStatus: &mesos.OperationStatus{State: &state, OperationId: id, Uuid: &mesos.UUID{Value: scriptUUID(parts[2])}}}
}
