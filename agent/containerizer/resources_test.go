package containerizer

import (
	"testing"

	mesos "agora.dev/agora/api/mesos/v1"
)

func TestResourcesAreFoundInAllTheirParts(t *testing.T) {
	scalar := func(name string, value float64) *mesos.Resource {
		return &mesos.Resource{Name: &name, Scalar: &mesos.Value_Scalar{Value: &value}}
	}
	name, begin, end := "ports", uint64(31000), uint64(31002)
	list := []*mesos.Resource{scalar("cpus", 0.5), scalar("mem", 32), scalar("cpus", 1),
		{Name: &name, Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: &begin, End: &end}}}}}
	if got := Scalar(list, "cpus"); got != 1.5 {
		t.Errorf("cpus %v, want 1.5", got)
	}
	for port, want := range map[uint64]bool{30999: false, 31000: true, 31002: true, 31003: false} {
		if got := HasPort(list, port); got != want {
			t.Errorf("port %d: %v, want %v", port, got, want)
		}
	}
}
