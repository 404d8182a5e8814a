package validation

import (
	"fmt"
	"strconv"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// Describe prints a resource as Mesos prints it, such as
// cpus(allocated: web)(reservations: [(DYNAMIC,web)]):0.5
func Describe(r *mesos.Resource) string {
	var b strings.Builder
	b.WriteString(r.GetName())
	if r.AllocationInfo != nil {
		b.WriteString("(allocated: " + r.GetAllocationInfo().GetRole() + ")")
	}
	if len(r.Reservations) > 0 {
		stack := make([]string, len(r.Reservations))
		for i, v := range r.Reservations {
			stack[i] = describeReservation(v)
		}
		b.WriteString("(reservations: [" + strings.Join(stack, ",") + "])")
	}
	if r.Disk != nil {
		b.WriteString("[" + describeDisk(r.Disk) + "]")
	}
	if r.Revocable != nil {
		b.WriteString("{REV}")
	}
	if r.Shared != nil {
		b.WriteString("<SHARED>")
	}
	b.WriteString(":" + describeValue(r))
	return b.String()
}

func describeValue(r *mesos.Resource) string {
	switch r.GetType() {
	case mesos.Value_RANGES:
		var parts []string
		for _, s := range r.GetRanges().GetRange() {
			parts = append(parts, fmt.Sprintf("%d-%d", s.GetBegin(), s.GetEnd()))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case mesos.Value_SET:
		return "{" + strings.Join(r.GetSet().GetItem(), ", ") + "}"
	}
	return number(r.GetScalar().GetValue())
}

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

func describeReservation(v *mesos.Resource_ReservationInfo) string {
	parts := []string{v.GetType().String(), v.GetRole()}
	if v.Principal != nil {
		parts = append(parts, v.GetPrincipal())
	}
	if labels := v.GetLabels().GetLabels(); len(labels) > 0 {
		pairs := make([]string, len(labels))
		for i, l := range labels {
			pairs[i] = l.GetKey() + ": " + l.GetValue()
		}
		parts = append(parts, "{"+strings.Join(pairs, ", ")+"}")
	}
	return "(" + strings.Join(parts, ",") + ")"
}

func describeDisk(d *mesos.Resource_DiskInfo) string {
	text := ""
	if s := d.Source; s != nil {
		text = s.GetType().String()
		if root := s.GetPath().GetRoot() + s.GetMount().GetRoot(); root != "" {
			text += ":" + root
		}
		if d.Persistence != nil {
			text += ","
		}
	}
	if d.Persistence != nil {
		text += d.GetPersistence().GetId()
		if d.Volume != nil {
			text += ":" + d.GetVolume().GetContainerPath()
		}
	}
	return text
}
