package core

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/internal/planted"
	"agora.dev/agora/master/validation"
)

// offer is one outstanding offer.
type offer struct {
	id                         OfferID
	framework                  *framework
	agent                      *agent
	role                       string
	resources                  amounts
	given                      AllocatorOffer
	rec                        *Offer
	slot                       int
	frameworkIndex, agentIndex int
	timeout                    *timer
}

// offered turns what the allocator set aside into offers, one event a framework. What
// cannot be offered any more goes straight back.
func (c *Core) offered(batch []AllocatorOffer) {
	events := map[FrameworkID]*scheduler.Event_Offers{}
	var order []*framework
	for _, given := range batch {
		o := c.makeOffer(given)
		if o == nil {
			continue
		}
		event := events[o.framework.id]
		if event == nil {
			event = &scheduler.Event_Offers{}
			events[o.framework.id] = event
			order = append(order, o.framework)
		}
		event.Offers = append(event.Offers, o.framework.shownOffer(o.rec.Info))
	}
	for _, f := range order {
		c.toFramework(f, &scheduler.Event{Type: scheduler.Event_OFFERS.Enum(), Offers: events[f.id]})
	}
}

// shownOffer is an offer as f reads it. Frameworks without MULTI_ROLE compare resources
// with their own and know nothing of allocation_info; it is left out for them (MESOS-8237).
func (f *framework) shownOffer(info *mesos.Offer) *mesos.Offer {
	if validation.HasCapability(f.rec.Info, mesos.FrameworkInfo_Capability_MULTI_ROLE) {
		return info
	}
	shown := proto.CloneOf(info)
	shown.AllocationInfo = nil
	for _, r := range shown.GetResources() {
		r.AllocationInfo = nil
	}
	return shown
}

func (c *Core) makeOffer(given AllocatorOffer) *offer {
	framework, agentName, role, resources := offerParts(given)
	f, a := c.frameworks[framework], c.agents[agentName]
	if a != nil && given.Generation != 0 && given.Generation != a.generation {
		return nil // the allocator dropped it with the agent's removal
	}
	// A shared volume can be destroyed while an offer of it is on its way.
	stale := given.QuotaChanges != c.quotaChanges || a != nil && !a.total.contains(resources.onlyShared().allocated(""))
	if stale || f == nil || f.conn == 0 || !f.rec.Active || !f.hasRole(role) || a == nil || !a.rec.Active || a.link == nil {
		c.allocatorReturn(given, 0)
		return nil
	}
	o := &offer{id: c.newOfferID(), framework: f, agent: a, role: role, resources: a.describeVolumes(resources), given: given}
	o.rec = &Offer{Info: c.describeOffer(o), SentAt: c.now}
	c.offers[o.id] = o
	o.slot = c.pub.offers.insert(o.rec)
	f.offers.add(o)
	a.offers.add(o)
	a.offered = a.offered.plus(resources)
	f.rec.Counters.OffersSent++
	c.touchFramework(f)
	c.touchAgent(a)
	if c.cfg.OfferTimeout > 0 {
		o.timeout = c.after(c.cfg.OfferTimeout, func() { c.rescind(o) })
	}
	return o
}

func (c *Core) describeOffer(o *offer) *mesos.Offer {
	info := o.agent.rec.Info
	described := &mesos.Offer{
		Id:             offerID(o.id),
		FrameworkId:    frameworkID(o.framework.id),
		AgentId:        agentID(o.agent.id),
		Hostname:       ptr(info.GetHostname()),
		Resources:      o.framework.format(o.resources.protos()),
		Attributes:     info.GetAttributes(),
		Domain:         info.GetDomain(),
		Url:            agentURL(o.agent),
		AllocationInfo: &mesos.Resource_AllocationInfo{Role: ptr(o.role)},
		Unavailability: o.agent.unavailability,
	}
	for _, e := range o.agent.executorsInOrder() {
		if e.framework == o.framework {
			described.ExecutorIds = append(described.ExecutorIds, executorID(e.id))
		}
	}
	return described
}

func agentURL(a *agent) *mesos.URL {
	info := a.rec.Info
	return &mesos.URL{
		Scheme:  ptr("http"),
		Address: &mesos.Address{Hostname: ptr(info.GetHostname()), Ip: ptr(a.rec.IP), Port: ptr(info.GetPort())},
		Path:    ptr("/slave(1)"),
	}
}

// removeOffer takes an offer off the books; its resources are the caller's to return or use.
func (c *Core) removeOffer(o *offer) {
	delete(c.offers, o.id)
	c.pub.offers.remove(o.slot)
	o.framework.offers.remove(o)
	o.agent.offers.remove(o)
	o.agent.offered = o.agent.offered.minus(o.resources)
	o.timeout.cancel()
	c.touchFramework(o.framework)
	c.touchAgent(o.agent)
}

// returnOffer takes an offer back without telling the framework.
func (c *Core) returnOffer(o *offer) {
	c.removeOffer(o)
	c.allocatorReturn(o.given, 0)
	c.ended(o, &EndedOffer{Outcome: OfferWithdrawn})
}

// rescind takes an offer back and tells the framework.
func (c *Core) rescind(o *offer) {
	if c.offers[o.id] != o {
		return
	}
	if planted.Active("master-stale-offer") {
		c.allocatorRecover(o.framework.id, o.agent.id, o.resources, nil)
	} else {
		c.removeOffer(o)
		c.allocatorReturn(o.given, 0)
	}
	c.tellRescinded(o)
}

func (c *Core) tellRescinded(o *offer) {
	o.framework.rec.Counters.OffersRescinded++
	c.ended(o, &EndedOffer{Outcome: OfferRescinded})
	c.toFramework(o.framework, &scheduler.Event{Type: scheduler.Event_RESCIND.Enum(),
		Rescind: &scheduler.Event_Rescind{OfferId: offerID(o.id)}})
}

func (c *Core) rescindOffers(a *agent) {
	for _, o := range slices.Clone(a.offers.items) {
		c.rescind(o)
	}
}

// refusal bounds of Filters.refuse_seconds.
const (
	defaultRefusal = 5 * time.Second
	maxRefusal     = 365 * 24 * time.Hour
)

// refusalOf is how long a decline holds: 5 s when it is not said, or said wrongly.
func refusalOf(filters *mesos.Filters) time.Duration {
	s := filters.GetRefuseSeconds()
	switch {
	case filters == nil || !(s >= 0):
		return defaultRefusal
	case s > maxRefusal.Seconds():
		return maxRefusal
	}
	return time.Duration(s * float64(time.Second))
}

// decline gives offers back, and keeps the agent's resources from the framework for a while.
func (c *Core) decline(f *framework, call *scheduler.Call_Decline) {
	refusal := refusalOf(call.GetFilters())
	for _, id := range call.GetOfferIds() {
		o := c.offers[OfferID(id.GetValue())]
		if o == nil || o.framework != f {
			continue
		}
		c.removeOffer(o)
		f.rec.Counters.OffersDeclined++
		c.allocatorReturn(o.given, refusal)
		c.ended(o, &EndedOffer{Outcome: OfferDeclined, Refusal: refusal})
	}
}
