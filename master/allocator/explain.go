package allocator

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master/core"
)

// Question asks what keeps a framework from being offered what it needs.
type Question struct {
	Framework core.FrameworkID
	// Role is one of the framework's; empty: all of them.
	Role string
	// Need are scalars by name, and "ports" for how many; empty: anything that is worth an offer.
	Need map[string]float64
	// Agent limits the question to one; empty: all.
	Agent core.AgentID
	// Most bounds the agents that are listed for each role; all are counted.
	Most int
}

// Verdict is what stands between a framework and an agent.
type Verdict string

// The verdicts, from what passes by itself to what nobody can change.
const (
	// OfferedNext: nothing does; it is offered in the next cycle, unless who comes first takes it.
	OfferedNext Verdict = "OFFERED_NEXT"
	// JustOffered: it was offered a moment ago, and comes again in 50 ms.
	JustOffered Verdict = "JUST_OFFERED"
	// Declined: a filter of the framework's own.
	Declined Verdict = "DECLINED"
	// QuotaLimit: the limit of the role, or of one above it.
	QuotaLimit Verdict = "QUOTA_LIMIT"
	// QuotaGuarantees: what is free in the cluster is kept for the guarantees of other roles.
	QuotaGuarantees Verdict = "QUOTA_GUARANTEES"
	// InUse: others have it, or the framework itself.
	InUse Verdict = "IN_USE"
	// BelowMinimum: what is free is less than min_allocatable_resources.
	BelowMinimum Verdict = "BELOW_MINIMUM"
	// Reserved: it is reserved for other roles.
	Reserved Verdict = "RESERVED"
	// FrameworkCapability: it is of a kind that the framework does not understand.
	FrameworkCapability Verdict = "FRAMEWORK_CAPABILITY"
	// Constraints: the framework's own offer constraints.
	Constraints Verdict = "OFFER_CONSTRAINTS"
	// GPUs: the agent has some, and the framework has not the capability GPU_RESOURCES.
	GPUs Verdict = "GPUS"
	// OtherRegion: the agent is elsewhere, and the framework has not the capability REGION_AWARE.
	OtherRegion Verdict = "OTHER_REGION"
	// AgentCapability: the agent does not know several roles, or nested ones.
	AgentCapability Verdict = "AGENT_CAPABILITY"
	// Inactive: the agent is disconnected, deactivated, draining or full of executors.
	Inactive Verdict = "AGENT_INACTIVE"
	// NotListed: the whitelist does not name the agent.
	NotListed Verdict = "NOT_IN_WHITELIST"
	// TooSmall: the agent never has as much.
	TooSmall Verdict = "TOO_SMALL"
)

// ease orders verdicts.
var ease = []Verdict{OfferedNext, JustOffered, Declined, QuotaLimit, QuotaGuarantees, InUse, BelowMinimum, Reserved, FrameworkCapability,
	Constraints, GPUs, OtherRegion, AgentCapability, Inactive, NotListed, TooSmall}

// Explanation answers a Question.
type Explanation struct {
	// Known is false for a framework that the allocator does not have.
	Known bool
	// Waiting says that nothing is offered before most agents are back after an election; Expected is how many.
	Waiting  bool
	Expected int
	Roles    []RoleExplanation
}

// RoleExplanation is the answer for one role.
type RoleExplanation struct {
	Role string
	// Active: the framework is connected and wants offers. Suppressed: not for this role.
	Active, Suppressed bool
	// Share is the dominant share of the role, FrameworkShare that of the framework in it, both by weight.
	Share, FrameworkShare float64
	// Counts are all agents by verdict; Agents the easiest ones.
	Counts map[Verdict]int
	Agents []AgentVerdict
}

// AgentVerdict is what stands between a framework and one agent.
type AgentVerdict struct {
	Agent    core.AgentID
	Hostname string
	Verdict  Verdict
	// Lacks is how much of the need is missing, by name.
	Lacks map[string]float64
	// Role is whose quota or reservation it is; Until when a filter ends.
	Role  string
	Until time.Time
	// Holders have what is missing.
	Holders []Holder
	// Owed are roles whose unmet guarantees keep it, the greatest first; of all agents together, not of this one.
	Owed []Owed
	// Unmet is, of each group of the framework's offer constraints, the first that the agent does not satisfy.
	Unmet []*scheduler.AttributeConstraint
}

// Owed is what a role's guarantee lacks.
type Owed struct {
	Role    string
	Amounts map[string]float64
}

// Holder has resources of an agent.
type Holder struct {
	Framework core.FrameworkID
	Role      string
	Has       map[string]float64
}

