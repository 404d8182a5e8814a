package core

import (
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/allocator"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// minInverseRefusal bounds the loop of a framework that answers with refuse_seconds 0.
const minInverseRefusal = 50 * time.Millisecond

// inverse is how one framework stands to the planned unavailability of one agent.
type inverse struct {
	framework *framework
	agent     *agent
	offer     OfferID // the outstanding one; empty for none
	sent      *mesos.InverseOffer
	status    *allocator.InverseOfferStatus
	refused   *timer // until it may be asked again
}

// setUnavailability follows the schedule for an agent: what was offered is rescinded, for it
// was offered without, and frameworks are asked anew.
func (c *Core) setUnavailability(a *agent) {
	key, machine := c.machineOf(a.rec.Info.GetHostname(), a.rec.IP)
	a.rec.Machine = key
	delete(c.awaited, a.id)
	if machine != nil {
		c.awaited[a.id] = a
		c.reviewLater(a) // the machine may have gone down while it registered
	}
	if proto.Equal(a.unavailability, machine.GetUnavailability()) {
		return
	}
	c.rescindOffers(a)
	c.forgetInverse(a)
	a.unavailability = machine.GetUnavailability()
	c.touchAgent(a)
	c.askInverse(a)
}

// askInverse lets an agent's frameworks be asked at the end of the step.
func (c *Core) askInverse(a *agent) {
	if a.unavailability == nil {
		return
	}
	a.ask = true
	c.reviewLater(a)
}

// askInverseOn does so for a framework that got something on the agent.
func (c *Core) askInverseOn(f *framework, a *agent) {
	if a.unavailability == nil {
		return
	}
	if in := a.inverse[f.id]; in == nil || in.offer == "" && in.refused == nil {
		c.askInverse(a)
	}
}

// askInverseOf does so on every agent with planned unavailability, for a framework that can be asked again.
func (c *Core) askInverseOf() {
	for _, id := range sortedKeys(c.awaited) {
		c.askInverse(c.awaited[id])
	}
}

// reviewInverse makes inverse offers to the frameworks that have something on the agent: one
// outstanding for each, and none for a while after an answer.
func (c *Core) reviewInverse(a *agent, events map[FrameworkID]*scheduler.Event_InverseOffers) {
	if !a.ask {
		return
	}
	a.ask = false
	if a.unavailability == nil || !a.rec.Active {
		return
	}
	for _, f := range c.frameworksOn(a) {
		in := a.inverse[f.id]
		if f.conn == 0 || !f.rec.Active || in != nil && (in.offer != "" || in.refused != nil) {
			continue
		}
		if in == nil {
			in = &inverse{framework: f, agent: a}
			a.inverse[f.id] = in
		}
		in.offer = c.newOfferID()
		c.inverse[in.offer] = in
		if events[f.id] == nil {
			events[f.id] = &scheduler.Event_InverseOffers{}
		}
		in.sent = &mesos.InverseOffer{Id: offerID(in.offer), FrameworkId: frameworkID(f.id), AgentId: agentID(a.id),
			Url: agentURL(a), Unavailability: a.unavailability}
		events[f.id].InverseOffers = append(events[f.id].InverseOffers, in.sent)
		c.touchAgent(a)
	}
}

// sendInverse sends what reviewInverse made, one event a framework.
func (c *Core) sendInverse(events map[FrameworkID]*scheduler.Event_InverseOffers) {
	for _, id := range sortedKeys(events) {
		c.toFramework(c.frameworks[id], &scheduler.Event{Type: scheduler.Event_INVERSE_OFFERS.Enum(), InverseOffers: events[id]})
	}
}

// answerInverse takes a framework's answer for the operator's view. Unknown offers are stale.
func (c *Core) answerInverse(f *framework, ids []*mesos.OfferID, status allocator.InverseOfferStatus_Status, filters *mesos.Filters) {
	for _, id := range ids {
		in := c.inverse[OfferID(id.GetValue())]
		if in == nil || in.framework != f {
			continue
		}
		c.dropInverseOffer(in)
		in.status = &allocator.InverseOfferStatus{Status: &status, FrameworkId: frameworkID(f.id), Timestamp: timeInfo(c.now)}
		in.refused = c.after(max(refusalOf(filters), minInverseRefusal), func() {
			in.refused = nil
			c.askInverse(in.agent)
		})
	}
}

func (c *Core) dropInverseOffer(in *inverse) {
	delete(c.inverse, in.offer)
	in.offer, in.sent = "", nil
	c.touchAgent(in.agent)
}

// rescindInverse takes the outstanding inverse offers of an agent back.
func (c *Core) rescindInverse(a *agent) {
	for _, id := range sortedKeys(a.inverse) {
		in := a.inverse[id]
		if in.offer == "" {
			continue
		}
		gone := in.offer
		c.dropInverseOffer(in)
		c.toFramework(in.framework, &scheduler.Event{Type: scheduler.Event_RESCIND_INVERSE_OFFER.Enum(),
			RescindInverseOffer: &scheduler.Event_RescindInverseOffer{InverseOfferId: offerID(gone)}})
	}
}

// forgetInverse forgets answers and filters as well: they were about another time.
func (c *Core) forgetInverse(a *agent) {
	c.rescindInverse(a)
	for _, in := range a.inverse {
		in.refused.cancel()
	}
	clear(a.inverse)
	a.unavailability = nil
}

// voidInverse drops what a framework without a stream was asked; with forget set, its answers too.
func (c *Core) voidInverse(f *framework, forget bool) {
	for _, id := range sortedKeys(c.awaited) {
		a := c.awaited[id]
		in := a.inverse[f.id]
		if in == nil {
			continue
		}
		c.dropInverseOffer(in)
		if forget {
			in.refused.cancel()
			delete(a.inverse, f.id)
			c.touchAgent(a)
		}
	}
}

// reviveInverse lets a framework be asked again that refused for a while.
func (c *Core) reviveInverse(f *framework) {
	for _, a := range c.awaited {
		if in := a.inverse[f.id]; in != nil && in.refused != nil {
			in.refused.cancel()
			in.refused = nil
		}
	}
	c.askInverseOf()
}

// inverseOffers lists what an agent's frameworks were asked and did not answer.
func (a *agent) inverseOffers() []*mesos.InverseOffer {
	var list []*mesos.InverseOffer
	for _, id := range sortedKeys(a.inverse) {
		if sent := a.inverse[id].sent; sent != nil {
			list = append(list, sent)
		}
	}
	return list
}

// inverseStatuses lists the answers of an agent's frameworks.
func (a *agent) inverseStatuses() []*allocator.InverseOfferStatus {
	var list []*allocator.InverseOfferStatus
	for _, in := range a.inverse {
		if in.status != nil {
			list = append(list, in.status)
		}
	}
	slices.SortFunc(list, func(x, y *allocator.InverseOfferStatus) int {
		return strings.Compare(x.GetFrameworkId().GetValue(), y.GetFrameworkId().GetValue())
	})
	return list
}
