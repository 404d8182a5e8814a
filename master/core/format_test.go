package core

import (
	"testing"

	"agora.dev/agora/api/mesos/v1"
)

func TestOldFrameworksReadAndWriteTheOldFormat(t *testing.T) {
	reserved := parseResources("cpus:1", "web")
	reserved[0].Reservations = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: ptr("web"),
		Principal: ptr("p")}}
	static := parseResources("mem:32", "web")
	static[0].Reservations = []*mesos.Resource_ReservationInfo{{Type: mesos.Resource_ReservationInfo_STATIC.Enum(), Role: ptr("web")}}
	sum := amountsOf(append(append(reserved, static...), parseResources("disk:5", "web")...))
	old := &framework{rec: Framework{Info: &mesos.FrameworkInfo{}}}
	shown := old.format(sum.protos())
	for i, want := range []string{"web", "web", "*"} {
		if r := shown[i]; r.GetRole() != want || len(r.Reservations) != 0 || (r.Reservation != nil) != (i == 0) {
			t.Errorf("%s is shown with role %s, reservation %v, reservations %v", r.GetName(), r.GetRole(), r.Reservation, r.Reservations)
		}
	}
	if back := amountsOf(shown); !back.equal(sum) {
		t.Errorf("read back: %s, want %s", back, sum)
	}
	inject(shown, "web")
	if back := amountsOf(shown); !back.equal(sum) || shown[0].Role != nil || shown[0].Reservation != nil {
		t.Errorf("turned back: %s, want %s", back, sum)
	}
}

func TestOffersToFrameworksWithOneRoleHaveNoAllocationInfo(t *testing.T) {
	info := &mesos.Offer{Resources: parseResources("cpus:1", "*"), AllocationInfo: &mesos.Resource_AllocationInfo{Role: ptr("*")}}
	many := &framework{rec: Framework{Info: &mesos.FrameworkInfo{Capabilities: []*mesos.FrameworkInfo_Capability{
		{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}}}
	if shown := many.shownOffer(info); shown.AllocationInfo == nil || shown.Resources[0].AllocationInfo == nil {
		t.Errorf("with MULTI_ROLE: %v", shown)
	}
	one := &framework{rec: Framework{Info: &mesos.FrameworkInfo{}}}
	shown := one.shownOffer(info)
	if shown.AllocationInfo != nil || shown.Resources[0].AllocationInfo != nil {
		t.Errorf("without MULTI_ROLE: %v", shown)
	}
	if info.AllocationInfo == nil || info.Resources[0].AllocationInfo == nil {
		t.Error("the master's own record has changed")
	}
}
