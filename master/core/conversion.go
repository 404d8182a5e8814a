package core

import (
	"slices"

	"agora.dev/agora/api/mesos/v1"
)

// conversion turns resources of one kind into the same quantity of another.
type conversion struct {
	from, to amounts
}

// conversionOf says what RESERVE, UNRESERVE, CREATE and DESTROY do.
func conversionOf(op *mesos.Offer_Operation) conversion {
	switch op.GetType() {
	case mesos.Offer_Operation_RESERVE:
		return conversion{eachOf(op.GetReserve().GetResources(), unreserved), amountsOf(op.GetReserve().GetResources())}
	case mesos.Offer_Operation_UNRESERVE:
		return conversion{amountsOf(op.GetUnreserve().GetResources()), eachOf(op.GetUnreserve().GetResources(), unreserved)}
	case mesos.Offer_Operation_CREATE:
		return conversion{eachOf(op.GetCreate().GetVolumes(), plainDisk), amountsOf(op.GetCreate().GetVolumes())}
	case mesos.Offer_Operation_DESTROY:
		return conversion{amountsOf(op.GetDestroy().GetVolumes()), eachOf(op.GetDestroy().GetVolumes(), plainDisk)}
	}
	return conversion{}
}

func eachOf(resources []*mesos.Resource, change func(*mesos.Resource)) amounts {
	var sum amounts
	for _, r := range amountsOf(resources).protos() {
		change(r)
		sum = sum.put(amountOf(r), 1)
	}
	return sum
}

// unreserved pops the innermost reservation.
func unreserved(r *mesos.Resource) {
	if n := len(r.Reservations); n > 0 {
		r.Reservations = slices.Clone(r.Reservations[:n-1])
	}
}

// plainDisk takes the volume away and leaves the disk it is on.
func plainDisk(r *mesos.Resource) {
	r.Shared = nil
	if r.Disk == nil {
		return
	}
	if r.Disk.Source == nil {
		r.Disk = nil
		return
	}
	r.Disk = &mesos.Resource_DiskInfo{Source: r.Disk.Source}
}

// apply carries a conversion out; the caller has checked that from is there.
func (v conversion) apply(s amounts) amounts { return s.minus(v.from).plus(v.to) }

// allocated is the same conversion for resources allocated to role, or to nobody.
func (v conversion) allocated(role string) conversion {
	return conversion{v.from.allocated(role), v.to.allocated(role)}
}

// agentTotal is what an agent has: what it was started with, less what its reservations and
// volumes on disk are made of, plus these.
func agentTotal(configured, checkpointed []*mesos.Resource) amounts {
	total := amountsOf(configured)
	for _, r := range checkpointed {
		made := amountsOf([]*mesos.Resource{r})
		if total.contains(made) && len(upgraded(r).GetReservations()) == 0 {
			continue
		}
		base := eachOf([]*mesos.Resource{r}, func(r *mesos.Resource) {
			plainDisk(r)
			for len(r.Reservations) > 0 && last(r.Reservations).GetType() == mesos.Resource_ReservationInfo_DYNAMIC {
				unreserved(r)
			}
		})
		if total.contains(base) {
			total = total.minus(base).plus(made)
		}
	}
	return total
}

func last[T any](s []T) T { return s[len(s)-1] }
