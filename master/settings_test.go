package master_test

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/kv/memkv"
	"agora.dev/agora/master"
)

func operate(t *testing.T, m *master.Master, body string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+m.Addr()+"/api/v1", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %s %v", body, response.Status, answer, err)
	}
	return string(answer)
}

func TestQuotasAndWeightsAreKnownToTheNextMaster(t *testing.T) {
	store := memkv.New()
	t.Run("first", func(t *testing.T) {
		first := startMaster(t, master.Deps{Store: store})
		operate(t, first, `{"type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"web","limits":{"cpus":{"value":2}}}]}}`)
		operate(t, first, `{"type":"UPDATE_WEIGHTS","update_weights":{"weight_infos":[{"role":"web","weight":3}]}}`)
	})
	second := startMaster(t, master.Deps{Store: store})
	if got := operate(t, second, `{"type":"GET_QUOTA"}`); !strings.Contains(got, `"limits":{"cpus":{"value":2.0}}`) {
		t.Errorf("quota of the next master: %s", got)
	}
	if got := operate(t, second, `{"type":"GET_WEIGHTS"}`); !strings.Contains(got, `{"weight":3.0,"role":"web"}`) {
		t.Errorf("weights of the next master: %s", got)
	}
}

// TestALimitHoldsForRealOffersAndMetricsShowIt has an agent of 8 CPUs and a limit of 2.
func TestALimitHoldsForRealOffersAndMetricsShowIt(t *testing.T) {
	m := startMaster(t, master.Deps{})
	f := subscribe(t, m, codec.JSON, nil)
	operate(t, m, `{"type":"UPDATE_QUOTA","update_quota":{"quota_configs":[{"role":"golden","guarantees":{"cpus":{"value":1}},"limits":{"cpus":{"value":2}}}],"force":true}}`)
	startAgent(t, m)
	offer := f.expect(scheduler.Event_OFFERS).GetOffers().GetOffers()[0]
	for _, r := range offer.GetResources() {
		if r.GetName() == "cpus" && r.GetScalar().GetValue() != 2 {
			t.Errorf("offered %v", r)
		}
	}
	_, text := get(t, m, "/metrics/snapshot")
	figures := map[string]float64{}
	if err := json.Unmarshal([]byte(text), &figures); err != nil {
		t.Fatal(err)
	}
	const quota = "allocator/mesos/quota/roles/golden/resources/cpus/"
	for key, want := range map[string]float64{quota + "guarantee": 1, quota + "limit": 2, quota + "offered_or_allocated": 2,
		"allocator/mesos/offer_filters/roles/golden/active": 0, "allocator/mesos/resources/cpus/offered_or_allocated": 2} {
		if got, ok := figures[key]; !ok || got != want {
			t.Errorf("%s is %g (there: %t), want %g", key, got, ok, want)
		}
	}
	for _, key := range []string{"allocator/mesos/roles/golden/shares/dominant", "allocator/mesos/allocation_runs", "allocator/mesos/allocation_run_ms/count",
		"allocator/mesos/allocation_run_latency_ms/count"} {
		if figures[key] <= 0 {
			t.Errorf("%s is %g", key, figures[key])
		}
	}
}

func TestHostsThatTheWhitelistLeavesOutAreNotOffered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(path, []byte("elsewhere\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := startMasterWith(t, master.Deps{}, func(c *master.Config) { c.Allocation.Whitelist = path })
	subscribe(t, m, codec.JSON, nil)
	startAgent(t, m)
	_, text := get(t, m, "/metrics/snapshot") // the allocator has seen the agent when it answers
	if !strings.Contains(text, `"allocator/mesos/resources/cpus/offered_or_allocated":0.0`) {
		t.Errorf("offered although not on the list: %s", text)
	}
}

func TestBadAllocationFlagsAreRefused(t *testing.T) {
	for _, flag := range []string{"--role_sorter=fair", "--framework_sorter=x", "--min_allocatable_resources=cpus", "--allocator_agent_recovery_factor=2",
		`--domain={"fault_domain":{}}`, "--domain={"} {
		if _, err := master.Parse([]string{flag}, nil); err == nil || !strings.Contains(err.Error(), flag[:strings.Index(flag, "=")]) {
			t.Errorf("%s: %v", flag, err)
		}
	}
	if _, err := master.Parse([]string{"--role_sorter=random", "--min_allocatable_resources=cpus:1;mem:64|gpus:1"}, nil); err != nil {
		t.Error(err)
	}
}

func TestEndpointsThatAreOff(t *testing.T) {
	m := startMasterWith(t, master.Deps{}, func(c *master.Config) {
		c.Access.Firewall = `{"disabled_endpoints":{"paths":["/master/state","/files/browse"]}}`
	})
	for _, path := range []string{"/state", "/master/state", "/state.json", "/master/state.json/", "/files/browse?path=/", "/files/browse/x"} {
		plain, _, _ := strings.Cut(path, "?")
		response, text := get(t, m, path)
		if response.StatusCode != http.StatusForbidden || text != "Endpoint '"+plain+"' is disabled" {
			t.Errorf("%s: %s %s", path, response.Status, text)
		}
	}
	if response, text := get(t, m, "/state-summary"); response.StatusCode != http.StatusOK {
		t.Errorf("/state-summary: %s %s", response.Status, text)
	}
	for rules, want := range map[string]string{
		`{"disabled_endpoints":{"paths":["/stat"]}}`: `--firewall_rules: firewall rules: paths[0]: there is no endpoint "/stat"`,
		`{"disabled":{}}`: `--firewall_rules: firewall rules: json: unknown field "disabled"`,
	} {
		c := master.NewConfig()
		c.Port, c.Access.Firewall = 0, rules
		if _, err := master.New(c, master.Deps{}); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", rules, err, want)
		}
	}
}