// Explain answers a question by the rules of the next cycle, without changing anything that counts.
func (a *Allocator) Explain(q Question) Explanation {
	f := a.frameworks[q.Framework]
	if f == nil {
		return Explanation{}
	}
	out := Explanation{Known: true, Waiting: !a.holdUntil.IsZero() && len(a.agents) < a.expected, Expected: a.expected}
	if a.stale {
		a.rerank()
	}
	if len(a.limited) > 0 {
		a.settleQuotas()
		a.surplus = a.headroom()
	}
	need := a.needs(q.Need)
	for _, c := range f.clients {
		if q.Role == "" || q.Role == c.role.path {
			out.Roles = append(out.Roles, a.explainRole(c, need, q))
		}
	}
	slices.SortFunc(out.Roles, func(x, y RoleExplanation) int { return strings.Compare(x.Role, y.Role) })
	return out
}

func (a *Allocator) explainRole(c *client, need []needed, q Question) RoleExplanation {
	out := RoleExplanation{Role: c.role.path, Active: c.framework.active, Suppressed: c.suppressed, Share: c.role.as.share,
		FrameworkShare: c.share, Counts: map[Verdict]int{}}
	for _, ag := range a.order {
		if ag == nil || q.Agent != "" && ag.id != q.Agent {
			continue
		}
		v := a.judge(ag, c, need)
		out.Counts[v.Verdict]++
		out.Agents = append(out.Agents, v)
		if len(out.Agents) >= 4*max(q.Most, 64) {
			out.Agents = easiest(out.Agents, q.Most)
		}
	}
	out.Agents = easiest(out.Agents, q.Most)
	for i := range out.Agents {
		switch v := &out.Agents[i]; v.Verdict {
		case InUse:
			v.Holders = holders(a.agents[v.Agent], v.Lacks)
		case QuotaGuarantees:
			v.Owed = a.owedToOthers(c.role, v.Lacks)
		case Constraints:
			v.Unmet = c.constraints.unmet(a.agents[v.Agent].info)
		}
	}
	return out
}

// easiest keeps the verdicts that ask for the smallest change.
func easiest(all []AgentVerdict, most int) []AgentVerdict {
	slices.SortStableFunc(all, func(x, y AgentVerdict) int {
		return cmp.Or(cmp.Compare(slices.Index(ease, x.Verdict), slices.Index(ease, y.Verdict)), cmp.Compare(total(x.Lacks), total(y.Lacks)),
			x.Until.Compare(y.Until), strings.Compare(string(x.Agent), string(y.Agent)))
	})
	return all[:min(len(all), most)]
}

// total adds up what is missing; of different resources too, as a measure of how far away an agent is.
func total(lacks map[string]float64) (sum float64) {
	for _, n := range lacks {
		sum += n
	}
	return sum
}

// judge goes the way of part, and says where it ends.
func (a *Allocator) judge(ag *agent, c *client, need []needed) AgentVerdict {
	v := AgentVerdict{Agent: ag.id, Hostname: ag.info.GetHostname(), Verdict: OfferedNext}
	if v.Verdict = a.obstacle(ag, c); v.Verdict != "" {
		return v
	}
	part := c.allowed(ag.free) // what was lent in the last cycle can be lent again
	if v.Lacks = shortfall(part, need); v.Lacks != nil {
		a.missing(&v, ag, c, need)
		return v
	}
	if f := ag.filters.of(c).covering(part); f != nil {
		v.Verdict, v.Until = Declined, f.until
		return v
	}
	said := a.judgeStage(v, ag, c, part, need, nil)
	for r := c.role; r.parent != nil && said.Verdict != OfferedNext; r = r.parent {
		if r.quota != nil && !r.satisfied() && r.as.listed {
			if first := a.judgeStage(v, ag, c, part, need, r); first.Verdict == OfferedNext {
				said = first
			}
		}
	}
	return said
}

// judgeStage says what is in the way of a part in the second stage, or in the first, which pays a debt.
func (a *Allocator) judgeStage(v AgentVerdict, ag *agent, c *client, part []portion, need []needed, debt *role) AgentVerdict {
	chopped := a.chop(c, part, debt)
	if v.Lacks = shortfall(chopped, need); v.Lacks != nil {
		v.Verdict, v.Role = a.quotaInTheWay(c, part, need)
		return v
	}
	f := ag.filters.of(c).covering(chopped)
	until, paused := ag.gap(c, a.now)
	switch {
	case !worthwhile(chopped, a.minimumFor(c)):
		v.Verdict = BelowMinimum
	case f != nil:
		v.Verdict, v.Until = Declined, f.until
	case paused:
		v.Verdict, v.Until = JustOffered, until
	default:
		v.Verdict = OfferedNext
	}
	return v
}

// obstacle is what keeps a whole agent from a client; empty when nothing does.
func (a *Allocator) obstacle(ag *agent, c *client) Verdict {
	switch {
	case !ag.active:
		return Inactive
	case !a.inUse(ag):
		return NotListed
	}
	return a.mismatch(ag, c)
}

