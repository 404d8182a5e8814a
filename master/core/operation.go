package core

import (
	"crypto/sha256"
	"fmt"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/validation"
)

// operation is one conversion that its agent has not confirmed, or whose confirmation the
// framework has not acknowledged.
type operation struct {
	framework *framework // nil once it is removed
	agent     *agent
	rec       *Operation
	slot      int
}

// convert handles RESERVE, UNRESERVE, CREATE and DESTROY: applied here at once, so that later
// operations of the same ACCEPT can use the result, and by the agent when it hears of it.
func (c *Core) convert(x *acceptance, op *mesos.Offer_Operation) {
	if err := c.checkOperation(x, op); err != nil {
		c.operationError(x.framework, op, err.Error())
		return
	}
	change := conversionOf(op)
	if !x.remaining.contains(change.from) {
		c.operationError(x.framework, op, x.remaining.String()+" does not contain "+change.from.String())
		return
	}
	x.remaining = change.apply(x.remaining)
	x.converted = x.converted.plus(change.to)
	x.agent.total = change.allocated("").apply(x.agent.total)
	c.touchAgent(x.agent)
	c.allocatorConvert(x.framework.id, x.agent.id, change)
	o := c.addOperation(x, op)
	c.toAgent(x.agent, &link.FromMaster{Message: &link.FromMaster_ApplyOperation{ApplyOperation: &link.ApplyOperation{
		FrameworkId: frameworkID(x.framework.id), OperationUuid: o.rec.Info.Uuid, Operation: op,
		ResourceVersion: x.agent.resourceVersion}}})
}

func (c *Core) checkOperation(x *acceptance, op *mesos.Offer_Operation) error {
	for _, list := range [][]*mesos.Resource{op.GetReserve().GetResources(), op.GetUnreserve().GetResources(),
		op.GetCreate().GetVolumes(), op.GetDestroy().GetVolumes()} {
		inject(list, x.role)
	}
	if op.Id != nil && !x.agent.capable(mesos.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK) {
		return validation.Invalid("Operation on agent default resources requested feedback," +
			" but the agent does not support it")
	}
	if op.Id != nil && x.framework.operations[op.GetId().GetValue()] != nil {
		return validation.Invalid("Operation has duplicate ID: " + op.GetId().GetValue())
	}
	usesVolume := func(id string) bool {
		for _, t := range x.agent.tasks.items {
			if !t.released && hasVolume(t.resources, id) {
				return true
			}
		}
		return false
	}
	return validation.Operation(op, validation.OperationScope{
		Info:         x.framework.rec.Info,
		Principal:    x.framework.rec.Info.GetPrincipal(),
		Where:        fmt.Sprintf("; on agent %s at %s (%s)", x.agent.id, x.agent.rec.PID, x.agent.rec.Info.GetHostname()),
		VolumeExists: func(id string) bool { return hasVolume(x.agent.total, id) },
		VolumeInUse:  usesVolume,
	})
}

func hasVolume(s amounts, id string) bool {
	for _, a := range s {
		if p := a.kind.GetDisk().GetPersistence(); p != nil && p.GetId() == id {
			return true
		}
	}
	return false
}

// newOperationUUID draws no randomness: a hash of this term and a counter is as unique.
func (c *Core) newOperationUUID() *mesos.UUID {
	c.nextOperation++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s-operation-%d", c.cfg.Master.GetId(), c.nextOperation))
	uuid := sum[:16]
	uuid[6], uuid[8] = uuid[6]&0x0f|0x40, uuid[8]&0x3f|0x80
	return &mesos.UUID{Value: uuid}
}

func (c *Core) addOperation(x *acceptance, op *mesos.Offer_Operation) *operation {
	status := &mesos.OperationStatus{OperationId: op.Id, State: mesos.OperationState_OPERATION_PENDING.Enum(), AgentId: agentID(x.agent.id)}
	o := &operation{framework: x.framework, agent: x.agent, rec: &Operation{
		Framework: x.framework.id,
		Info: &mesos.Operation{FrameworkId: frameworkID(x.framework.id), AgentId: agentID(x.agent.id), Info: op,
			LatestStatus: status, Statuses: []*mesos.OperationStatus{status}, Uuid: c.newOperationUUID()},
	}}
	c.keepOperation(o)
	return o
}

func (c *Core) keepOperation(o *operation) {
	o.slot = c.pub.operations.insert(o.rec)
	o.agent.operations[string(o.rec.Info.GetUuid().GetValue())] = o
	if id := o.rec.Info.GetInfo().Id; id != nil && o.framework != nil {
		o.framework.operations[id.GetValue()] = o
	}
}

