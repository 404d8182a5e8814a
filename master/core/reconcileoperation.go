package core

import (
	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
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

// adoptOperation adds an operation that a returning agent still has.
func (c *Core) adoptOperation(a *agent, info *mesos.Operation) {
	if a.operations[string(info.GetUuid().GetValue())] != nil {
		return
	}
	id := FrameworkID(info.GetFrameworkId().GetValue())
	c.keepOperation(&operation{framework: c.frameworks[id], agent: a, rec: &Operation{Framework: id, Info: info}})
}

// loseOperations tells frameworks of the operations on an agent that is given up.
func (c *Core) loseOperations(a *agent, why mesos.TaskState) {
	state := mesos.OperationState_OPERATION_UNREACHABLE
	if why == mesos.TaskState_TASK_GONE_BY_OPERATOR {
		state = mesos.OperationState_OPERATION_GONE_BY_OPERATOR
	}
	for _, uuid := range sortedKeys(a.operations) {
		o := a.operations[uuid]
		if id := o.rec.Info.GetInfo().Id; id != nil && o.framework != nil {
			c.operationStatus(o.framework, &mesos.OperationStatus{OperationId: id, State: state.Enum(), AgentId: agentID(a.id)})
		}
		c.removeOperation(o)
	}
}

// dropOperations forgets the operations of a framework that ends; what they made stays.
func (c *Core) dropOperations(f *framework) {
	for _, id := range sortedKeys(f.operations) {
		o := f.operations[id]
		delete(f.operations, id)
		o.framework = nil
	}
}

// updateAgent takes over changed totals of an agent.
func (c *Core) updateAgent(a *agent, m *link.UpdateAgent) {
	if m.ResourceVersion != nil {
		a.resourceVersion = m.GetResourceVersion()
	}
	for _, info := range m.GetOperations() {
		c.adoptOperation(a, info)
	}
	total := a.total.revocable(false).plus(amountsOf(m.GetOversubscribed()))
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
	c.allocatorUpdateAgent(a)
}
