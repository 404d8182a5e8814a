package auth

import (
	"slices"
	"strings"
)

// kind says whether an entity names values, or is all or none of them.
type kind uint8

const (
	someOf kind = iota
	anyOf
	noneOf
)

// entity is one side of a rule.
type entity struct {
	kind   kind
	values []string
}

// rule is one ACL: what its subjects may do to its objects.
type rule struct {
	subjects, objects entity
}

// ACLs are the rules of one file. They never change, so that any goroutine may ask. A nil *ACLs
// allows everything that an executor's credential does not forbid.
type ACLs struct {
	permissive bool
	rules      [actionCount][]rule
}

// Permissive are ACLs without rules.
func Permissive(allow bool) *ACLs { return &ACLs{permissive: allow} }

// Allows decides. The first rule that matches subject and object decides; without one, permissive.
// Mesos docs/authorization.md.
func (l *ACLs) Allows(p *Principal, action Action, object Object) bool {
	switch {
	case p != nil && p.Value == "":
		return ofExecutor(p, action, object)
	case action == None || l == nil:
		return true
	}
	for i := range l.rules[action] {
		r := &l.rules[action][i]
		if !r.subjects.matches(p.Name(), p != nil) {
			continue
		}
		objects := r.objects.under(action, object)
		if objects.matches(object.value, object.some) {
			return r.subjects.allows(p.Name(), p != nil) && objects.allows(object.value, object.some)
		}
	}
	return l.permissive
}

// AllowsAll says that no object is refused to p, so that nothing has to be filtered.
func (l *ACLs) AllowsAll(p *Principal, action Action) bool {
	switch {
	case p != nil && p.Value == "":
		return false
	case action == None || l == nil:
		return true
	}
	for i := range l.rules[action] {
		r := &l.rules[action][i]
		if !r.subjects.matches(p.Name(), p != nil) {
			continue
		}
		switch {
		case !r.subjects.allows(p.Name(), p != nil), r.objects.kind == noneOf:
			return false
		case r.objects.kind == anyOf:
			return true
		}
	}
	return l.permissive
}

// matches says whether a rule is about a value, or about all values. NONE is about each: that is
// how a rule refuses.
func (e *entity) matches(value string, some bool) bool {
	if e.kind != someOf {
		return true
	}
	return some && slices.Contains(e.values, value)
}

// allows is asked of a rule that matches.
func (e *entity) allows(value string, some bool) bool {
	switch e.kind {
	case anyOf:
		return true
	case noneOf:
		return false
	}
	return some && slices.Contains(e.values, value)
}

// below ends a role that stands for every role below it, itself not included.
const below = "/%"

// under resolves "a/%" for one role: the entity then names the role itself.
func (e *entity) under(action Action, object Object) *entity {
	if !specs[action].roles || e.kind != someOf || !object.some {
		return e
	}
	for _, value := range e.values {
		if above, ok := strings.CutSuffix(value, below); ok && strings.HasPrefix(object.value, above+"/") {
			return &entity{kind: someOf, values: []string{object.value}}
		}
	}
	return e
}
