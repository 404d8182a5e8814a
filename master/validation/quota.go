package validation

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/resources"
)

// Bounds of quota: 1 exabyte for amounts in MiB, 1 trillion for all else.
const (
	maxQuotaMiB   = 1 << 40
	maxQuotaOther = 1_000_000_000_000
)

// QuotaConfig checks one entry of UPDATE_QUOTA by itself.
func QuotaConfig(config *quota.QuotaConfig) error {
	if err := Role(config.GetRole()); err != nil {
		return prefix("Invalid 'QuotaConfig.role': ", err)
	}
	for _, list := range []struct {
		field, word string
		amounts     map[string]*mesos.Value_Scalar
	}{{"guarantees", "guarantee", config.GetGuarantees()}, {"limits", "limit", config.GetLimits()}} {
		for _, name := range slices.Sorted(maps.Keys(list.amounts)) {
			v := list.amounts[name].GetValue()
			entry := "{'" + name + "': " + scalarText(v) + "}"
			if err := quotaTooLarge(name, v); err != nil {
				return prefix("Invalid 'QuotaConfig."+list.field+"': "+entry, err)
			}
			if err := quotaScalar(v); err != nil {
				return prefix("Invalid "+list.word+" configuration "+entry+": ", err)
			}
		}
	}
	limits := config.GetLimits()
	for name, guarantee := range config.GetGuarantees() {
		if limit, ok := limits[name]; ok && guarantee.GetValue() > limit.GetValue() {
			return invalid("'QuotaConfig.guarantees' " + scalarMap(config.GetGuarantees()) +
				" is not contained within the 'QuotaConfig.limits' " + scalarMap(limits))
		}
	}
	return nil
}

func quotaTooLarge(name string, v float64) error {
	switch {
	case name == "mem" || name == "disk":
		if v > maxQuotaMiB {
			return invalidf(" is invalid: values greater than 1 exabyte (%d) are not supported", int64(maxQuotaMiB))
		}
	case v > maxQuotaOther:
		return invalidf(" is invalid: values greater than 1 trillion (%d) are not supported", int64(maxQuotaOther))
	}
	return nil
}

func quotaScalar(v float64) error {
	switch {
	case math.IsNaN(v):
		return invalid("NaN not supported")
	case math.IsInf(v, 0):
		return invalid("Infinite values not supported")
	case v != 0 && math.Abs(v) < 0x1p-1022:
		return invalid("Subnormal values not supported")
	case v < 0:
		return invalid("Negative values not supported")
	}
	return nil
}

// QuotaRequest checks a call SET_QUOTA, or a POST to /quota, by itself.
func QuotaRequest(request *quota.QuotaRequest) error {
	if err := Resources(request.GetGuarantee()); err != nil {
		return prefix("QuotaInfo with invalid resource: ", err)
	}
	if err := Role(request.GetRole()); err != nil {
		return prefix("QuotaInfo with invalid role: ", err)
	}
	if len(request.GetGuarantee()) == 0 {
		return invalid("QuotaInfo with empty 'guarantee'")
	}
	names := map[string]bool{}
	for _, r := range request.GetGuarantee() {
		switch {
		case len(r.GetReservations()) > 0 || r.Reservation != nil || r.GetRole() != "" && r.GetRole() != "*":
			return invalid("QuotaInfo must not contain any ReservationInfo")
		case r.Disk != nil:
			return invalid("QuotaInfo must not contain DiskInfo")
		case r.Revocable != nil:
			return invalid("QuotaInfo must not contain RevocableInfo")
		case r.GetType() != mesos.Value_SCALAR:
			return invalid("QuotaInfo must not include non-scalar resources")
		case names[r.GetName()]:
			return invalid("QuotaInfo contains duplicate resource name '" + r.GetName() + "'")
		}
		names[r.GetName()] = true
	}
	return nil
}

// QuotaTree checks that the guarantees of each role contain the sum of those one level below.
func QuotaTree(quotas map[string]*quota.QuotaConfig) error {
	below := map[string]resources.Quantities{} // by parent
	for role, config := range quotas {
		if cut := strings.LastIndexByte(role, '/'); cut >= 0 && len(config.GetGuarantees()) > 0 {
			below[role[:cut]] = below[role[:cut]].Add(guaranteesOf(config))
		}
	}
	for _, parent := range slices.Sorted(maps.Keys(below)) {
		if own := guaranteesOf(quotas[parent]); !own.Contains(below[parent]) {
			return invalid("Invalid quota configuration. Parent role '" + parent +
				"' with guarantees (" + own.String() + ") does not contain the sum of its children's guarantees (" + below[parent].String() + ")")
		}
	}
	return nil
}

// TotalGuarantees sums what the roles of the top level are promised; it contains what the roles
// below them are.
func TotalGuarantees(quotas map[string]*quota.QuotaConfig) (sum resources.Quantities) {
	for role, config := range quotas {
		if !strings.Contains(role, "/") {
			sum = sum.Add(guaranteesOf(config))
		}
	}
	return sum
}

// guaranteesOf reads amounts that QuotaConfig has checked.
func guaranteesOf(config *quota.QuotaConfig) resources.Quantities {
	q, _ := resources.QuantitiesFromProto(config.GetGuarantees())
	return q
}

// Weight checks one entry of UPDATE_WEIGHTS. An empty whitelist allows every role.
func Weight(info *mesos.WeightInfo, whitelist []string) error {
	role, weight := strings.TrimSpace(info.GetRole()), info.GetWeight()
	if err := Role(role); err != nil {
		return prefix("Failed to validate update weights request JSON: Invalid role '"+role+"': ", err)
	}
	if !Whitelisted(role, whitelist) {
		return invalid("Failed to validate update weights request JSON: Unknown role '" + role + "'")
	}
	if !(weight > 0) || math.IsInf(weight, 0) {
		return invalid("Failed to validate update weights request JSON for role '" + role + "': Invalid weight '" +
			fmt.Sprintf("%.6g", weight) + "': Weights must be positive")
	}
	return nil
}

// Whitelisted says whether the master's --roles allow a role; none given allow all.
func Whitelisted(role string, whitelist []string) bool {
	return len(whitelist) == 0 || role == "*" || slices.Contains(whitelist, role)
}

// scalarText prints a number as Mesos prints a scalar.
func scalarText(v float64) string { return fmt.Sprintf("%.15g", v) }

// scalarMap prints amounts as Mesos prints a map: { cpus: 2, mem: 64 }
func scalarMap(amounts map[string]*mesos.Value_Scalar) string {
	if len(amounts) == 0 {
		return "{}"
	}
	parts := make([]string, 0, len(amounts))
	for _, name := range slices.Sorted(maps.Keys(amounts)) {
		parts = append(parts, name+": "+scalarText(amounts[name].GetValue()))
	}
	return "{ " + strings.Join(parts, ", ") + " }"
}
