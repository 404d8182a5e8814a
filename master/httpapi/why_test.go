package httpapi

import (
	"context"
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/authtest"
	"agora.dev/agora/master/allocator"
)

// TestExplanationsNameNobodyWhoMayNotBeSeen has the sibling tenant hold, limit and reserve what is asked for.
func TestExplanationsNameNobodyWhoMayNotBeSeen(t *testing.T) {
	all := callers(t)
	var log strings.Builder
	e := populated(t, secured(t, all, &log))
	e.cfg.Explain = func(_ context.Context, questions []allocator.Question) (answers []allocator.Explanation, answered bool) {
		for range questions {
			answers = append(answers, allocator.Explanation{Known: true, Roles: []allocator.RoleExplanation{
				{Role: "web-b", Active: true},
				{Role: "web", Active: true, Counts: map[allocator.Verdict]int{allocator.InUse: 1}, Agents: []allocator.AgentVerdict{
					{Agent: "m-S0", Verdict: allocator.InUse, Lacks: map[string]float64{"cpus": 1}, Holders: []allocator.Holder{{Framework: "m-0001", Role: "web-b"}}},
					{Agent: "m-S0", Verdict: allocator.Reserved, Role: "web-b"}, {Agent: "m-S0", Verdict: allocator.QuotaLimit, Role: "web-b"}}}}})
		}
		return answers, true
	}
	for _, c := range []struct {
		name, path string
		status     int
		sibling    bool
	}{
		{"web", "/api/agora/why?framework=m-0000", 200, false},
		{"web", "/api/agora/why?task=mark-web.task", 200, false},
		{"web", "/api/agora/offers?framework=m-0000", 200, false},
		{"admin", "/api/agora/why?framework=m-0000", 200, true},
		{"web-b", "/api/agora/why?framework=m-0000", 404, false},
		{"web-b", "/api/agora/why?task=mark-web.task", 404, false},
		{"web-b", "/api/agora/why?role=web", 404, false},
		{"web-b", "/api/agora/offers?framework=m-0000", 404, false},
		{"ops", "/api/agora/why?role=web", 404, false},
	} {
		by := all[slices.IndexFunc(all, func(one *authtest.Caller) bool { return one.Name == c.name })]
		status, body := e.get(by, c.path)
		if status != c.status || strings.Contains(body, "web-b") != c.sibling || status == 200 && !strings.Contains(body, `"web"`) {
			t.Errorf("%s asks %s: %d\n%s", c.name, c.path, status, body)
		}
	}
}

func TestAnExplanationNamesGuaranteesAndConstraints(t *testing.T) {
	on := func(name string, p *scheduler.AttributeConstraint_Predicate) *scheduler.AttributeConstraint {
		return &scheduler.AttributeConstraint{Selector: &scheduler.AttributeConstraint_Selector{
			Selector: &scheduler.AttributeConstraint_Selector_AttributeName{AttributeName: name}}, Predicate: p}
	}
	region := &scheduler.AttributeConstraint{Selector: &scheduler.AttributeConstraint_Selector{
		Selector: &scheduler.AttributeConstraint_Selector_PseudoattributeType_{PseudoattributeType: scheduler.AttributeConstraint_Selector_REGION}},
		Predicate: &scheduler.AttributeConstraint_Predicate{Predicate: &scheduler.AttributeConstraint_Predicate_NotExists_{
			NotExists: &scheduler.AttributeConstraint_Predicate_NotExists{}}}}
	e := &explainer{viewer: &viewer{(*auth.ACLs)(nil).Viewer(nil)}}
	for _, c := range []struct {
		verdict allocator.AgentVerdict
		want    string
	}{
		{allocator.AgentVerdict{Verdict: allocator.QuotaGuarantees, Lacks: map[string]float64{"cpus": 1}, Owed: []allocator.Owed{
			{Role: "prod", Amounts: map[string]float64{"cpus": 3, "mem": 64}}, {Role: "dev", Amounts: map[string]float64{"cpus": 1}}}},
			"what is free is kept for the guarantees of 'prod' (cpus:3;mem:64), 'dev' (cpus:1); cpus:1 is missing."},
		{allocator.AgentVerdict{Verdict: allocator.Constraints, Unmet: []*scheduler.AttributeConstraint{
			on("rack", &scheduler.AttributeConstraint_Predicate{Predicate: &scheduler.AttributeConstraint_Predicate_TextMatches_{
				TextMatches: &scheduler.AttributeConstraint_Predicate_TextMatches{Regex: ptr("a.*")}}}), region}},
			"the framework's offer constraints exclude it: attribute 'rack' must match 'a.*'; or region must not exist."},
	} {
		if got := e.agentVerdict(c.verdict); got.Reason != c.want {
			t.Errorf("%s: %s, want %s", c.verdict.Verdict, got.Reason, c.want)
		}
	}
}
