package cgroups

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

// files makes a directory with the files of a group.
func files(t *testing.T, content map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range content {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestBlockStatisticsOfEachKernel(t *testing.T) {
	const bytes = "8:0 Read 4096\n8:0 Write 0\n8:0 Total 4096\n259:3 Read 512\nTotal 4608\n"
	const requests = "8:0 Read 1\n8:0 Write 0\n8:0 Total 1\n259:3 Read 1\nTotal 2\n"
	want := []BlockIO{
		{Major: 8, Bytes: map[string]uint64{"Read": 4096, "Write": 0, "Total": 4096}, Requests: map[string]uint64{"Read": 1, "Write": 0, "Total": 1}},
		{Major: 259, Minor: 3, Bytes: map[string]uint64{"Read": 512}, Requests: map[string]uint64{"Read": 1}},
	}
	for _, c := range []struct {
		kernel string
		v2     bool
		files  map[string]string
		want   []BlockIO
	}{
		{"version 1", false, map[string]string{"blkio.throttle.io_service_bytes_recursive": bytes, "blkio.throttle.io_serviced_recursive": requests,
			"blkio.throttle.io_service_bytes": "Total 0\n", "blkio.throttle.io_serviced": "Total 0\n"}, want},
		{"version 1, older", false, map[string]string{"blkio.throttle.io_service_bytes": bytes, "blkio.throttle.io_serviced": requests}, want},
		{"version 2", true, map[string]string{"io.stat": "8:0 rbytes=4096 wbytes=0 rios=1 wios=0 dbytes=8 dios=1\n259:3 \n"}, []BlockIO{
			{Major: 8, Bytes: map[string]uint64{"Read": 4096, "Write": 0, "Discard": 8}, Requests: map[string]uint64{"Read": 1, "Write": 0, "Discard": 1}},
			{Major: 259, Minor: 3, Bytes: map[string]uint64{}, Requests: map[string]uint64{}},
		}},
	} {
		dir := files(t, c.files)
		g := Group{V2: c.v2, Paths: map[string]string{"blkio": dir}}
		if c.v2 {
			g.Paths = map[string]string{"": dir}
		}
		if got := g.Block(); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.kernel, got, c.want)
		}
	}
}

func TestSchedulersFigures(t *testing.T) {
	number := func(n uint64) *uint64 { return &n }
	bfq := files(t, map[string]string{"blkio.bfq.io_service_bytes": "8:0 Read 4096\n8:0 Total 4096\nTotal 4096\n", "blkio.bfq.io_serviced": "8:0 Read 1\n8:0 Total 1\nTotal 1\n",
		"blkio.bfq.io_service_bytes_recursive": "8:0 Read 8192\nTotal 8192\n", "blkio.bfq.io_serviced_recursive": "8:0 Read 2\nTotal 2\n"})
	cfq := files(t, map[string]string{"blkio.io_serviced": "8:0 Sync 2\nTotal 2\n", "blkio.io_queued": "8:0 Async 0\nTotal 0\n", "blkio.io_merged": "8:0 Sync 1\n",
		"blkio.io_wait_time": "8:0 Sync 9\n", "blkio.io_service_time": "8:0 Sync 7\n", "blkio.time": "8:0 12\n", "blkio.sectors": "8:0 16\n",
		"blkio.time_recursive": "8:0 13\n", "blkio.io_serviced_recursive": "8:0 Sync 3\nTotal 3\n", "blkio.bfq.io_serviced": "8:0 Sync 99\n"})
	for _, c := range []struct {
		name, dir      string
		own, recursive []Scheduled
	}{
		{"BFQ", bfq, []Scheduled{{Major: 8, Serviced: map[string]uint64{"Read": 1, "Total": 1}, ServiceBytes: map[string]uint64{"Read": 4096, "Total": 4096}}},
			[]Scheduled{{Major: 8, Serviced: map[string]uint64{"Read": 2}, ServiceBytes: map[string]uint64{"Read": 8192}}}},
		{"CFQ", cfq, []Scheduled{{Major: 8, Sectors: number(16), Time: number(12), Serviced: map[string]uint64{"Sync": 2}, Queued: map[string]uint64{"Async": 0},
			Merged: map[string]uint64{"Sync": 1}, WaitTime: map[string]uint64{"Sync": 9}, ServiceTime: map[string]uint64{"Sync": 7}}},
			[]Scheduled{{Major: 8, Time: number(13), Serviced: map[string]uint64{"Sync": 3}}}},
		{"neither", t.TempDir(), nil, nil},
	} {
		own, recursive := Group{Paths: map[string]string{"blkio": c.dir}}.Scheduled()
		if !reflect.DeepEqual(own, c.own) || !reflect.DeepEqual(recursive, c.recursive) {
			t.Errorf("%s: got %v and %v, want %v and %v", c.name, own, recursive, c.own, c.recursive)
		}
	}
	if own, recursive := (Group{V2: true, Paths: map[string]string{"": bfq}}).Scheduled(); own != nil || recursive != nil {
		t.Errorf("version 2: got %v and %v", own, recursive)
	}
}

func TestMissingControllersComeWithTheNextStep(t *testing.T) {
	v1, v2 := Hierarchy{Mounts: map[string]string{"cpu": "/c"}}, Hierarchy{V2: true, Mounts: map[string]string{"": "/sys/fs/cgroup"}}
	for _, c := range []struct {
		h          Hierarchy
		controller string
		compiled   bool
		want       string
	}{
		{Hierarchy{}, "cpu", true, "no cgroup file system is mounted on this machine; mount one at /sys/fs/cgroup"},
		{v1, "net_cls", true, "the kernel has it, but no hierarchy of it is mounted; run: mkdir -p /sys/fs/cgroup/net_cls && mount -t cgroup -o net_cls net_cls /sys/fs/cgroup/net_cls"},
		{v1, "hugetlb", false, "the kernel of this machine does not have it, or it is switched off (cgroup_disable= of the boot line); leave the isolator out, or boot a kernel that has it"},
		{v2, "net_prio", true, "cgroup version 2, which this machine runs, does not have it; leave the isolator out, or boot with version 1 (systemd.unified_cgroup_hierarchy=0)"},
		{v2, "hugetlb", true, "it is not among the cgroup.controllers of /sys/fs/cgroup; leave the isolator out, have the controller passed down to there " +
			"(Delegate=yes with systemd), or boot a kernel that has it"},
	} {
		if got := c.h.lacks(c.controller, c.compiled); got != c.want {
			t.Errorf("%s: got %q, want %q", c.controller, got, c.want)
		}
	}
}