func (c *Core) removeOperation(o *operation) {
	c.pub.operations.remove(o.slot)
	delete(o.agent.operations, string(o.rec.Info.GetUuid().GetValue()))
	if id := o.rec.Info.GetInfo().Id; id != nil && o.framework != nil {
		delete(o.framework.operations, id.GetValue())
	}
	c.touchAgent(o.agent)
}

// operationError answers an operation that cannot be; without an id nobody waits for it.
func (c *Core) operationError(f *framework, op *mesos.Offer_Operation, message string) {
	c.note(noteWarn, "operation refused", "framework", f.id, "operation", op.GetType().String(), "reason", message)
	if op.Id == nil {
		return
	}
	c.operationStatus(f, &mesos.OperationStatus{OperationId: op.Id,
		State: mesos.OperationState_OPERATION_ERROR.Enum(), Message: &message})
}

func (c *Core) operationStatus(f *framework, status *mesos.OperationStatus) {
	c.toFramework(f, &scheduler.Event{Type: scheduler.Event_UPDATE_OPERATION_STATUS.Enum(),
		UpdateOperationStatus: &scheduler.Event_UpdateOperationStatus{Status: status}})
}

func operationEnded(s mesos.OperationState) bool {
	switch s {
	case mesos.OperationState_OPERATION_FINISHED, mesos.OperationState_OPERATION_FAILED,
		mesos.OperationState_OPERATION_ERROR, mesos.OperationState_OPERATION_DROPPED,
		mesos.OperationState_OPERATION_GONE_BY_OPERATOR:
		return true
	}
	return false
}

// operationUpdate takes an agent's word on an operation.
func (c *Core) operationUpdate(a *agent, m *link.OperationUpdate) {
	o := a.operations[string(m.GetOperationUuid().GetValue())]
	if m.GetStatus() == nil {
		c.pub.counters.DroppedMessages++
		return
	}
	if o == nil {
		c.releaseOperationUpdate(a, m.GetOperationUuid(), m.GetStatus().GetUuid())
		return
	}
	status := m.GetStatus()
	before := o.rec.Info.GetLatestStatus().GetState()
	info := o.rec.Info
	next := &mesos.Operation{FrameworkId: info.FrameworkId, AgentId: info.AgentId, Info: info.Info, Uuid: info.Uuid,
		LatestStatus: status, Statuses: append(info.Statuses[:len(info.Statuses):len(info.Statuses)], status)}
	o.rec = &Operation{Framework: o.rec.Framework, Info: next}
	c.pub.operations.set(o.slot, o.rec)
	if !operationEnded(before) && operationEnded(status.GetState()) && status.GetState() != mesos.OperationState_OPERATION_FINISHED {
		c.undo(a, o)
	}
	if status.Uuid == nil || info.GetInfo().Id == nil || o.framework == nil {
		if operationEnded(status.GetState()) {
			c.releaseOperationUpdate(a, info.Uuid, status.GetUuid())
			c.removeOperation(o)
		}
		return
	}
	c.operationStatus(o.framework, status)
}

func (c *Core) releaseOperationUpdate(a *agent, operation, status *mesos.UUID) {
	if status == nil {
		return
	}
	c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_AcknowledgeOperation{AcknowledgeOperation: &link.AcknowledgeOperation{
		OperationUuid: operation, StatusUuid: status}}})
}

// undo takes back what was applied on the expectation that the agent would do it too.
func (c *Core) undo(a *agent, o *operation) {
	change := conversionOf(o.rec.Info.Info).allocated("")
	back := conversion{from: change.to, to: change.from}
	if !a.total.contains(back.from) {
		return
	}
	a.total = back.apply(a.total)
	c.touchAgent(a)
	c.rescindOffers(a)
	c.allocatorUpdateAgent(a)
}

// acknowledgeOperation passes a framework's acknowledgement on.
func (c *Core) acknowledgeOperation(f *framework, call *scheduler.Call_AcknowledgeOperationStatus) {
	o := f.operations[call.GetOperationId().GetValue()]
	if o == nil || o.agent.link == nil {
		c.pub.counters.InvalidAcknowledgements++
		return
	}
	status := o.rec.Info.GetLatestStatus()
	c.releaseOperationUpdate(o.agent, o.rec.Info.GetUuid(), &mesos.UUID{Value: call.GetUuid()})
	if operationEnded(status.GetState()) && string(status.GetUuid().GetValue()) == string(call.GetUuid()) {
		c.removeOperation(o)
	}
}