// missing finds out why less is free for a client than it needs.
func (a *Allocator) missing(v *AgentVerdict, ag *agent, c *client, need []needed) {
	switch {
	case shortfall(c.allowed(ag.total), need) == nil:
		v.Verdict = InUse
	case shortfall(ag.total, need) != nil:
		v.Verdict, v.Lacks = TooSmall, shortfall(ag.total, need)
	default:
		v.Verdict = FrameworkCapability
		for _, p := range ag.total {
			if _, wanted := v.Lacks[p.kind.name]; (wanted || len(need) == 0) && p.kind.role != "" && !within(c.role.path, p.kind.role) {
				v.Verdict, v.Role = Reserved, p.kind.role
				return
			}
		}
	}
}

// holders are those that have any of what is missing, the greatest first.
func holders(ag *agent, lacks map[string]float64) []Holder {
	var out []Holder
	for _, h := range ag.held {
		has := map[string]float64{}
		for _, p := range ag.heldBy(h.client) {
			if _, wanted := lacks[p.kind.name]; wanted || len(lacks) == 0 {
				has[p.kind.name] += float64(p.amount.count(p.kind)) / 1000
			}
		}
		if len(has) > 0 {
			out = append(out, Holder{Framework: h.client.framework.id, Role: h.client.role.path, Has: has})
		}
	}
	slices.SortStableFunc(out, func(x, y Holder) int { return cmp.Compare(total(y.Has), total(x.Has)) })
	return out
}

// quotaInTheWay says whether a limit, and of which role, or guarantees of others keep a part from a client.
func (a *Allocator) quotaInTheWay(c *client, part []portion, need []needed) (Verdict, string) {
	for r := c.role; r.parent != nil; r = r.parent {
		for _, p := range part {
			wanted := len(need) == 0 || slices.ContainsFunc(need, func(n needed) bool { return n.name == p.kind.name })
			if i := p.kind.scalar; wanted && p.kind.plain() && r.quota != nil && i < len(r.quota.limit) && r.quota.limit[i] >= 0 &&
				r.quota.limit[i]-r.consumed(i) < enough(need, p) {
				return QuotaLimit, r.path
			}
		}
	}
	return QuotaGuarantees, ""
}

// owedToOthers are the roles, but those on the way to one, whose unmet guarantees keep what is missing.
func (a *Allocator) owedToOthers(own *role, lacks map[string]float64) []Owed {
	var out []Owed
	for _, r := range a.limited {
		if within(own.path, r.path) {
			continue
		}
		amounts := map[string]float64{}
		for i := range r.quota.guarantee {
			name := a.kinds.names[i]
			if _, wanted := lacks[name]; (wanted || len(lacks) == 0) && r.unmet(i) > 0 {
				amounts[name] = float64(r.unmet(i)) / 1000
			}
		}
		if len(amounts) > 0 {
			out = append(out, Owed{Role: r.path, Amounts: amounts})
		}
	}
	slices.SortFunc(out, func(x, y Owed) int {
		return cmp.Or(cmp.Compare(total(y.Amounts), total(x.Amounts)), strings.Compare(x.Role, y.Role))
	})
	return out
}

// enough is how much of a portion would do.
func enough(need []needed, p portion) int64 {
	for _, n := range need {
		if n.name == p.kind.name {
			return n.amount
		}
	}
	return 1
}

// needed is an amount of a resource: thousandths.
type needed struct {
	name   string
	amount int64
}

func (a *Allocator) needs(need map[string]float64) (out []needed) {
	for _, name := range slices.Sorted(maps.Keys(need)) {
		if n := milli(need[name]); n > 0 {
			out = append(out, needed{name, n})
		}
	}
	return out
}

// count is an amount in thousandths, of ranges and items their number.
func (m amount) count(k *kind) int64 {
	if k.scalar >= 0 {
		return m.scalar
	}
	n := int64(len(m.items))
	if m.ranges != nil {
		for _, s := range m.ranges.spans {
			n += int64(s.end-s.begin) + 1
		}
	}
	return n * 1000
}

// shortfall is what portions lack of a need; nil when they hold it. Without a need they must hold anything.
func shortfall(portions []portion, need []needed) map[string]float64 {
	if len(need) == 0 {
		if len(portions) > 0 {
			return nil
		}
		return map[string]float64{}
	}
	var out map[string]float64
	for _, n := range need {
		have := int64(0)
		for _, p := range portions {
			if p.kind.name == n.name {
				have += p.amount.count(p.kind)
			}
		}
		if have < n.amount {
			if out == nil {
				out = map[string]float64{}
			}
			out[n.name] = float64(n.amount-have) / 1000
		}
	}
	return out
}
