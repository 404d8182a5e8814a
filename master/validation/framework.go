package validation

import (
	"maps"
	"math"
	"slices"
	"strconv"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
)

// maxSeconds is what a duration of 64 bits of nanoseconds can hold.
const maxSeconds = float64(math.MaxInt64) / 1e9

// HasCapability says whether the framework declared the capability.
func HasCapability(info *mesos.FrameworkInfo, want mesos.FrameworkInfo_Capability_Type) bool {
	for _, c := range info.GetCapabilities() {
		if c.GetType() == want {
			return true
		}
	}
	return false
}

// Roles gives the roles of a framework, sorted.
func Roles(info *mesos.FrameworkInfo) []string {
	if HasCapability(info, mesos.FrameworkInfo_Capability_MULTI_ROLE) {
		roles := slices.Clone(info.GetRoles())
		slices.Sort(roles)
		return roles
	}
	return []string{info.GetRole()}
}

// Framework checks a FrameworkInfo by itself.
func Framework(info *mesos.FrameworkInfo) error {
	if info == nil {
		return expecting("framework_info")
	}
	if err := frameworkRoles(info); err != nil {
		return err
	}
	if id := info.GetId().GetValue(); id != "" {
		if err := ID(id); err != nil {
			return err
		}
	}
	for _, role := range slices.Sorted(maps.Keys(info.GetOfferFilters())) {
		if err := offerFilters(info.GetOfferFilters()[role]); err != nil {
			return err
		}
	}
	if t := info.GetFailoverTimeout(); math.IsNaN(t) || math.Abs(t) > maxSeconds {
		return invalidf("The framework failover_timeout (%s) is invalid", strconv.FormatFloat(t, 'g', 6, 64))
	}
	return nil
}

func frameworkRoles(info *mesos.FrameworkInfo) error {
	if !HasCapability(info, mesos.FrameworkInfo_Capability_MULTI_ROLE) {
		if len(info.GetRoles()) > 0 {
			return invalid("'FrameworkInfo.roles' must not be set when the framework is not MULTI_ROLE capable")
		}
		return prefix("'FrameworkInfo.role' is not a valid role: ", Role(info.GetRole()))
	}
	if info.Role != nil {
		return invalid("'FrameworkInfo.role' must not be set when the framework is MULTI_ROLE capable")
	}
	seen, duplicates := map[string]bool{}, map[string]bool{}
	for _, role := range info.GetRoles() {
		if seen[role] {
			duplicates[role] = true
		}
		seen[role] = true
	}
	if len(duplicates) > 0 {
		return invalid("'FrameworkInfo.roles' contains duplicate items: " + set(duplicates))
	}
	for _, role := range info.GetRoles() {
		if err := Role(role); err != nil {
			return prefix("'FrameworkInfo.roles' contains invalid role: ", err)
		}
	}
	return nil
}

func offerFilters(filters *mesos.OfferFilters) error {
	if filters.GetMinAllocatableResources() == nil {
		return nil
	}
	for _, entry := range filters.GetMinAllocatableResources().GetQuantities() {
		if len(entry.GetQuantities()) == 0 {
			return invalid("Resource quantities must contain at least one quantity")
		}
		for _, name := range slices.Sorted(maps.Keys(entry.GetQuantities())) {
			if v := entry.GetQuantities()[name].GetValue(); math.IsNaN(v) || math.IsInf(v, 0) || v < 0 {
				return invalidf("Invalid resource quantity for '%s': values must be finite and not negative", name)
			}
		}
	}
	return nil
}

// FrameworkWhitelist checks the roles and the user against what the master allows. No roles
// allow every role.
func FrameworkWhitelist(info *mesos.FrameworkInfo, roles []string, refuseRoot bool) error {
	if len(roles) > 0 {
		missing := map[string]bool{}
		for _, role := range Roles(info) {
			if role != "*" && !slices.Contains(roles, role) {
				missing[role] = true
			}
		}
		if len(missing) > 0 {
			return invalid("Roles " + set(missing) + " are not present in the master's --roles")
		}
	}
	if refuseRoot && info.GetUser() == "root" {
		return invalid("User 'root' is not allowed to run frameworks without --root_submissions set")
	}
	return nil
}

// SuppressedRoles checks that suppressed roles are roles of the framework.
func SuppressedRoles(info *mesos.FrameworkInfo, suppressed []string) error {
	roles, foreign := Roles(info), map[string]bool{}
	for _, role := range suppressed {
		if !slices.Contains(roles, role) {
			foreign[role] = true
		}
	}
	if len(foreign) > 0 {
		return invalid("Suppressed roles " + set(foreign) + " are not contained in the set of roles")
	}
	return nil
}

// OfferConstraints checks that constraints concern roles of the framework, and that each
// group says something.
func OfferConstraints(info *mesos.FrameworkInfo, constraints *scheduler.OfferConstraints) error {
	roles := Roles(info)
	for _, role := range slices.Sorted(maps.Keys(constraints.GetRoleConstraints())) {
		if !slices.Contains(roles, role) {
			return invalid("Offer constraints specify `role_constraints` for a role '" + role +
				"'not contained in the set of roles")
		}
		groups := constraints.GetRoleConstraints()[role].GetGroups()
		if len(groups) == 0 {
			return invalid("Offer constraints are not valid: RoleConstraints for role '" + role + "' have no groups")
		}
		for _, group := range groups {
			if len(group.GetAttributeConstraints()) == 0 {
				return invalid("Offer constraints are not valid: A group for role '" + role + "' is empty")
			}
		}
	}
	return nil
}

// PrincipalChange refuses another principal for the same framework, without telling the old one.
func PrincipalChange(old, new *mesos.FrameworkInfo) error {
	if old.GetPrincipal() != new.GetPrincipal() {
		return invalid("Changing framework's principal is not allowed.")
	}
	return nil
}

// FrameworkUpdate checks the change that UPDATE_FRAMEWORK asks for.
func FrameworkUpdate(old, new *mesos.FrameworkInfo) error {
	if err := PrincipalChange(old, new); err != nil {
		return err
	}
	if old.GetUser() != new.GetUser() {
		return invalidf("Updating 'FrameworkInfo.user' is unsupported; attempted to update from '%s' to '%s'",
			old.GetUser(), new.GetUser())
	}
	if old.GetCheckpoint() != new.GetCheckpoint() {
		return invalidf("Updating 'FrameworkInfo.checkpoint' is unsupported; attempted to update from '%t' to '%t'",
			old.GetCheckpoint(), new.GetCheckpoint())
	}
	return nil
}
