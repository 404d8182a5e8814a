package core

import (
	"fmt"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/planted"
)

// acceptance is one ACCEPT being carried out.
type acceptance struct {
	framework *framework
	agent     *agent
	role      string
	// remaining is what the operations have not used yet; converted is the part
	// of it that an operation of this ACCEPT made.
	remaining amounts
	converted amounts
}

// accept carries out an ACCEPT: its operations run in order against the sum of its offers, and
// what they leave goes back.
func (c *Core) accept(f *framework, call *scheduler.Call_Accept) {
	offers, problem := c.offersOf(f, call.GetOfferIds())
	if problem != "" {
		c.refuseOffers(f, call, problem)
		return
	}
	x := &acceptance{framework: f, agent: offers[0].agent, role: offers[0].role}
	for _, o := range offers {
		x.remaining = x.remaining.plus(o.resources)
		c.removeOffer(o)
		f.rec.Counters.OffersAccepted++
		c.ended(o, acceptedOffer(call))
	}
	for _, op := range call.GetOperations() {
		c.operate(x, op)
	}
	c.returnLeftovers(x, call.GetFilters())
}

// returnLeftovers gives back what was not used: converted resources at once, the others
// refused for a while.
func (c *Core) returnLeftovers(x *acceptance, filters *mesos.Filters) {
	refused := x.remaining
	if !x.converted.empty() {
		fresh := x.remaining.intersect(x.converted)
		if !fresh.empty() {
			refused = refused.minus(fresh)
			c.allocatorRecover(x.framework.id, x.agent.id, fresh, nil)
		}
	}
	if !refused.empty() {
		refusal := refusalOf(filters)
		c.allocatorRecover(x.framework.id, x.agent.id, refused, &refusal)
	}
}

// offersOf looks up the offers of an ACCEPT and says why they cannot be accepted together.
func (c *Core) offersOf(f *framework, ids []*mesos.OfferID) (offers []*offer, problem string) {
	if len(ids) == 0 {
		return nil, "No offers specified"
	}
	seen := make(map[OfferID]bool, len(ids))
	for _, id := range ids {
		if seen[OfferID(id.GetValue())] {
			return nil, "Duplicate offer " + id.GetValue() + " in offer list"
		}
		seen[OfferID(id.GetValue())] = true
	}
	for _, id := range ids {
		o := c.offers[OfferID(id.GetValue())]
		if o == nil {
			return nil, "Offer " + id.GetValue() + " is no longer valid"
		}
		offers = append(offers, o)
	}
	for _, o := range offers {
		if o.framework != f {
			return nil, fmt.Sprintf("Offer %s has invalid framework %s while framework %s is expected",
				o.id, o.framework.id, f.id)
		}
	}
	for _, o := range offers {
		if o.role != offers[0].role {
			return nil, fmt.Sprintf("Aggregated offers must be allocated to the same role. Offer %s uses role '%s'"+
				" but another is using role '%s'", o.id, o.role, offers[0].role)
		}
		if o.agent != offers[0].agent {
			return nil, fmt.Sprintf("Aggregated offers must belong to one single agent. Offer %s uses agent %s and agent %s",
				o.id, o.agent.id, offers[0].agent.id)
		}
	}
	return offers, ""
}

// refuseOffers answers an ACCEPT whose offers are not valid: what is left of them goes back,
// and each operation is told.
func (c *Core) refuseOffers(f *framework, call *scheduler.Call_Accept, problem string) {
	c.note(noteWarn, "accept with invalid offers", "framework", f.id, "problem", problem)
	for _, id := range call.GetOfferIds() {
		o := c.offers[OfferID(id.GetValue())]
		if o == nil || o.framework != f {
			continue
		}
		if planted.Active("master-keep-invalid-offers") {
			c.removeOffer(o)
			continue
		}
		c.removeOffer(o)
		c.allocatorReturn(o.given, 0)
		c.ended(o, &EndedOffer{Outcome: OfferWithdrawn, Problem: problem})
	}
	message := "Task launched with invalid offers: " + problem
	for _, op := range call.GetOperations() {
		switch op.GetType() {
		case mesos.Offer_Operation_LAUNCH, mesos.Offer_Operation_LAUNCH_GROUP:
			for _, info := range launched(op) {
				c.forward(f, c.launchStatus(info, f.lostState(mesos.TaskState_TASK_DROPPED),
					mesos.TaskStatus_REASON_INVALID_OFFERS, message))
			}
		default:
			c.operationError(f, op, "Operation attempted with invalid offers: "+problem)
		}
	}
}

// launched lists the tasks of a LAUNCH or LAUNCH_GROUP.
func launched(op *mesos.Offer_Operation) []*mesos.TaskInfo {
	if op.GetType() == mesos.Offer_Operation_LAUNCH_GROUP {
		return op.GetLaunchGroup().GetTaskGroup().GetTasks()
	}
	return op.GetLaunch().GetTaskInfos()
}

// launchStatus answers a task that never came to be.
func (c *Core) launchStatus(info *mesos.TaskInfo, state mesos.TaskState, reason mesos.TaskStatus_Reason, message string) *mesos.TaskStatus {
	c.pub.countReason(TaskEnd{State: state, Source: mesos.TaskStatus_SOURCE_MASTER, Reason: reason})
	if int(state) < states {
		c.pub.counters.Terminal[state]++
	}
	status := &mesos.TaskStatus{
		TaskId:    info.TaskId,
		State:     state.Enum(),
		Message:   &message,
		Source:    mesos.TaskStatus_SOURCE_MASTER.Enum(),
		Reason:    reason.Enum(),
		AgentId:   info.AgentId,
		Timestamp: ptr(seconds(c.now)),
	}
	if info.Executor != nil && state != mesos.TaskState_TASK_ERROR { // as in Mesos: it may not even be valid
		status.ExecutorId = info.Executor.ExecutorId
	}
	return status
}

func (c *Core) operate(x *acceptance, op *mesos.Offer_Operation) {
	switch op.GetType() {
	case mesos.Offer_Operation_LAUNCH:
		c.launch(x, op)
	case mesos.Offer_Operation_LAUNCH_GROUP:
		c.launchGroup(x, op)
	default:
		c.convert(x, op)
	}
}
