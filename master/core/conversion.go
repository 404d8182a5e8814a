package core

import (
	"math"
	"slices"

	"agora.dev/agora/api/mesos/v1"
)

// conversion turns resources of one kind into the same quantity of another.
type conversion struct {
	from, to amounts
}

// conversionOf says what an operation does to the resources of an agent.
func conversionOf(op *mesos.Offer_Operation) conversion {
	switch op.GetType() {
	case mesos.Offer_Operation_RESERVE:
		if source := op.GetReserve().GetSource(); len(source) > 0 {
			return conversion{amountsOf(source), amountsOf(op.GetReserve().GetResources())}
		}
		return conversion{eachOf(op.GetReserve().GetResources(), unreserved), amountsOf(op.GetReserve().GetResources())}
	case mesos.Offer_Operation_UNRESERVE:
		return conversion{amountsOf(op.GetUnreserve().GetResources()), eachOf(op.GetUnreserve().GetResources(), unreserved)}
	case mesos.Offer_Operation_CREATE:
		return conversion{eachOf(op.GetCreate().GetVolumes(), plainDisk), amountsOf(op.GetCreate().GetVolumes())}
	case mesos.Offer_Operation_DESTROY:
		return conversion{amountsOf(op.GetDestroy().GetVolumes()), eachOf(op.GetDestroy().GetVolumes(), plainDisk)}
	case mesos.Offer_Operation_GROW_VOLUME:
		volume, addition := amountOf(op.GetGrowVolume().GetVolume()), amountOf(op.GetGrowVolume().GetAddition())
		grown := volume
		grown.milli += addition.milli
		return conversion{amounts{volume}.put(addition, 1), amounts{grown}}
	case mesos.Offer_Operation_SHRINK_VOLUME:
		return shrinkOf(op.GetShrinkVolume())
	}
	return conversion{}
}

func shrinkOf(op *mesos.Offer_Operation_ShrinkVolume) conversion {
	volume := amountOf(op.GetVolume())
	shrunk, freed := volume, eachOf([]*mesos.Resource{op.GetVolume()}, plainDisk)
	by := int64(math.Round(op.GetSubtract().GetValue() * 1000))
	shrunk.milli -= by
	for i := range freed {
		freed[i].milli = by
	}
	return conversion{amounts{volume}, append(freed, shrunk)}
}

// whole says whether a disk can be had only as a whole: a volume, a mount, a block device, or
// raw storage with an identity.
func (a amount) whole() bool {
	source := a.kind.GetDisk().GetSource()
	switch {
	case a.kind.GetDisk() == nil:
		return false
	case a.kind.GetDisk().GetPersistence() != nil:
		return true
	case source.GetType() == mesos.Resource_DiskInfo_Source_RAW:
		return source.GetId() != ""
	}
	return source.GetType() == mesos.Resource_DiskInfo_Source_MOUNT || source.GetType() == mesos.Resource_DiskInfo_Source_BLOCK
}

// once counts each shared volume once: as an agent has it.
func (s amounts) once() amounts {
	out := slices.Clone(s)
	for i := range out {
		out[i].copies = min(out[i].copies, 1)
	}
	return out
}

// beyondOne is all copies but one that s has of shared volumes.
func (s amounts) beyondOne(volumes amounts) amounts {
	var extra amounts
	for _, v := range volumes {
		if i := s.find(v.key); i >= 0 && s[i].copies > 1 {
			a := s[i]
			a.copies--
			extra = append(extra, a)
		}
	}
	return extra
}

// onlyShared is the shared volumes of s.
func (s amounts) onlyShared() amounts {
	var part amounts
	for _, a := range s {
		if a.shared() {
			part = append(part, a)
		}
	}
	return part
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
