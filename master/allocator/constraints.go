package allocator

import (
	"fmt"
	"regexp"
	"regexp/syntax"
	"slices"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// Bounds of regular expressions in offer constraints, as Mesos's flags have them.
const (
	maxRegexBytes   = 4096
	maxRegexProgram = 100
)

// constraints are the groups of one role: an agent must satisfy all of some group.
type constraints struct{ groups [][]constraint }

type constraint struct {
	said  *scheduler.AttributeConstraint
	holds func(text string, isText, present bool) bool
}

// admits says whether an agent satisfies one constraint.
func (c constraint) admits(info *mesos.AgentInfo) bool {
	return c.holds(selectAttribute(c.said.GetSelector(), info))
}

// CheckConstraints says what is wrong with a framework's offer constraints.
func CheckConstraints(all *scheduler.OfferConstraints) error {
	for role, one := range all.GetRoleConstraints() {
		if len(one.GetGroups()) == 0 {
			return fmt.Errorf("offer constraints of role %s: no groups", role)
		}
		for _, group := range one.GetGroups() {
			if len(group.GetAttributeConstraints()) == 0 {
				return fmt.Errorf("offer constraints of role %s: an empty group", role)
			}
			for _, c := range group.GetAttributeConstraints() {
				if _, err := compilePredicate(c.GetPredicate()); err != nil {
					return fmt.Errorf("offer constraints of role %s: %w", role, err)
				}
			}
		}
	}
	return nil
}

// compileConstraints is nil where there are none. What CheckConstraints refuses excludes
// every agent.
func compileConstraints(role *scheduler.OfferConstraints_RoleConstraints) *constraints {
	if role == nil {
		return nil
	}
	all := &constraints{}
	for _, group := range role.GetGroups() {
		var compiled []constraint
		for _, c := range group.GetAttributeConstraints() {
			holds, err := compilePredicate(c.GetPredicate())
			if err != nil {
				holds = func(string, bool, bool) bool { return false }
			}
			compiled = append(compiled, constraint{c, holds})
		}
		all.groups = append(all.groups, compiled)
	}
	return all
}

// compilePredicate follows Mesos: attributes that are not texts pass every text predicate,
// absent ones pass the negative ones.
func compilePredicate(p *scheduler.AttributeConstraint_Predicate) (func(text string, isText, present bool) bool, error) {
	switch {
	case p.GetExists() != nil:
		return func(_ string, _, present bool) bool { return present }, nil
	case p.GetNotExists() != nil:
		return func(_ string, _, present bool) bool { return !present }, nil
	case p.GetTextEquals() != nil:
		want := p.GetTextEquals().GetValue()
		return func(text string, isText, present bool) bool { return present && (!isText || text == want) }, nil
	case p.GetTextNotEquals() != nil:
		want := p.GetTextNotEquals().GetValue()
		return func(text string, isText, present bool) bool { return !present || !isText || text != want }, nil
	case p.GetTextMatches() != nil:
		re, err := compileRegex(p.GetTextMatches().GetRegex())
		return func(text string, isText, present bool) bool { return present && (!isText || re.MatchString(text)) }, err
	case p.GetTextNotMatches() != nil:
		re, err := compileRegex(p.GetTextNotMatches().GetRegex())
		return func(text string, isText, present bool) bool { return !present || !isText || !re.MatchString(text) }, err
	}
	return nil, fmt.Errorf("Unknown predicate type")
}

// compileRegex bounds size and program of an expression that must match the whole text.
func compileRegex(text string) (*regexp.Regexp, error) {
	if len(text) > maxRegexBytes {
		return nil, fmt.Errorf("regex is longer than %d bytes", maxRegexBytes)
	}
	parsed, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, fmt.Errorf("Failed to construct regex from pattern '%s': %w", text, err)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return nil, fmt.Errorf("Failed to construct regex from pattern '%s': %w", text, err)
	}
	if len(program.Inst) > maxRegexProgram {
		return nil, fmt.Errorf("Regex '%s' is too large: its program has %d steps, at most %d are allowed", text, len(program.Inst), maxRegexProgram)
	}
	return regexp.Compile(`^(?:` + text + `)$`)
}

// admit says whether an agent satisfies one of the groups.
func (c *constraints) admit(info *mesos.AgentInfo) bool {
	if c == nil {
		return true
	}
	for _, group := range c.groups {
		if firstUnmet(group, info) < 0 {
			return true
		}
	}
	return false
}

// firstUnmet is the place of the first constraint that an agent does not satisfy, or -1.
func firstUnmet(group []constraint, info *mesos.AgentInfo) int {
	return slices.IndexFunc(group, func(one constraint) bool { return !one.admits(info) })
}

// unmet are, of each group, the first constraint that an agent does not satisfy.
func (c *constraints) unmet(info *mesos.AgentInfo) (list []*scheduler.AttributeConstraint) {
	for _, group := range c.groups {
		if i := firstUnmet(group, info); i >= 0 {
			list = append(list, group[i].said)
		}
	}
	return list
}

// selectAttribute finds what a selector names: a pseudo attribute or the first attribute of a name.
func selectAttribute(s *scheduler.AttributeConstraint_Selector, info *mesos.AgentInfo) (text string, isText, present bool) {
	switch s.GetPseudoattributeType() {
	case scheduler.AttributeConstraint_Selector_HOSTNAME:
		return info.GetHostname(), true, true
	case scheduler.AttributeConstraint_Selector_REGION:
		region := info.GetDomain().GetFaultDomain().GetRegion()
		return region.GetName(), true, region != nil
	case scheduler.AttributeConstraint_Selector_ZONE:
		zone := info.GetDomain().GetFaultDomain().GetZone()
		return zone.GetName(), true, zone != nil
	}
	for _, attribute := range info.GetAttributes() {
		if attribute.GetName() == s.GetAttributeName() {
			return attribute.GetText().GetValue(), attribute.GetType() == mesos.Value_TEXT, true
		}
	}
	return "", false, false
}
