package core

import (
	"time"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// OfferOutcome is how an offer came to its end.
type OfferOutcome string

// The outcomes.
const (
	OfferAccepted OfferOutcome = "ACCEPTED"
	OfferDeclined OfferOutcome = "DECLINED"
	// OfferRescinded: the master took it back and said so.
	OfferRescinded OfferOutcome = "RESCINDED"
	// OfferWithdrawn: the master took it back without a word: the framework was gone, or used it wrongly.
	OfferWithdrawn OfferOutcome = "WITHDRAWN"
)

// EndedOffer is an offer that came to its end.
type EndedOffer struct {
	Info            *mesos.Offer
	SentAt, EndedAt time.Time
	Outcome         OfferOutcome
	// Refusal is for how long what was left is not offered to the framework in this role again.
	Refusal time.Duration
	// Operations are those of the ACCEPT, in order; one without any declines.
	Operations []mesos.Offer_Operation_Type
	// Problem is why an ACCEPT was refused.
	Problem string
}

// offerHistory is how many ended offers of a framework are remembered.
const offerHistory = 32

// ended remembers how an offer ended. Records hold the same array and look at their part of it, so that an element
// that is there is never written again.
func (c *Core) ended(o *offer, how *EndedOffer) {
	how.Info, how.SentAt, how.EndedAt = o.rec.Info, o.rec.SentAt, c.now
	f := o.framework
	if len(f.rec.Offers) == cap(f.rec.Offers) {
		f.rec.Offers = append(make([]*EndedOffer, 0, 2*offerHistory), f.rec.Offers[max(0, len(f.rec.Offers)-offerHistory):]...)
	}
	f.rec.Offers = append(f.rec.Offers, how)
	c.touchFramework(f)
}

func acceptedOffer(call *scheduler.Call_Accept) *EndedOffer {
	how := &EndedOffer{Outcome: OfferAccepted, Refusal: refusalOf(call.GetFilters())}
	for _, op := range call.GetOperations() {
		how.Operations = append(how.Operations, op.GetType())
	}
	return how
}
