package cgroups

import (
	"testing"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func TestOneCPUIsOneHundredOnV2(t *testing.T) {
	for shares, want := range map[uint64]uint64{1024: 100, 2: 1, 512: 50, 2048: 200, 1 << 30: 10000} {
		if got := Weight(shares); got != want {
			t.Errorf("%d shares: weight %d, want %d", shares, got, want)
		}
	}
}

func TestLimitsBecomeFiles(t *testing.T) {
	limit, quota, period, pids := int64(64<<20), int64(50000), uint64(100000), int64(9)
	r := &specs.LinuxResources{Memory: &specs.LinuxMemory{Limit: &limit}, CPU: &specs.LinuxCPU{Quota: &quota, Period: &period}, Pids: &specs.LinuxPids{Limit: &pids}}
	find := func(list []setting, file string) string {
		for _, s := range list {
			if s.file == file {
				return s.value
			}
		}
		return ""
	}
	for file, want := range map[string]string{"memory.limit_in_bytes": "67108864", "cpu.cfs_quota_us": "50000", "cpu.cfs_period_us": "100000", "pids.max": "9"} {
		if got := find(settingsV1(r), file); got != want {
			t.Errorf("v1 %s: %q, want %q", file, got, want)
		}
	}
	for file, want := range map[string]string{"memory.max": "67108864", "cpu.max": "50000 100000", "pids.max": "9", "memory.oom.group": "1"} {
		if got := find(settingsV2(r), file); got != want {
			t.Errorf("v2 %s: %q, want %q", file, got, want)
		}
	}
	quota = -1
	if got := find(settingsV2(r), "cpu.max"); got != "max 100000" {
		t.Errorf("v2 without quota: %q", got)
	}
}
