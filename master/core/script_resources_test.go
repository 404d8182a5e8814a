package core

import (
	"strconv"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// parseResources reads "cpus:1;mem:32;ports:[1-2]"; "cpus~:1" is revocable.
func parseResources(text, role string) []*mesos.Resource {
	var list []*mesos.Resource
	for part := range strings.SplitSeq(text, ";") {
		name, value, _ := strings.Cut(part, ":")
		r := &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum()}
		if plain, reserved, ok := strings.Cut(strings.TrimSuffix(name, ")"), "("); ok { // a static reservation
			name = plain
			r.Reservations = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: &reserved}}
		}
		if plain, ok := strings.CutSuffix(name, "~"); ok {
			name, r.Revocable = plain, &mesos.Resource_RevocableInfo{}
		}
		if inner, found := strings.CutPrefix(value, "["); found {
			from, to, _ := strings.Cut(strings.TrimSuffix(inner, "]"), "-")
			begin, _ := strconv.ParseUint(from, 10, 64)
			end, _ := strconv.ParseUint(to, 10, 64)
			r.Type = mesos.Value_RANGES.Enum()
			r.Ranges = &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: &begin, End: &end}}}
		} else {
			v, _ := strconv.ParseFloat(value, 64)
			r.Scalar = &mesos.Value_Scalar{Value: &v}
		}
		list = append(list, r)
	}
	if role != "" {
		inject(list, role)
	}
	return list
}
