package core

import (
	"fmt"
	"slices"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/master/validation"
)

// OperateAgent changes the resources of an agent: RESERVE, UNRESERVE, CREATE, DESTROY, GROW_VOLUME
// or SHRINK_VOLUME of what is free there, or on offer. 202; 400 when the operation is not valid or the agent
// not known; 409 when not enough is free.
type OperateAgent struct {
	Agent     AgentID
	Operation *mesos.Offer_Operation
}

func (OperateAgent) isOperatorCommand() {}

// operands are the resources that an operation names.
func operands(op *mesos.Offer_Operation) []*mesos.Resource {
	list := slices.Concat(op.GetReserve().GetResources(), op.GetReserve().GetSource(), op.GetUnreserve().GetResources(),
		op.GetCreate().GetVolumes(), op.GetDestroy().GetVolumes())
	for _, one := range []*mesos.Resource{op.GetGrowVolume().GetVolume(), op.GetGrowVolume().GetAddition(),
		op.GetShrinkVolume().GetVolume()} {
		if one != nil {
			list = append(list, one)
		}
	}
	return list
}

// convert handles an operation of an ACCEPT: applied here at once, so that later operations of the
// same ACCEPT can use the result, and by the agent when it hears of it. A volume of another size
// can be used only when it is offered again, as in Mesos.
func (c *Core) convert(x *acceptance, op *mesos.Offer_Operation) {
	inject(operands(op), x.role)
	if err := c.authorizeOperation(x.framework, op); err != nil {
		c.operationError(x.framework, op, err.Error())
		return
	}
	if err := c.checkOperation(x, op); err != nil {
		c.operationError(x.framework, op, err.Error())
		return
	}
	change := conversionOf(op)
	if i := slices.IndexFunc(change.from, func(one amount) bool { return !x.remaining.contains(amounts{one}) }); i >= 0 {
		c.operationError(x.framework, op, x.remaining.String()+" does not contain "+change.from[i:i+1].String())
		return
	}
	c.withdraw(x, change.from.onlyShared())
	x.agent.total = change.allocated("").apply(x.agent.total)
	c.touchAgent(x.agent)
	c.allocatorConvert(x.framework.id, x.agent.id, change)
	switch op.GetType() {
	case mesos.Offer_Operation_GROW_VOLUME, mesos.Offer_Operation_SHRINK_VOLUME:
		x.remaining = x.remaining.minus(change.from)
		c.allocatorRecover(x.framework.id, x.agent.id, change.to, nil)
	default:
		x.remaining = change.apply(x.remaining)
		x.converted = x.converted.plus(change.to)
	}
	c.sendOperation(x.framework, x.agent, op)
}

// withdraw takes shared volumes that are about to be destroyed out of every other offer, and gives
// back all copies but one of this ACCEPT's own.
func (c *Core) withdraw(x *acceptance, volumes amounts) {
	if volumes.empty() {
		return
	}
	c.rescindOverlapping(x.agent, volumes.allocated(""))
	extra := x.remaining.beyondOne(volumes)
	x.remaining = x.remaining.minus(extra)
	c.allocatorRecover(x.framework.id, x.agent.id, extra, nil)
}

// rescindOverlapping takes back the offers of an agent that hold any of wanted, which is
// allocated to nobody.
func (c *Core) rescindOverlapping(a *agent, wanted amounts) {
	for _, o := range slices.Clone(a.offers.items) {
		if !o.resources.allocated("").intersect(wanted).empty() {
			c.rescind(o)
		}
	}
}

func (c *Core) checkOperation(x *acceptance, op *mesos.Offer_Operation) error {
	if op.Id != nil && !x.agent.capable(mesos.AgentInfo_Capability_AGENT_OPERATION_FEEDBACK) {
		return validation.Invalid("Operation on agent default resources requested feedback," +
			" but the agent does not support it")
	}
	if op.Id != nil && x.framework.operations[op.GetId().GetValue()] != nil {
		return validation.Invalid("Operation has duplicate ID: " + op.GetId().GetValue())
	}
	scope := operationScope(x.agent)
	scope.Info, scope.Principal = x.framework.rec.Info, x.framework.rec.Info.GetPrincipal()
	scope.Where = "; on agent " + x.agent.String()
	return validation.Operation(op, scope)
}

// String names an agent as Mesos does in texts.
func (a *agent) String() string {
	return fmt.Sprintf("%s at %s (%s)", a.id, a.rec.PID, a.rec.Info.GetHostname())
}

