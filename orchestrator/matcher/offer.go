// Package matcher decides whether an offer suits an app, takes what a task needs from it, and
// explains each refusal.
//
// It owns constraints, the choice of ports, and the order of reasons that Marathon has. It
// promises that what it takes was in the offer and is taken once. It refuses volumes, revocable
// and shared resources.
package matcher

import (
	"fmt"
	"math"
	"sort"
	"strings"

	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

// Offer is an offer of which parts may have been taken.
type Offer struct {
	ID, AgentID, Host string
	Fields            map[string]string // hostname, @hostname, @region, @zone, attributes
	scalars           []*scalar
	ports             []*portRange
}

type scalar struct {
	of    *mesos.Resource
	milli int64
}

type portRange struct {
	of         *mesos.Resource
	begin, end int
	taken      map[int]bool
}

// NewOffer reads an offer.
func NewOffer(from *mesos.Offer) *Offer {
	o := &Offer{ID: from.GetId().GetValue(), AgentID: from.GetAgentId().GetValue(), Host: from.GetHostname(),
		Fields: map[string]string{"hostname": from.GetHostname(), "@hostname": from.GetHostname()}}
	for _, attribute := range from.GetAttributes() {
		o.Fields[attribute.GetName()] = attributeText(attribute)
	}
	if fault := from.GetDomain().GetFaultDomain(); fault != nil {
		o.Fields["@region"], o.Fields["@zone"] = fault.GetRegion().GetName(), fault.GetZone().GetName()
	}
	for _, r := range from.GetResources() {
		if r.GetRevocable() != nil || r.GetShared() != nil || r.GetDisk() != nil {
			continue
		}
		if r.GetScalar() != nil {
			o.scalars = append(o.scalars, &scalar{of: r, milli: milli(r.GetScalar().GetValue())})
		}
		if r.GetName() == "ports" {
			for _, each := range r.GetRanges().GetRange() {
				o.ports = append(o.ports, &portRange{of: r, begin: int(each.GetBegin()), end: int(each.GetEnd()), taken: map[int]bool{}})
			}
		}
	}
	return o
}

func milli(value float64) int64 { return int64(math.Round(value * 1000)) }

func attributeText(a *mesos.Attribute) string {
	switch a.GetType() {
	case mesos.Value_SCALAR:
		text := fmt.Sprintf("%.3f", a.GetScalar().GetValue())
		return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
	case mesos.Value_RANGES:
		var parts []string
		for _, r := range a.GetRanges().GetRange() {
			parts = append(parts, fmt.Sprintf("%d-%d", r.GetBegin(), r.GetEnd()))
		}
		sort.Strings(parts)
		return "[" + strings.Join(parts, ",") + "]"
	case mesos.Value_SET:
		items := append([]string(nil), a.GetSet().GetItem()...)
		sort.Strings(items)
		return "{" + strings.Join(items, ",") + "}"
	}
	return a.GetText().GetValue()
}

// roleOf is the role a resource is reserved for, "*" when unreserved.
func roleOf(r *mesos.Resource) string {
	if stack := r.GetReservations(); len(stack) > 0 {
		return stack[len(stack)-1].GetRole()
	}
	if role := r.GetRole(); role != "" && r.GetReservation() == nil {
		return role
	}
	return "*"
}

// like copies what a part of a resource has in common with the whole.
func like(r *mesos.Resource) *mesos.Resource {
	part := proto.CloneOf(r)
	part.Scalar, part.Ranges, part.Set = nil, nil, nil
	return part
}
