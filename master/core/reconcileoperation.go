package core

import (
	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/planted"
)

// reconcileOperations answers what the framework asks about operations; nothing asked means all.
func (c *Core) reconcileOperations(f *framework, call *scheduler.Call_ReconcileOperations) {
	if len(call.GetOperations()) == 0 {
		for _, id := range sortedKeys(f.operations) {
			c.operationStatus(f, knownOperation(f.operations[id]))
		}
		return
	}
	for _, asked := range call.GetOperations() {
		if o := f.operations[asked.GetOperationId().GetValue()]; o != nil {
			c.operationStatus(f, knownOperation(o))
			continue
		}
		state, message := c.unknownOperation(AgentID(asked.GetAgentId().GetValue()))
		c.operationStatus(f, &mesos.OperationStatus{OperationId: asked.OperationId, State: state.Enum(), Message: &message,
			AgentId: asked.AgentId, ResourceProviderId: asked.ResourceProviderId})
	}
}

// knownOperation repeats the last status, which then needs no acknowledgement.
func knownOperation(o *operation) *mesos.OperationStatus {
	s := o.rec.Info.GetLatestStatus()
	return &mesos.OperationStatus{OperationId: s.OperationId, State: s.State, Message: s.Message,
		ConvertedResources: s.ConvertedResources, AgentId: agentID(o.agent.id), ResourceProviderId: s.ResourceProviderId}
}

func (c *Core) unknownOperation(id AgentID) (mesos.OperationState, string) {
	switch {
	case c.recovered[id] != nil:
		return mesos.OperationState_OPERATION_RECOVERING, "Reconciliation: Agent is recovered but has not re-registered"
	case c.lost[id] != nil:
		return mesos.OperationState_OPERATION_UNREACHABLE, "Reconciliation: Agent is unreachable"
	case c.gone[id] != nil:
		return mesos.OperationState_OPERATION_GONE_BY_OPERATOR, "Reconciliation: Agent marked gone by operator"
	}
	return mesos.OperationState_OPERATION_UNKNOWN, "Reconciliation: Operation is unknown"
}

// adoptOperation adds an operation that a returning agent still has, or takes over its state.
func (c *Core) adoptOperation(a *agent, info *mesos.Operation) {
	if o := a.operations[string(info.GetUuid().GetValue())]; o != nil {
		c.takeOperationStatus(o, info.GetLatestStatus())
		return
	}
	id := FrameworkID(info.GetFrameworkId().GetValue())
	state := info.GetLatestStatus().GetState()
	c.pub.counters.Operations.count(info.GetInfo().GetType(), state)
	c.keepOperation(&operation{framework: c.frameworks[id], agent: a, abandoned: id == "" || c.removed[id],
		rec: &Operation{Framework: id, Info: info}})
}

// dropMissingOperations ends the operations that a returning agent does not have: the order
// never reached it, or its end was acknowledged. What it made is among the agent's resources, or not.
func (c *Core) dropMissingOperations(a *agent, listed []*mesos.Operation) {
	known := make(map[string]bool, len(listed))
	for _, info := range listed {
		known[string(info.GetUuid().GetValue())] = true
	}
	for _, uuid := range sortedKeys(a.operations) {
		o := a.operations[uuid]
		if known[uuid] || planted.Active("master-keep-lost-operation") {
			continue
		}
		if id := o.rec.Info.GetInfo().Id; id != nil && !operationEnded(o.rec.Info.GetLatestStatus().GetState()) {
			status := &mesos.OperationStatus{OperationId: id, State: mesos.OperationState_OPERATION_DROPPED.Enum(),
				Message: ptr("Operation is unknown to the agent"), AgentId: agentID(a.id)}
			c.takeOperationStatus(o, status)
			c.operationStatus(o.framework, status)
		}
		c.removeOperation(o)
	}
}

// loseOperations tells frameworks of the operations on an agent that is given up.
func (c *Core) loseOperations(a *agent, why mesos.TaskState) {
	state := mesos.OperationState_OPERATION_UNREACHABLE
	if why == mesos.TaskState_TASK_GONE_BY_OPERATOR {
		state = mesos.OperationState_OPERATION_GONE_BY_OPERATOR
	}
	for _, uuid := range sortedKeys(a.operations) {
		o := a.operations[uuid]
		if id := o.rec.Info.GetInfo().Id; id != nil && !o.abandoned && !operationEnded(o.rec.Info.GetLatestStatus().GetState()) {
			status := &mesos.OperationStatus{OperationId: id, State: state.Enum(), AgentId: agentID(a.id)}
			c.takeOperationStatus(o, status)
			c.operationStatus(o.framework, status)
		}
		c.removeOperation(o)
	}
}

// dropOperations abandons the operations of a framework that ends: what they made stays, and the
// master acknowledges for it.
func (c *Core) dropOperations(f *framework) {
	for _, id := range sortedKeys(f.operations) {
		o := f.operations[id]
		delete(f.operations, id)
		o.framework, o.abandoned = nil, true
		if status := o.rec.Info.GetLatestStatus(); operationEnded(status.GetState()) && o.agent.link != nil {
			c.releaseOperationUpdate(o.agent, o.rec.Info.Uuid, status.GetUuid())
			c.removeOperation(o)
		}
	}
}

// updateAgent takes over changed totals of an agent: what it oversubscribes is all of its revocable
// resources, lent ones included.
func (c *Core) updateAgent(a *agent, m *link.UpdateAgent) {
	if m.ResourceVersion != nil {
		a.resourceVersion = m.GetResourceVersion()
	}
	for _, info := range m.GetOperations() {
		c.adoptOperation(a, info)
	}
	total := a.total.revocable(false).plus(amountsOf(m.GetOversubscribed()).revocable(true))
	if total.equal(a.total) {
		return
	}
	var stale []*offer
	for _, o := range a.offers.items {
		if !o.resources.revocable(true).empty() {
			stale = append(stale, o)
		}
	}
	for _, o := range stale {
		c.rescind(o)
	}
	a.total = total
	c.touchAgent(a)
	c.allocate(AllocatorLendAgent{ID: a.id, Revocable: total.revocable(true).protos()})
}
