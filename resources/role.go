package resources

import (
	"fmt"
	"strings"
)

// CheckRole says what is wrong with a role's name, in Mesos's words.
func CheckRole(role string) error {
	switch {
	case role == "*":
		return nil
	case role == "":
		return fmt.Errorf("Empty role name is invalid")
	case strings.HasPrefix(role, "/"):
		return fmt.Errorf("Role '%s' cannot start with a slash", role)
	case strings.HasSuffix(role, "/"):
		return fmt.Errorf("Role '%s' cannot end with a slash", role)
	case strings.Contains(role, "//"):
		return fmt.Errorf("Role '%s' cannot contain two adjacent slashes", role)
	}
	for component := range strings.SplitSeq(role, "/") {
		switch {
		case component == "." || component == "..":
			return fmt.Errorf("Role '%s' cannot include '%s' as a component", role, component)
		case component == "*":
			return fmt.Errorf("Role '%s' cannot include '*' as a component", role)
		case strings.HasPrefix(component, "-"):
			return fmt.Errorf("Role '%s' cannot begin a component with '-'", role)
		case strings.ContainsAny(component, " \t\n\v\f\r\b\x00\x7f"):
			return fmt.Errorf("Role '%s' cannot contain whitespace or backspace", role)
		}
	}
	return nil
}

// IsAncestorRole says whether role lies strictly below ancestor.
func IsAncestorRole(ancestor, role string) bool {
	return len(role) > len(ancestor) && role[len(ancestor)] == '/' && strings.HasPrefix(role, ancestor)
}
