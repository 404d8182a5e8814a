package master_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master"
)

func figures(t *testing.T, m *master.Master) map[string]float64 {
	t.Helper()
	_, body := get(t, m, "/metrics/snapshot")
	var all map[string]float64
	if err := json.Unmarshal([]byte(body), &all); err != nil {
		t.Fatalf("%v: %s", err, body)
	}
	return all
}

func keysIn(t *testing.T, file string) []string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Fields(string(text))
}

// The files in testdata have the keys that a Mesos master shows without an agent, and of one framework.
func TestMetricsAreThoseOfMesosAndDescribed(t *testing.T) {
	m := startMaster(t, master.Deps{})
	all := figures(t, m)
	for _, name := range keysIn(t, "testdata/metrics-at-start.txt") {
		if _, ok := all[name]; !ok {
			t.Errorf("%s is missing", name)
		}
	}
	f := subscribe(t, m, codec.JSON, nil)
	f.call(&scheduler.Call{Type: scheduler.Call_SUPPRESS.Enum(), Suppress: &scheduler.Call_Suppress{}})
	all = figures(t, m)
	prefix := "master/frameworks/golden/" + f.id.GetValue() + "/"
	for _, name := range keysIn(t, "testdata/metrics-of-a-framework.txt") {
		if _, ok := all[prefix+name]; !ok {
			t.Errorf("%s%s is missing", prefix, name)
		}
	}
	for name, want := range map[string]float64{"subscribed": 1, "calls": 2, "calls/suppress": 1, "events/subscribed": 1, "roles/golden/suppressed": 1} {
		if got := all[prefix+name]; got != want {
			t.Errorf("%s%s: got %v, want %v", prefix, name, got, want)
		}
	}
	families, err := master.MetricFamilies()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if families.Key(name) == "" {
			t.Errorf("%s is not described in metrics.txt", name)
		}
	}
	response, body := get(t, m, "/metrics/prometheus")
	for _, want := range []string{"\nagora_master_elected 1\n", "\n# HELP agora_framework_calls_total Calls of the framework by type.\n# TYPE agora_framework_calls_total counter\n",
		`agora_framework_calls_total{name="golden",framework_id="` + f.id.GetValue() + `",call="suppress"} 1`} {
		if !strings.Contains(body, want) {
			t.Errorf("%q is missing in %s", want, body)
		}
	}
	if got := response.Header.Get("Content-Type"); got != "text/plain; version=0.0.4; charset=utf-8" {
		t.Errorf("got Content-Type %s", got)
	}
}

func TestMetricsOfFrameworksCanBeLeftOutAndGoWithTheirRecord(t *testing.T) {
	for shown, change := range []func(*master.Config){
		func(c *master.Config) { c.FrameworkMetrics = false },
		func(c *master.Config) { c.MaxCompletedFrameworks = 1 },
	} {
		m := startMasterWith(t, master.Deps{}, change)
		for range 2 {
			subscribe(t, m, codec.JSON, nil).call(&scheduler.Call{Type: scheduler.Call_TEARDOWN.Enum()})
		}
		frameworks := 0
		for name := range figures(t, m) {
			if strings.HasSuffix(name, "/offers/sent") {
				frameworks++
			}
		}
		if frameworks != shown {
			t.Errorf("figures of %d frameworks, want %d", frameworks, shown)
		}
	}
}

func TestTimeoutOfMetricsIsADuration(t *testing.T) {
	m := startMaster(t, master.Deps{})
	if r, body := get(t, m, "/metrics/snapshot?timeout=soon"); r.StatusCode != http.StatusBadRequest || !strings.Contains(body, "timeout 'soon'") {
		t.Errorf("got %d %s", r.StatusCode, body)
	}
	if r, body := get(t, m, "/metrics/snapshot?timeout=10secs"); r.StatusCode != http.StatusOK || !strings.Contains(body, `"master/elected":1.0`) {
		t.Errorf("got %d %s", r.StatusCode, body)
	}
}

// The first run of the loop is due to nobody: the time before it is no latency.
func TestTheFirstAllocationHasNoLatency(t *testing.T) {
	m := startMaster(t, master.Deps{})
	startAgent(t, m)
	subscribe(t, m, codec.JSON, nil).expect(scheduler.Event_OFFERS)
	all := figures(t, m)
	for _, key := range []string{"", "/max", "/p9999"} {
		if got := all["allocator/mesos/allocation_run_latency_ms"+key]; got < 0 || got > 60_000 {
			t.Errorf("latency%s: %v ms", key, got)
		}
	}
}
