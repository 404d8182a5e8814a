package matcher

import (
	"reflect"
	"testing"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"google.golang.org/protobuf/proto"
)

func offerOf(cpus, mem float64, first, last uint64) *Offer {
	scalar := func(name string, value float64) *mesos.Resource {
		return &mesos.Resource{Name: proto.String(name), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
	}
	return NewOffer(&mesos.Offer{Hostname: proto.String("h1"), Attributes: []*mesos.Attribute{
		{Name: proto.String("rack"), Type: mesos.Value_TEXT.Enum(), Text: &mesos.Value_Text{Value: proto.String("r1")}}},
		Resources: []*mesos.Resource{scalar("cpus", cpus), scalar("mem", mem), {Name: proto.String("ports"), Type: mesos.Value_RANGES.Enum(),
			Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: &first, End: &last}}}}}})
}

func TestAnOfferIsSpentExactly(t *testing.T) {
	app := &marathon.App{CPUs: 0.1, Mem: 10, PortDefinitions: []marathon.PortDefinition{{}, {}}}
	offer := offerOf(0.3, 100, 31000, 31009)
	used := map[int]bool{}
	for n := range 3 {
		match, refusals := Take(app, "*", offer, nil, 31008)
		if match == nil {
			t.Fatalf("match %d refused: %v", n, refusals)
		}
		for _, port := range match.Ports {
			if used[port] {
				t.Fatalf("port %d given twice", port)
			}
			used[port] = true
		}
	}
	_, refusals := Take(app, "*", offer, nil, 1)
	if len(refusals) != 1 || refusals[0] != (Refusal{InsufficientCpus, "wants 0.1 cpus, offered 0"}) {
		t.Fatalf("fourth: %v", refusals)
	}
}

func TestARequiredPortIsThatPortOrNone(t *testing.T) {
	app := &marathon.App{RequirePorts: true, PortDefinitions: []marathon.PortDefinition{{Port: 31005}}}
	offer := offerOf(1, 1, 31000, 31009)
	if match, why := Take(app, "*", offer, nil, 1); match == nil || match.Ports[0] != 31005 {
		t.Fatalf("got %v %v", match, why)
	}
	if _, why := Take(app, "*", offer, nil, 1); len(why) != 1 || why[0].Reason != InsufficientPorts {
		t.Fatalf("again: %v", why)
	}
}

func TestConstraints(t *testing.T) {
	at := func(racks ...string) (placed []Placed) {
		for _, rack := range racks {
			placed = append(placed, Placed{Fields: map[string]string{"rack": rack}})
		}
		return placed
	}
	for _, c := range []struct {
		constraint []string
		placed     []Placed
		holds      bool
	}{
		{[]string{"rack", "UNIQUE"}, at("r2"), true},
		{[]string{"rack", "UNIQUE"}, at("r1"), false},
		{[]string{"rack", "CLUSTER"}, at(), true},
		{[]string{"rack", "CLUSTER"}, at("r2"), false},
		{[]string{"rack", "CLUSTER", "r1"}, at(), true},
		{[]string{"rack", "CLUSTER", "r2"}, at(), false},
		{[]string{"rack", "LIKE", "r[12]"}, nil, true},
		{[]string{"rack", "LIKE", "r"}, nil, false},
		{[]string{"rack", "UNLIKE", "r2"}, nil, true},
		{[]string{"none", "UNLIKE", "r2"}, nil, true},
		{[]string{"none", "LIKE", ".*"}, nil, false},
		{[]string{"rack", "MAX_PER", "2"}, at("r1"), true},
		{[]string{"rack", "MAX_PER", "2"}, at("r1", "r1"), false},
		{[]string{"rack", "GROUP_BY"}, at("r2"), true},
		{[]string{"rack", "GROUP_BY"}, at("r1", "r2"), true},
		{[]string{"rack", "GROUP_BY"}, at("r1", "r1", "r2"), false},
		{[]string{"rack", "GROUP_BY", "2"}, at("r1"), false},
		{[]string{"rack", "GROUP_BY", "2"}, at("r2", "r3"), false},
		{[]string{"rack", "IS", "r1"}, nil, true},
	} {
		app := &marathon.App{Constraints: [][]string{c.constraint}}
		match, why := Take(app, "*", offerOf(1, 1, 1, 1), c.placed, 1)
		if (match != nil) != c.holds {
			t.Errorf("%v with %v: %v, want %v", c.constraint, c.placed, why, c.holds)
		}
	}
}

func TestReservedResourcesGoFirstAndKeepTheirReservation(t *testing.T) {
	reserved := &mesos.Resource{Name: proto.String("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(1)},
		Reservations: []*mesos.Resource_ReservationInfo{{Role: proto.String("web"), Type: mesos.Resource_ReservationInfo_STATIC.Enum()}}}
	free := &mesos.Resource{Name: proto.String("cpus"), Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: proto.Float64(1)}}
	offer := NewOffer(&mesos.Offer{Resources: []*mesos.Resource{free, reserved}})
	match, why := Take(&marathon.App{CPUs: 1.5}, "web", offer, nil, 1)
	if match == nil || len(match.Resources) != 2 || match.Resources[0].GetReservations()[0].GetRole() != "web" ||
		match.Resources[1].GetScalar().GetValue() != 0.5 {
		t.Fatalf("got %v %v", match, why)
	}
	offer = NewOffer(&mesos.Offer{Resources: []*mesos.Resource{free, reserved}})
	_, why = Take(&marathon.App{CPUs: 1.5}, "other", offer, nil, 1)
	if want := []Refusal{{InsufficientCpus, "wants 1.5 cpus, offered 1"}}; !reflect.DeepEqual(why, want) {
		t.Fatalf("got %v, want %v", why, want)
	}
}