// operationScope answers validation's questions about an agent.
func operationScope(a *agent) validation.OperationScope {
	return validation.OperationScope{
		Resize:       a.capable(mesos.AgentInfo_Capability_RESIZE_VOLUME),
		VolumeExists: func(role, id string) bool { return hasVolume(a.total, role, id) },
		VolumeInUse: func(role, id string) bool {
			for _, t := range a.tasks.items {
				if !t.released && hasVolume(t.resources, role, id) {
					return true
				}
			}
			for _, e := range a.executors {
				if hasVolume(e.resources, role, id) {
					return true
				}
			}
			return false
		},
	}
}

func hasVolume(s amounts, role, id string) bool {
	for _, a := range s {
		p, stack := a.kind.GetDisk().GetPersistence(), a.kind.GetReservations()
		if p != nil && p.GetId() == id && len(stack) > 0 && last(stack).GetRole() == role {
			return true
		}
	}
	return false
}

// describeVolumes shows volumes as they were created: the allocator takes all of one id for one kind.
func (a *agent) describeVolumes(s amounts) amounts {
	for i := range s {
		if s[i].kind.GetDisk().GetPersistence() == nil {
			continue
		}
		if at := a.total.find(amounts{s[i]}.allocated("")[0].key); at >= 0 {
			kind := s[i].proto()
			kind.Disk = a.total[at].kind.Disk
			s[i].kind = kind
		}
	}
	return s
}

// operateAgent carries out what an operator wants of an agent's resources. The allocator says
// whether they are free; if they are not, offers of them are taken back.
func (c *Core) operateAgent(e OperatorCall, call OperateAgent) {
	a := c.agents[call.Agent]
	if a == nil {
		c.answer(e.Request, 400, "No agent found with specified ID")
		return
	}
	op := proto.CloneOf(call.Operation)
	upgrade(operands(op))
	scope := operationScope(a)
	scope.Principal = e.Principal
	if err := validation.Operation(op, scope); err != nil {
		c.answer(e.Request, 400, "Invalid "+op.GetType().String()+" operation on agent "+a.String()+": "+err.Error())
		return
	}
	change := conversionOf(op)
	c.rescindOverlapping(a, change.from.onlyShared())
	c.askAllocator(a, nil, change, func(answer AllocatorAnswer, current bool) {
		if !answer.Done && c.agents[a.id] == a {
			c.operateOffered(e.Request, a, op, change)
			return
		}
		c.operationAnswered(e.Request, a, op, answer, current)
	})
}

// operateOffered tries once more with what is on offer. Its frameworks do not get that again for the
// default time of a refusal, and whoever else might gets it only after the allocator's answer.
func (c *Core) operateOffered(request RequestID, a *agent, op *mesos.Offer_Operation, change conversion) {
	missing, refusal := change.from, defaultRefusal
	var recovered []AllocatorRecover
	for _, o := range slices.Clone(a.offers.items) {
		rest := missing.minus(o.resources.allocated("").intersect(missing))
		if rest.equal(missing) {
			continue
		}
		missing = rest
		recovered = append(recovered, AllocatorRecover{Framework: o.framework.id, Agent: a.id, Resources: o.resources.protos(), Refusal: refusal})
		c.removeOffer(o)
		c.tellRescinded(o)
	}
	c.askAllocator(a, recovered, change, func(answer AllocatorAnswer, current bool) {
		c.operationAnswered(request, a, op, answer, current)
	})
}

// operationAnswered gives the agent an operation for which there is room.
func (c *Core) operationAnswered(request RequestID, a *agent, op *mesos.Offer_Operation, answer AllocatorAnswer, current bool) {
	change := conversionOf(op)
	switch {
	case c.agents[a.id] != a:
		c.answer(request, 409, "Agent "+string(a.id)+" is gone")
		return
	case !answer.Done:
		c.answer(request, 409, amountsOf(answer.Free).String()+" does not contain "+change.from.String())
		return
	case a.link == nil || !a.total.contains(change.from):
		// It was registered anew meanwhile, or is about to be: the allocator must forget the change,
		// and the offers of changed resources that may be under way.
		c.rescindOffers(a)
		c.allocatorRemoveAgent(a)
		c.allocatorAddAgent(a)
		c.answer(request, 409, "Agent "+a.String()+" is disconnected, or has just returned; try again")
		return
	}
	a.total = change.apply(a.total)
	c.touchAgent(a)
	if !current {
		c.allocatorUpdateAgent(a)
	}
	c.sendOperation(nil, a, op)
	c.answer(request, 202, "")
}

// upgrade turns the reservation format of old clients into the stack, in place.
func upgrade(list []*mesos.Resource) {
	for _, r := range list {
		r.Reservations = upgraded(r).Reservations
		r.Role, r.Reservation = nil, nil
	}
}
