package resources

import (
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// String prints like Mesos: cpus:4; mem(reservations: [(STATIC,web)]):1024.
func (r Resources) String() string {
	if len(r.items) == 0 {
		return "{}"
	}
	var b strings.Builder
	for i := range r.items {
		if i > 0 {
			b.WriteString("; ")
		}
		r.items[i].print(&b)
	}
	return b.String()
}

func (i *item) print(b *strings.Builder) {
	b.WriteString(i.name)
	if i.role != "" {
		b.WriteString("(allocated: " + i.role + ")")
	}
	if t := i.traits; t != nil {
		printReservations(b, t.reservations)
		printDisk(b, t.disk)
		if t.revocable {
			b.WriteString("{REV}")
		}
		if t.shared {
			b.WriteString("<SHARED>")
		}
	}
	b.WriteByte(':')
	switch i.kind {
	case scalarKind:
		b.WriteString(formatMilli(i.milli))
	case rangesKind:
		b.WriteString(i.ranges.String())
	case setKind:
		b.WriteString(formatSet(i.set))
	}
	if i.shared > 1 {
		b.WriteString("<" + formatMilli(int64(i.shared)*1000) + ">")
	}
}

func printReservations(b *strings.Builder, stack []*mesos.Resource_ReservationInfo) {
	if len(stack) == 0 {
		return
	}
	b.WriteString("(reservations: [")
	for n, r := range stack {
		if n > 0 {
			b.WriteByte(',')
		}
		b.WriteString("(" + r.GetType().String() + "," + r.GetRole())
		if r.Principal != nil {
			b.WriteString("," + r.GetPrincipal())
		}
		if r.Labels != nil {
			b.WriteString(",{")
			for m, l := range r.GetLabels().GetLabels() {
				if m > 0 {
					b.WriteString(", ")
				}
				b.WriteString(l.GetKey())
				if l.Value != nil {
					b.WriteString(": " + l.GetValue())
				}
			}
			b.WriteByte('}')
		}
		b.WriteByte(')')
	}
	b.WriteString("])")
}

func printDisk(b *strings.Builder, d *mesos.Resource_DiskInfo) {
	if d == nil {
		return
	}
	b.WriteByte('[')
	if s := d.GetSource(); s != nil {
		b.WriteString(s.GetType().String())
		b.WriteString("(" + s.GetId() + "," + s.GetProfile() + ")")
		if root := s.GetPath().GetRoot() + s.GetMount().GetRoot(); root != "" {
			b.WriteString(":" + root)
		}
	}
	if p := d.GetPersistence(); p != nil {
		if d.Source != nil {
			b.WriteByte(',')
		}
		b.WriteString(p.GetId())
	}
	if v := d.GetVolume(); v != nil {
		b.WriteByte(':')
		b.WriteString(v.GetContainerPath())
	}
	b.WriteByte(']')
}

func formatSet(set []string) string { return "{" + strings.Join(set, ", ") + "}" }
