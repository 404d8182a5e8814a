package core

import (
	"maps"
	"slices"

	"agora.dev/agora/api/mesos/v1/allocator"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/validation"
)

// Bodies of refused scheduler calls.
const (
	frameworkUnknown       = "Framework cannot be found"
	frameworkNotSubscribed = "Framework is not subscribed"
	streamIDMissing        = "All non-subscribe calls should include the 'Mesos-Stream-Id' header"
)

// schedulerCall checks who calls, and carries the call out.
func (c *Core) schedulerCall(e SchedulerCall) {
	if err := validation.Call(e.Call, e.Principal); err != nil {
		c.answer(e.Request, 400, validation.CallPrefix+err.Error())
		return
	}
	f := c.frameworks[FrameworkID(e.Call.GetFrameworkId().GetValue())]
	if status, text := c.checkCaller(f, e); status != 0 {
		c.answer(e.Request, status, text)
		return
	}
	kind := e.Call.GetType()
	if kind >= 0 && int(kind) < callTypes {
		c.pub.counters.Calls[kind]++
		f.rec.Counters.Calls[kind]++
		c.touchFramework(f)
	}
	status, text := c.perform(f, e.Call)
	c.answer(e.Request, status, text)
}

// checkCaller gives the refusal, or zero. The order is that of Mesos.
func (c *Core) checkCaller(f *framework, e SchedulerCall) (status int, text string) {
	id := e.Call.GetFrameworkId().GetValue()
	switch {
	case f == nil:
		return 400, frameworkUnknown
	case f.rec.Info.GetPrincipal() != e.Principal && e.Principal != "":
		return 400, "Authenticated principal '" + e.Principal + "' does not match principal '" +
			f.rec.Info.GetPrincipal() + "' set in `FrameworkInfo`"
	case f.conn == 0:
		return 403, frameworkNotSubscribed
	case e.Conn == 0 && e.StreamID == "":
		return 400, streamIDMissing
	case e.Conn != f.conn:
		return 400, "The stream ID '" + e.StreamID +
			"' included in this request didn't match the stream ID currently associated with framework ID " + id
	}
	return 0, ""
}

func (c *Core) perform(f *framework, call *scheduler.Call) (status int, text string) {
	switch call.GetType() {
	case scheduler.Call_TEARDOWN:
		c.removeFramework(f)
	case scheduler.Call_ACCEPT:
		c.accept(f, call.GetAccept())
	case scheduler.Call_DECLINE:
		c.decline(f, call.GetDecline())
	case scheduler.Call_REVIVE:
		c.revive(f, call.GetRevive().GetRoles())
	case scheduler.Call_SUPPRESS:
		c.suppress(f, call.GetSuppress().GetRoles())
	case scheduler.Call_KILL:
		c.kill(f, call.GetKill())
	case scheduler.Call_SHUTDOWN:
		c.shutdownExecutor(f, call.GetShutdown())
	case scheduler.Call_ACKNOWLEDGE:
		c.acknowledgeUpdate(f, call.GetAcknowledge())
	case scheduler.Call_ACKNOWLEDGE_OPERATION_STATUS:
		c.acknowledgeOperation(f, call.GetAcknowledgeOperationStatus())
	case scheduler.Call_RECONCILE:
		c.reconcile(f, call.GetReconcile())
	case scheduler.Call_RECONCILE_OPERATIONS:
		c.reconcileOperations(f, call.GetReconcileOperations())
	case scheduler.Call_MESSAGE:
		c.messageToExecutor(f, call.GetMessage())
	case scheduler.Call_UPDATE_FRAMEWORK:
		return c.updateFrameworkCall(f, call.GetUpdateFramework())
	case scheduler.Call_ACCEPT_INVERSE_OFFERS:
		c.answerInverse(f, call.GetAcceptInverseOffers().GetInverseOfferIds(), allocator.InverseOfferStatus_ACCEPT,
			call.GetAcceptInverseOffers().GetFilters())
	case scheduler.Call_DECLINE_INVERSE_OFFERS:
		c.answerInverse(f, call.GetDeclineInverseOffers().GetInverseOfferIds(), allocator.InverseOfferStatus_DECLINE,
			call.GetDeclineInverseOffers().GetFilters())
	case scheduler.Call_REQUEST:
		// Mesos's allocator ignores requests.
	default:
		return 501, "Not implemented"
	}
	return 202, ""
}

// sortedSet sorts names and drops repetitions.
func sortedSet(names []string) []string {
	unique := make(map[string]bool, len(names))
	for _, name := range names {
		unique[name] = true
	}
	return slices.Sorted(maps.Keys(unique))
}

// without gives names less those of drop.
func without(names, drop []string) []string {
	var kept []string
	for _, name := range names {
		if !slices.Contains(drop, name) {
			kept = append(kept, name)
		}
	}
	return kept
}
