package httpapi

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"

	"agora.dev/agora/master/core"
)

// endedOffer is an element of /api/agora/offers.
type endedOffer struct {
	ID         string             `json:"id"`
	Agent      string             `json:"agent_id"`
	Hostname   string             `json:"hostname"`
	Role       string             `json:"role"`
	Resources  map[string]float64 `json:"resources"`
	Sent       float64            `json:"sent"`
	Ended      float64            `json:"ended,omitempty"`
	Outcome    string             `json:"outcome"`
	Refusal    float64            `json:"refuse_seconds,omitempty"`
	Operations []string           `json:"operations,omitempty"`
	Problem    string             `json:"problem,omitempty"`
}

// offerHistory lists the offers that a framework has, newest first, and then the last that ended.
func (s *Server) offerHistory(w http.ResponseWriter, r *http.Request) {
	viewer, id := s.viewer(r), r.URL.Query().Get("framework")
	snapshot := s.visible(r)
	if id == "" {
		text(w, http.StatusBadRequest, "Give the parameter framework")
		return
	}
	list := []endedOffer{}
	for offer := range snapshot.Offers.All() {
		if offer.Info.GetFrameworkId().GetValue() == id && viewer.role(offer.Info.GetAllocationInfo().GetRole()) {
			list = append(list, historyEntry(&core.EndedOffer{Info: offer.Info, SentAt: offer.SentAt, Outcome: "OUTSTANDING"}))
		}
	}
	slices.SortStableFunc(list, func(x, y endedOffer) int { return cmp.Compare(y.Sent, x.Sent) })
	found := false
	for _, frameworks := range []core.View[core.Framework]{snapshot.Frameworks, snapshot.CompletedFrameworks} {
		for f := range frameworks.All() {
			if string(f.ID) != id {
				continue
			}
			found = true
			for _, o := range slices.Backward(f.Offers) {
				if viewer.role(o.Info.GetAllocationInfo().GetRole()) {
					list = append(list, historyEntry(o))
				}
			}
		}
	}
	if !found {
		text(w, http.StatusNotFound, "No framework '"+id+"'")
		return
	}
	body, err := json.Marshal(map[string]any{"offers": list})
	if err != nil {
		text(w, http.StatusInternalServerError, err.Error())
		return
	}
	view(w, r, func(out *writer) { out.buf = append(out.buf, body...) })
}

func historyEntry(o *core.EndedOffer) endedOffer {
	sum := quantities{}
	sum.add(o.Info.GetResources())
	amounts := map[string]float64{}
	for _, name := range sum.names() {
		amounts[name] = sum.value(name)
	}
	entry := endedOffer{ID: o.Info.GetId().GetValue(), Agent: o.Info.GetAgentId().GetValue(), Hostname: o.Info.GetHostname(),
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
