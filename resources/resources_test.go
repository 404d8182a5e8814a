package resources

import (
	"math"
	"testing"

	"agora.dev/agora/api/mesos/v1"
)

func parse(t testing.TB, text string) Resources {
	t.Helper()
	r, err := Parse(text, "*")
	if err != nil {
		t.Fatalf("Parse(%q): %v", text, err)
	}
	return r
}

func TestParseAndPrint(t *testing.T) {
	for text, want := range map[string]string{
		"cpus:4;mem:1024":                 "cpus:4; mem:1024",
		"cpus:0.1;cpus:0.2":               "cpus:0.3",
		"ports:[31000-31005,31003-32000]": "ports:[31000-32000]",
		"mem(web):5":                      "mem(reservations: [(STATIC,web)]):5",
		"x:{b,a}":                         "x:{a, b}",
		"cpus:0.0001":                     "{}",
		`[{"name":"cpus","type":"SCALAR","scalar":{"value":1.5},"role":"a/b"}]`: "cpus(reservations: [(STATIC,a/b)]):1.5",
	} {
		if got := parse(t, text).String(); got != want {
			t.Errorf("%s: got %s, want %s", text, got, want)
		}
	}
}

func TestBadTextIsRefused(t *testing.T) {
	for _, text := range []string{"cpus", "cpus:1:2", "cpus:-1", "cpus:nan", "cpus:inf", "cpus:1e308", "cpus:x", "x:{a,a}",
		"ports:[5-1]", "ports:[1-", "cpus(a//b):1", "cpus(a:1", "[{", `[{"name":"cpus"}]`, ":1"} {
		if r, err := Parse(text, "*"); err == nil {
			t.Errorf("Parse(%q) = %s, want an error", text, r)
		}
	}
}

func TestReserveCreateDestroyUnreserveReturnsToStart(t *testing.T) {
	free := parse(t, "cpus:4;disk:100")
	role, who := "web", "p"
	reserved, err := parse(t, "cpus:1;disk:40").PushReservation(&mesos.Resource_ReservationInfo{
		Type: mesos.Resource_ReservationInfo_DYNAMIC.Enum(), Role: &role, Principal: &who})
	if err != nil {
		t.Fatal(err)
	}
	op := &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(), Reserve: &mesos.Offer_Operation_Reserve{Resources: reserved.Proto()}}
	after, err := free.Apply(op)
	if err != nil {
		t.Fatal(err)
	}
	volume := reserved.Named("disk").Proto()[0]
	id, path := "v1", "data"
	volume.Disk = &mesos.Resource_DiskInfo{Persistence: &mesos.Resource_DiskInfo_Persistence{Id: &id},
		Volume: &mesos.Volume{ContainerPath: &path, Mode: mesos.Volume_RW.Enum()}}
	volumes := []*mesos.Resource{volume}
	steps := []*mesos.Offer_Operation{
		{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: volumes}},
		{Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: volumes}},
		{Type: mesos.Offer_Operation_UNRESERVE.Enum(), Unreserve: &mesos.Offer_Operation_Unreserve{Resources: reserved.Proto()}},
	}
	for _, step := range steps {
		if after, err = after.Apply(step); err != nil {
			t.Fatal(step.GetType(), err)
		}
		if after.Scalar("disk") != 100_000 || after.Scalar("cpus") != 4000 {
			t.Fatalf("%s: %s", step.GetType(), after)
		}
	}
	if !after.Equal(free) {
		t.Fatalf("got %s, want %s", after, free)
	}
}

func TestOldFormatGoesThereAndBack(t *testing.T) {
	r := parse(t, "cpus:4;mem(web):1024")
	wire, err := r.OldProto()
	if err != nil || wire[1].GetRole() != "web" || wire[0].GetRole() != "*" {
		t.Fatal(wire, err)
	}
	back, err := FromProto(wire)
	if err != nil || !back.Equal(r) {
		t.Fatalf("got %s, want %s (%v)", back, r, err)
	}
}

func TestMilliRefusesWhatIsNoAmount(t *testing.T) {
	for _, bad := range []float64{-1, math.NaN(), math.Inf(1), math.Inf(-1), 1e300} {
		if m, err := Milli(bad); err == nil {
			t.Errorf("Milli(%v) = %d", bad, m)
		}
	}
}

func TestRoleNames(t *testing.T) {
	for role, ok := range map[string]bool{"*": true, "a": true, "a/b": true, "": false, "/a": false, "a/": false, "a//b": false,
		".": false, "a/..": false, "a/*": false, "-a": false, "a b": false, "a\b": false} {
		if err := CheckRole(role); (err == nil) != ok {
			t.Errorf("%q: %v", role, err)
		}
	}
}

func TestSharedVolumesAreCounted(t *testing.T) {
	wire := `[{"name":"disk","type":"SCALAR","scalar":{"value":5},"role":"a","disk":{"persistence":{"id":"v"}},"shared":{}}]`
	v := parse(t, wire)
	two := v.Add(v)
	left, ok := two.Sub(v)
	if !ok || !left.Equal(v) || two.Quantities().Get("disk") != 5000 {
		t.Fatal(two, left)
	}
}
