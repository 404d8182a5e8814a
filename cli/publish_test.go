package cli

import (
	"fmt"
	"strings"
	"testing"

	mesos "agora.dev/agora/api/mesos/v1"
)

func amount(name string, value float64) *mesos.Resource {
	kind := mesos.Value_SCALAR
	return &mesos.Resource{Name: &name, Type: &kind, Scalar: &mesos.Value_Scalar{Value: &value}}
}

func TestPublishedPortsAreMapped(t *testing.T) {
	for text, want := range map[string]publish{"8080": {8080, 0, "tcp"}, "0": {0, 0, "tcp"}, "8080:80": {8080, 80, "tcp"}, "0:53/udp": {0, 53, "udp"}} {
		if got, err := parsePublish(text); err != nil || got != want {
			t.Errorf("%q: got %+v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{"x": "want a port", "80:0": "want a port", "70000:80": "want a port", "80:": "want a port",
		"80:80/sctp": "tcp or udp", "80/udp": "a protocol is for", "1.2.3.4:80:80": "want a port", "-1": "want a port"} {
		if _, err := parsePublish(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	o := runOptions{Name: "x", CPUs: 1, MemMiB: 32, Ports: []publish{{0, 80, "tcp"}, {8081, 81, "tcp"}, {8081, 81, "udp"}}}
	ports, ranges := "ports", mesos.Value_RANGES
	offer := []*mesos.Resource{amount("cpus", 4), amount("mem", 64), {Name: &ports, Type: &ranges, Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{
		{Begin: ptr(uint64(8000)), End: ptr(uint64(9000))}, {Begin: ptr(uint64(31000)), End: ptr(uint64(31001))}}}}}
	taken, missing := o.take(offer)
	if missing != "" {
		t.Fatal(missing)
	}
	info := o.taskInfo("x", nil, taken).GetContainer().GetNetworkInfos()[0]
	if got := fmt.Sprint(info.GetName(), info.GetPortMappings()); strings.ReplaceAll(got, "  ", " ") != `agora/bridge[host_port:31000 container_port:80 protocol:"tcp" host_port:8081 container_port:81 protocol:"tcp" host_port:8081 container_port:81 protocol:"udp"]` {
		t.Errorf("got %s", got)
	}
	o.Ports = []publish{{7000, 80, "tcp"}}
	if _, missing := o.take(offer); missing != "lacks port 7000: its free ports are 8000-9000,31000-31001" {
		t.Errorf("missing %q", missing)
	}
	o.Ports = []publish{{8000, 80, "tcp"}, {8001, 0, "tcp"}}
	if err := o.checkPorts(); err == nil || !strings.Contains(err.Error(), "map this one too") {
		t.Errorf("got %v", err)
	}
}
