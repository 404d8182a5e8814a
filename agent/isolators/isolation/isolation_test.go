package isolation_test

import (
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/isolation"
)

func host(controllers ...string) cgroups.Hierarchy {
	h := cgroups.Hierarchy{Mounts: map[string]string{}}
	for _, c := range controllers {
		h.Mounts[c] = "/sys/fs/cgroup/" + c
	}
	return h
}

func TestNamedIsolatorsWorkAndOthersDoNot(t *testing.T) {
	h := host("cpu", "memory", "pids", "blkio", "cpuset", "perf_event")
	for _, c := range []struct {
		text    string
		has     []string
		hasNot  []string
		refused string
	}{
		{"", []string{isolation.CPU, isolation.Memory, isolation.BlockIO, "cgroups/pids", "linux/seccomp"},
			[]string{isolation.PosixCPU, isolation.Cpuset, isolation.PerfEvent}, ""},
		{"cgroups/cpu, cgroups/mem", []string{isolation.CPU, isolation.Memory, "namespaces/pid"}, []string{isolation.BlockIO}, ""},
		{"cgroups", []string{isolation.CPU, isolation.Memory}, []string{isolation.BlockIO}, ""},
		{"posix/cpu,posix/mem", []string{isolation.PosixCPU, isolation.PosixMem}, []string{isolation.CPU}, ""},
		{"cgroups/all,network/cni", []string{isolation.CPU, isolation.BlockIO}, nil, ""},
		{"cgroups/cpuset,cgroups/perf_event", []string{isolation.Cpuset, isolation.PerfEvent}, []string{isolation.CPU, isolation.BlockIO}, ""},
		{"cgroups/all", []string{isolation.Cpuset, isolation.PerfEvent}, []string{isolation.NetCls, isolation.NetPrio, isolation.Hugetlb}, ""},
		{"network/ports", []string{isolation.Ports, "namespaces/pid"}, []string{isolation.GPU}, ""},
		{"cgroups/all", nil, []string{isolation.Ports, isolation.GPU}, ""},
		{"gpu/nvidia", nil, nil, "gpu/nvidia needs the cgroup controller devices"},
		{"cgroups/devices", nil, nil, "needs the cgroup controller devices"},
		{"cgroups/cpu,cgroups/net_cls", nil, nil, "--isolation: cgroups/net_cls needs the cgroup controller net_cls: "},
		{"cgroups/hugetlb", nil, nil, "cgroups/hugetlb needs the cgroup controller hugetlb: "},
		{"cgroups/nonsense", nil, nil, `"cgroups/nonsense" is unknown`},
		{"network/port_mapping", nil, nil, "not supported"},
		{"disk/du", []string{isolation.DiskDu}, []string{isolation.CPU}, ""},
		{"posix/disk", []string{isolation.DiskDu}, nil, ""},
		{"disk/xfs", []string{isolation.DiskXFS}, []string{isolation.DiskDu}, ""},
	} {
		set, err := isolation.Parse(c.text, h)
		if c.refused != "" {
			if err == nil || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%q: got %v, want %q", c.text, err, c.refused)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v", c.text, err)
		}
		for _, name := range c.has {
			if !set.Has(name) {
				t.Errorf("%q: %s does not work", c.text, name)
			}
		}
		for _, name := range c.hasNot {
			if set.Has(name) {
				t.Errorf("%q: %s works", c.text, name)
			}
		}
	}
}
