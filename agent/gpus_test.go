package agent

import (
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/agent/internal/fakecontainers"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/gpu/gputest"
)

func TestAgentOffersTheGPUsThatItHas(t *testing.T) {
	if h, err := cgroups.Detect(); err != nil || !h.Has("devices") {
		t.Skipf("SKIP: this machine has no list of devices: %v", err)
	}
	for _, c := range []struct {
		count              int
		devices, resources string
		gpus               float64
		offered            []int
		refused            string
	}{
		{2, "", "", 2, []int{0, 1}, ""}, {0, "", "", 0, nil, ""}, {2, "", "gpus:0", 0, nil, ""}, {3, "2,0", "gpus:2;cpus:1", 2, []int{2, 0}, ""},
		{2, "", "gpus:1", 0, nil, "need --nvidia_gpu_devices"}, {2, "0", "", 0, nil, "needs gpus:1"}, {2, "5", "gpus:1", 0, nil, "there is no GPU 5"},
	} {
		config := Default()
		config.WorkDir, config.Master, config.Port = t.TempDir(), "127.0.0.1:5050", 0
		config.Isolation, config.NvidiaGPUDevices, config.Resources = "gpu/nvidia", c.devices, c.resources
		config.gpuRoot = gputest.Machine(t, c.count)
		a, err := New(config, Deps{Containerizer: fakecontainers.New()})
		if c.refused != "" {
			if err == nil {
				a.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%+v: got %v", c, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%+v: %v", c, err)
			continue
		}
		info, err := a.info()
		_, offered, _ := a.config.GPUs()
		a.Close()
		var got float64
		if amount := named(info.GetResources(), "gpus"); amount != nil {
			got = *amount
		}
		if err != nil || got != c.gpus || !slices.Equal(offered, c.offered) {
			t.Errorf("%+v: offers %g gpus, %v, %v", c, got, offered, err)
		}
	}
}
