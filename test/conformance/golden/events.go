package golden

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// eventKey names an event or a call by its type and what it is about.
func eventKey(raw []byte) string {
	var doc map[string]any
	if json.Unmarshal(raw, &doc) != nil {
		return "?"
	}
	kind, _ := doc["type"].(string)
	member, _ := doc[strings.ToLower(kind)].(map[string]any)
	parts := []string{kind}
	for _, path := range subjects[kind] {
		if text := lookup(member, path); text != "" {
			parts = append(parts, text)
		}
	}
	return strings.Join(parts, " ")
}

// subjects are where an event says what it is about.
var subjects = map[string][]string{
	"UPDATE":                  {"status.task_id.value", "status.state", "status.reason"},
	"UPDATE_OPERATION_STATUS": {"status.operation_id.value", "status.state"},
	"FAILURE":                 {"executor_id.value"},
	"TASK_ADDED":              {"task.task_id.value"},
	"TASK_UPDATED":            {"status.task_id.value", "status.state", "status.reason"},
	"ACKNOWLEDGED":            {"task_id.value"},
	"KILL":                    {"task_id.value"},
	"DATA":                    {"type", "data"},
}

func lookup(v any, path string) string {
	for part := range strings.SplitSeq(path, ".") {
		m, ok := v.(map[string]any)
		if !ok {
			return ""
		}
		v = m[part]
	}
	text, _ := v.(string)
	return text
}

type idDoc struct {
	Value string `json:"value"`
}

type offersDoc struct {
	Offers struct {
		Offers []struct {
			ID idDoc `json:"id"`
		} `json:"offers"`
	} `json:"offers"`
}

// track keeps the list of our outstanding offers; the lock is held.
func (p *Player) track(raw []byte) {
	var doc struct {
		Offers struct {
			Offers []any `json:"offers"`
		} `json:"offers"`
		Rescind struct {
			OfferID idDoc `json:"offer_id"`
		} `json:"rescind"`
	}
	if json.Unmarshal(raw, &doc) != nil {
		return
	}
	p.offers = append(p.offers, doc.Offers.Offers...)
	if id := doc.Rescind.OfferID.Value; id != "" {
		rescinded := func(o any) bool { return lookup(o, "id.value") == id }
		p.offers = slices.DeleteFunc(p.offers, rescinded)
		for recorded, ours := range p.bound {
			p.bound[recorded] = slices.DeleteFunc(ours, rescinded)
		}
	}
}

// settle is how long offers have to stay the same: one that Mesos makes at its tick, we may
// make in two parts.
const settle = 250 * time.Millisecond

// bind waits for offers of ours, and until there are no more of them, and lets them stand for a
// recorded one.
func (p *Player) bind(unit string, recorded []string) []any {
	if !p.wait(p.patience(unit, "OFFERS"), func() bool { return len(p.offers) > 0 }) {
		return nil
	}
	for {
		p.mu.Lock()
		n := len(p.offers)
		p.mu.Unlock()
		if !p.wait(settle, func() bool { return len(p.offers) != n }) {
			break
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	ours := p.offers
	p.offers = nil
	for i, id := range recorded {
		p.bound[id] = nil
		if i == 0 {
			p.bound[id] = slices.Clone(ours)
		}
	}
	return ours
}

// merge is one offer with the resources of all.
func merge(offers []any) any {
	first, _ := offers[0].(map[string]any)
	all := map[string]any{}
	for key, value := range first {
		all[key] = value
	}
	var resources []any
	for _, offer := range offers {
		more, _ := offer.(map[string]any)
		list, _ := more["resources"].([]any)
		for _, r := range list {
			if !slices.ContainsFunc(resources, func(have any) bool { return identity(have) == identity(r) }) {
				resources = append(resources, r)
			}
		}
	}
	all["resources"] = fractions(resources)
	return all
}

// fractions writes numbers as they came: decoding made 8.0 an 8.
func fractions(v any) any {
	switch v := v.(type) {
	case []any:
		for i := range v {
			v[i] = fractions(v[i])
		}
	case map[string]any:
		out := map[string]any{}
		for key, member := range v {
			if n, ok := member.(float64); ok && key == "value" {
				member = json.Number(withPoint(n))
			}
			out[key] = fractions(member)
		}
		return out
	}
	return v
}

func withPoint(n float64) string {
	text := fmt.Sprint(n)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

// withOffers puts our outstanding offers in the place of recorded ones.
func (p *Player) withOffers(call []byte) []byte {
	var doc map[string]any
	if json.Unmarshal(call, &doc) != nil {
		return call
	}
	kind, _ := doc["type"].(string)
	member, _ := doc[strings.ToLower(kind)].(map[string]any)
	ids, _ := member["offer_ids"].([]any)
	ours := p.take(ids)
	switch uuid, _ := member["uuid"].(string); {
	case ours != nil:
		member["offer_ids"] = ours
	case kind == "ACKNOWLEDGE" && idPattern.MatchString(uuid) && p.t.translate(uuid) == uuid:
		member["uuid"] = p.acknowledged(uuid, lookup(member, "task_id.value"))
	default:
		return call
	}
	changed, err := json.Marshal(doc)
	if err != nil {
		return call
	}
	return changed
}

// acknowledged is the uuid of our update that stands for the recorded one with that uuid: of the same state, or else the
// newest of the task.
func (p *Player) acknowledged(recorded, task string) string {
	i := slices.IndexFunc(p.c.Lines, func(l Line) bool { return strings.Contains(string(l.Event), `"uuid":"`+recorded+`"`) })
	if i < 0 {
		return p.newest(task)
	}
	key, uuid := eventKey(p.c.Lines[i].Event), ""
	p.wait(p.Patience, func() bool {
		for _, event := range p.got {
			var doc map[string]any
			if event.key == key && json.Unmarshal(event.raw, &doc) == nil {
				uuid = lookup(doc, "update.status.uuid")
			}
		}
		return uuid != ""
	})
	if uuid == "" {
		return p.newest(task)
	}
	return uuid
}

// newest is the uuid of our last update of a task, for one whose updates are other than the
// recorded ones: it has to be acknowledged all the same.
func (p *Player) newest(task string) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, event := range slices.Backward(p.got) {
		var doc map[string]any
		if json.Unmarshal(event.raw, &doc) == nil && lookup(doc, "update.status.task_id.value") == task {
			if uuid := lookup(doc, "update.status.uuid"); uuid != "" {
				return uuid
			}
		}
	}
	return "AAAAAAAAAAAAAAAAAAAAAA=="
}

// take gives the ids of the offers that stand for recorded ones.
func (p *Player) take(recorded []any) []any {
	p.mu.Lock()
	defer p.mu.Unlock()
	var ours []any
	for _, id := range recorded {
		for _, offer := range p.bound[lookup(id, "value")] {
			o, _ := offer.(map[string]any)
			ours = append(ours, o["id"])
		}
	}
	return ours
}
