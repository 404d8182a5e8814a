package httpapi

import (
	"cmp"
	"net/http"
	"slices"

	"agora.dev/agora/api/agora/why"
	"agora.dev/agora/master/core"
)

// offerHistory lists the offers that a framework has, newest first, and then the last that ended.
func (s *Server) offerHistory(w http.ResponseWriter, r *http.Request) {
	viewer, id := s.viewer(r), r.URL.Query().Get("framework")
	snapshot := s.visible(r)
	if id == "" {
		text(w, http.StatusBadRequest, "Give the parameter framework")
		return
	}
	list := []why.Offer{}
	for offer := range snapshot.Offers.All() {
		if offer.Info.GetFrameworkId().GetValue() == id && viewer.Role(offer.Info.GetAllocationInfo().GetRole()) {
			list = append(list, historyEntry(&core.EndedOffer{Info: offer.Info, SentAt: offer.SentAt, Outcome: "OUTSTANDING"}))
		}
	}
	slices.SortStableFunc(list, func(x, y why.Offer) int { return cmp.Compare(y.Sent, x.Sent) })
	found := false
	for _, frameworks := range []core.View[core.Framework]{snapshot.Frameworks, snapshot.CompletedFrameworks} {
		for f := range frameworks.All() {
			if string(f.ID) != id {
				continue
			}
			found = true
			for _, o := range slices.Backward(f.Offers) {
				if viewer.Role(o.Info.GetAllocationInfo().GetRole()) {
					list = append(list, historyEntry(o))
				}
			}
		}
	}
	if !found {
		text(w, http.StatusNotFound, "No framework '"+id+"'")
		return
	}
	document(w, r, why.Offers{Offers: list})
}

func historyEntry(o *core.EndedOffer) why.Offer {
	sum := quantities{}
	sum.add(o.Info.GetResources())
	amounts := map[string]float64{}
	for _, name := range sum.names() {
		amounts[name] = sum.value(name)
	}
	entry := why.Offer{ID: o.Info.GetId().GetValue(), Agent: o.Info.GetAgentId().GetValue(), Hostname: o.Info.GetHostname(),
		Role: o.Info.GetAllocationInfo().GetRole(), Resources: amounts, Sent: float64(o.SentAt.UnixMilli()) / 1000,
		Outcome: string(o.Outcome), Refusal: o.Refusal.Seconds(), Problem: o.Problem}
	if !o.EndedAt.IsZero() {
		entry.Ended = float64(o.EndedAt.UnixMilli()) / 1000
	}
	for _, op := range o.Operations {
		entry.Operations = append(entry.Operations, op.String())
	}
	return entry
}
