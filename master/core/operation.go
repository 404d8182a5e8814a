package core

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// operation is one conversion that its agent has not confirmed, or whose confirmation the
// framework has not acknowledged.
type operation struct {
	framework *framework // nil for an operator's, and while its framework is not known
	agent     *agent
	rec       *Operation
	slot      int
	// abandoned: nobody will acknowledge its end, so that the master does.
	abandoned bool
}

// orphanPatience is how long a framework has after an election to return to its operations.
const orphanPatience = 10 * time.Minute

// newOperationUUID draws no randomness: a hash of this term and a counter is as unique.
func (c *Core) newOperationUUID() *mesos.UUID {
	c.nextOperation++
	sum := sha256.Sum256(fmt.Appendf(nil, "%s-operation-%d", c.cfg.Master.GetId(), c.nextOperation))
	uuid := sum[:16]
	uuid[6], uuid[8] = uuid[6]&0x0f|0x40, uuid[8]&0x3f|0x80
	return &mesos.UUID{Value: uuid}
}

// sendOperation books an operation and gives it to the agent. f is nil for an operator's.
func (c *Core) sendOperation(f *framework, a *agent, op *mesos.Offer_Operation) {
	status := &mesos.OperationStatus{OperationId: op.Id, State: mesos.OperationState_OPERATION_PENDING.Enum(), AgentId: agentID(a.id)}
	o := &operation{framework: f, agent: a, abandoned: f == nil || op.Id == nil, rec: &Operation{
		Info: &mesos.Operation{AgentId: agentID(a.id), Info: op, LatestStatus: status, Uuid: c.newOperationUUID()},
	}}
	message := &link.ApplyOperation{OperationUuid: o.rec.Info.Uuid, Operation: op, ResourceVersion: a.resourceVersion}
	if f != nil {
		o.rec.Framework, o.rec.Info.FrameworkId, message.FrameworkId = f.id, frameworkID(f.id), frameworkID(f.id)
		f.rec.Counters.count(op.GetType())
	}
	c.pub.counters.Operations.count(op.GetType(), mesos.OperationState_OPERATION_PENDING)
	c.keepOperation(o)
	c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_ApplyOperation{ApplyOperation: message}})
}

func (c *Core) keepOperation(o *operation) {
	o.slot = c.pub.operations.insert(o.rec)
	o.agent.operations[string(o.rec.Info.GetUuid().GetValue())] = o
	id := o.rec.Info.GetInfo().Id
	switch {
	case id == nil:
	case o.framework != nil:
		o.framework.operations[id.GetValue()] = o
	case !o.abandoned:
		c.orphans[o.rec.Framework] = append(c.orphans[o.rec.Framework], o)
	}
}

// claimOperations gives a framework the operations that agents told of before it came.
func (c *Core) claimOperations(f *framework) {
	for _, o := range c.orphans[f.id] {
		if o.agent.operations[string(o.rec.Info.GetUuid().GetValue())] == o {
			o.framework = f
			f.operations[o.rec.Info.GetInfo().GetId().GetValue()] = o
		}
	}
	delete(c.orphans, f.id)
}

func (c *Core) removeOperation(o *operation) {
	if state := o.rec.Info.GetLatestStatus().GetState(); !operationEnded(state) && state != mesos.OperationState_OPERATION_UNREACHABLE {
		// Nobody waits for its end, and the agent does not have it.
		c.pub.counters.Operations.move(o.rec.Info.GetInfo().GetType(), state, mesos.OperationState_OPERATION_DROPPED)
	}
	c.pub.operations.remove(o.slot)
	delete(o.agent.operations, string(o.rec.Info.GetUuid().GetValue()))
	if id := o.rec.Info.GetInfo().Id; id != nil && o.framework != nil && o.framework.operations[id.GetValue()] == o {
		delete(o.framework.operations, id.GetValue())
	}
	c.touchAgent(o.agent)
}

// operationError answers an operation that cannot be; without an id nobody waits for it.
func (c *Core) operationError(f *framework, op *mesos.Offer_Operation, message string) {
	c.pub.counters.Operations.count(op.GetType(), mesos.OperationState_OPERATION_ERROR)
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

// operationUpdate takes an agent's word on an operation. An end that must be acknowledged comes
// again and again; each time it goes on to the framework.
func (c *Core) operationUpdate(a *agent, m *link.OperationUpdate) {
	o, status := a.operations[string(m.GetOperationUuid().GetValue())], m.GetStatus()
	if o == nil || status == nil {
		c.pub.counters.InvalidOperationUpdates++
		c.releaseOperationUpdate(a, m.GetOperationUuid(), status.GetUuid())
		return
	}
	c.pub.counters.ValidOperationUpdates++
	c.takeOperationStatus(o, status)
	switch {
	case !operationEnded(status.GetState()):
		c.operationStatus(o.framework, status)
	case status.Uuid == nil:
		c.removeOperation(o)
	case o.abandoned, o.framework == nil && c.now.Sub(c.electedAt) > orphanPatience:
		c.releaseOperationUpdate(a, o.rec.Info.Uuid, status.GetUuid())
		c.removeOperation(o)
	default:
		c.operationStatus(o.framework, status)
	}
}

// takeOperationStatus makes a status the latest of an operation.
func (c *Core) takeOperationStatus(o *operation, status *mesos.OperationStatus) {
	info := o.rec.Info
	before := info.GetLatestStatus()
	if bytes.Equal(before.GetUuid().GetValue(), status.GetUuid().GetValue()) && before.GetState() == status.GetState() {
		return
	}
	if !operationEnded(before.GetState()) {
		c.pub.counters.Operations.move(info.GetInfo().GetType(), before.GetState(), status.GetState())
	}
	o.rec = &Operation{Framework: o.rec.Framework, Info: &mesos.Operation{FrameworkId: info.FrameworkId, AgentId: info.AgentId,
		Info: info.Info, Uuid: info.Uuid, LatestStatus: status,
		Statuses: append(info.Statuses[:len(info.Statuses):len(info.Statuses)], status)}}
	c.pub.operations.set(o.slot, o.rec)
}

// releaseOperationUpdate lets an agent forget an operation.
func (c *Core) releaseOperationUpdate(a *agent, operation, status *mesos.UUID) {
	if status == nil {
		return
	}
	c.toAgent(a, &link.FromMaster{Message: &link.FromMaster_AcknowledgeOperation{AcknowledgeOperation: &link.AcknowledgeOperation{
		OperationUuid: operation, StatusUuid: status}}})
}

// acknowledgeOperation passes a framework's acknowledgement on.
func (c *Core) acknowledgeOperation(f *framework, call *scheduler.Call_AcknowledgeOperationStatus) {
	o := f.operations[call.GetOperationId().GetValue()]
	if o == nil || o.agent.link == nil {
		c.pub.counters.InvalidOperationAcknowledgements++
		return
	}
	c.pub.counters.ValidOperationAcknowledgements++
	status := o.rec.Info.GetLatestStatus()
	c.releaseOperationUpdate(o.agent, o.rec.Info.GetUuid(), &mesos.UUID{Value: call.GetUuid()})
	if operationEnded(status.GetState()) && bytes.Equal(status.GetUuid().GetValue(), call.GetUuid()) {
		c.removeOperation(o)
	}
}
