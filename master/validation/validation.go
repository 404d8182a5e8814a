// Package validation decides whether a call, a framework, a task, an executor or an operation
// is well formed, and says what is wrong in the words of Mesos, which clients show to
// people and some compare.
//
// It owns those texts. It promises to look only at what it is given and to change nothing.
// It refuses everything that needs the state of the cluster, except through the small
// questions of Context.
package validation

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// MaxIDLength bounds the identifiers that frameworks choose; they become directory names.
const MaxIDLength = 255

// ID checks an identifier of a framework, task, executor, agent or volume.
func ID(id string) error {
	switch {
	case id == "":
		return invalid("ID must not be empty")
	case len(id) > MaxIDLength:
		return invalidf("ID must not be greater than %d characters", MaxIDLength)
	case id == "." || id == "..":
		return invalidf("'%s' is disallowed", id)
	}
	for i := range len(id) {
		if c := id[i]; c < 0x20 || c == 0x7f || c == '/' || c == '\\' {
			return invalidf("'%s' contains invalid characters", id)
		}
	}
	return nil
}

// Role checks the name of a role.
func Role(role string) error {
	switch {
	case role == "*":
		return nil
	case role == "":
		return invalid("Role names cannot be the empty string")
	case strings.HasPrefix(role, "/"):
		return invalidf("Role '%s' cannot start with a slash", role)
	case strings.HasSuffix(role, "/"):
		return invalidf("Role '%s' cannot end with a slash", role)
	case strings.Contains(role, "//"):
		return invalidf("Role '%s' cannot contain two adjacent slashes", role)
	}
	for component := range strings.SplitSeq(role, "/") {
		if err := roleComponent(component); err != nil {
			return err
		}
	}
	return nil
}

func roleComponent(component string) error {
	switch {
	case component == "." || component == ".." || component == "*":
		return invalidf("Role component '%s' is invalid", component)
	case component[0] == '-':
		return invalidf("Role component '%s' is invalid because it starts with a dash", component)
	case strings.ContainsAny(component, "\t\n\v\f\r \x7f"):
		return invalidf("Role component '%s' is invalid because it contains backspace or whitespace", component)
	}
	return nil
}

// set prints names as Mesos prints a set.
func set(names map[string]bool) string {
	if len(names) == 0 {
		return "{}"
	}
	return "{ " + strings.Join(slices.Sorted(maps.Keys(names)), ", ") + " }"
}

// Invalid says what is wrong, as Mesos says it to clients: a sentence, capital letter included.
type Invalid string

func (e Invalid) Error() string { return string(e) }

func invalid(text string) error { return Invalid(text) }

func invalidf(format string, args ...any) error { return Invalid(fmt.Sprintf(format, args...)) }

func prefix(text string, err error) error {
	if err == nil {
		return nil
	}
	return invalid(text + err.Error())
}
