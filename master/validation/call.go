package validation

import (
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// CallPrefix stands before what Call says in the body of the 400 answer.
const CallPrefix = "Failed to validate scheduler::Call: "

var errUUID = invalid("Not a valid UUID")

func expecting(field string) error {
	return invalid("Expecting '" + field + "' to be present")
}

// Call checks the outer form of a scheduler call. An empty principal stands for none.
func Call(call *scheduler.Call, principal string) error {
	if call.Type == nil {
		return expecting("type")
	}
	if call.GetType() == scheduler.Call_SUBSCRIBE {
		return subscribe(call, principal)
	}
	if call.FrameworkId == nil {
		return expecting("framework_id")
	}
	if field, present := member(call); !present {
		return expecting(field)
	}
	switch call.GetType() {
	case scheduler.Call_ACKNOWLEDGE:
		return uuid(call.GetAcknowledge().GetUuid())
	case scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		if err := uuid(call.GetAcknowledgeOperationStatus().GetUuid()); err != nil {
			return err
		}
		if call.GetAcknowledgeOperationStatus().AgentId == nil {
			return expecting("agent_id")
		}
	case scheduler.Call_UPDATE_FRAMEWORK:
		if call.GetUpdateFramework().GetFrameworkInfo().GetId().GetValue() != call.GetFrameworkId().GetValue() {
			return invalid("'framework_id' differs from 'update_framework.framework_info.id'")
		}
	}
	return nil
}

// member says which field the call's type requires, and whether it is there.
func member(call *scheduler.Call) (field string, present bool) {
	switch call.GetType() {
	case scheduler.Call_ACCEPT:
		return "accept", call.Accept != nil
	case scheduler.Call_DECLINE:
		return "decline", call.Decline != nil
	case scheduler.Call_ACCEPT_INVERSE_OFFERS:
		return "accept_inverse_offers", call.AcceptInverseOffers != nil
	case scheduler.Call_DECLINE_INVERSE_OFFERS:
		return "decline_inverse_offers", call.DeclineInverseOffers != nil
	case scheduler.Call_KILL:
		return "kill", call.Kill != nil
	case scheduler.Call_SHUTDOWN:
		return "shutdown", call.Shutdown != nil
	case scheduler.Call_ACKNOWLEDGE:
		return "acknowledge", call.Acknowledge != nil
	case scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		return "acknowledge_operation_status", call.AcknowledgeOperationStatus != nil
	case scheduler.Call_RECONCILE:
		return "reconcile", call.Reconcile != nil
	case scheduler.Call_RECONCILE_OPERATIONS:
		return "reconcile_operations", call.ReconcileOperations != nil
	case scheduler.Call_MESSAGE:
		return "message", call.Message != nil
	case scheduler.Call_REQUEST:
		return "request", call.Request != nil
	case scheduler.Call_UPDATE_FRAMEWORK:
		return "update_framework", call.UpdateFramework != nil
	}
	return "", true
}

func subscribe(call *scheduler.Call, principal string) error {
	if call.Subscribe == nil {
		return expecting("subscribe")
	}
	info := call.GetSubscribe().GetFrameworkInfo()
	if info.GetId().GetValue() != call.GetFrameworkId().GetValue() {
		return invalid("'framework_id' differs from 'subscribe.framework_info.id'")
	}
	if principal != "" && info.GetPrincipal() != "" && principal != info.GetPrincipal() {
		return invalid("Authenticated principal '" + principal + "' does not match principal '" +
			info.GetPrincipal() + "' set in `FrameworkInfo`")
	}
	return nil
}

func uuid(bytes []byte) error {
	if len(bytes) != 16 {
		return errUUID
	}
	return nil
}
