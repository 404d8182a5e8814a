package linux_test

import (
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/cgroups"
	mesos "agora.dev/agora/api/mesos/v1"
)

func TestBurstingTasksGoFirstWhenTheMachineIsFull(t *testing.T) {
	w := newWorld(t)
	var total float64
	info, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := fmt.Sscanf(string(info), "MemTotal: %f", &total); err != nil {
		t.Fatal(err)
	}
	for id, c := range map[string]struct {
		limits map[string]float64
		want   int
	}{
		"none": {nil, 0}, "equal": {map[string]float64{"mem": 64}, 0}, "cpus": {map[string]float64{"cpus": 1}, 0},
		"above":    {map[string]float64{"mem": 65}, int(1000 - 1000*64*1024/total)},
		"infinite": {map[string]float64{"mem": math.Inf(1)}, int(1000 - 1000*64*1024/total)},
	} {
		s := w.spec(id, "cat /proc/self/oom_score_adj")
		s.Limits = c.limits
		if code, out := w.run(s); code != 0 || out != strconv.Itoa(c.want)+"\n" {
			t.Errorf("%s: oom_score_adj %q, want %d", id, out, c.want)
		}
	}
}

func TestSwapIsPartOfTheLimitWhenAsked(t *testing.T) {
	h, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	if !h.CountsSwap() {
		t.Skip("the kernel does not account for swap")
	}
	w := newWorld(t, func(c *linux.Config) { c.Isolation.LimitSwap = true })
	s := w.spec("swap", "exec sleep 1000")
	w.launch(s)
	for _, c := range []struct {
		mem    float64
		limits map[string]float64
	}{{64, nil}, {128, nil}, {48, nil}, {48, map[string]float64{"mem": 96}}, {48, map[string]float64{"mem": math.Inf(1)}}, {64, nil}} {
		if err := w.Update(w.ctx, s.ID, []*mesos.Resource{resource("cpus", 0.5), resource("mem", c.mem)}, c.limits); err != nil {
			t.Fatalf("%g, %v: %v", c.mem, c.limits, err)
		}
		hard := c.mem
		if limit, ok := c.limits["mem"]; ok {
			hard = limit
		}
		both, want := w.either("swap", "memory", "memory.memsw.limit_in_bytes", "memory.swap.max"), strconv.FormatFloat(hard*(1<<20), 'f', 0, 64)
		switch n, _ := strconv.ParseUint(both, 10, 64); {
		case h.V2 && math.IsInf(hard, 1):
			want = "max"
		case h.V2:
			want = "0" // beside the memory, not with it
		case math.IsInf(hard, 1) && n > 1<<60:
			want = both
		}
		if both != want {
			t.Errorf("%g, %v: swap is limited to %s, want %s", c.mem, c.limits, both, want)
		}
	}
	if usage, err := w.Usage(w.ctx, s.ID); err != nil || usage.GetMemTotalMemswBytes() == 0 {
		t.Errorf("usage %v, %v", usage, err)
	}
}

func TestMemoryPressureIsCounted(t *testing.T) {
	disk, _ := newDisk(t)
	w := newWorld(t)
	s := w.spec("pressure", `while true; do dd if=/dev/zero of=`+disk+`/big bs=1M count=48 2>/dev/null; done`)
	s.Resources[1] = resource("mem", 32)
	w.launch(s)
	w.await("pressure is noticed", func() bool {
		usage, err := w.Usage(w.ctx, s.ID)
		if err != nil {
			t.Fatal(err)
		}
		return usage.GetMemLowPressureCounter() > 0 && usage.MemMediumPressureCounter != nil && usage.MemCriticalPressureCounter != nil
	})
}

// limitNames are the resources of setrlimit(2) as /proc/self/limits names them.
var limitNames = map[mesos.RLimitInfo_RLimit_Type]string{
	mesos.RLimitInfo_RLimit_RLMT_AS: "Max address space", mesos.RLimitInfo_RLimit_RLMT_CORE: "Max core file size",
	mesos.RLimitInfo_RLimit_RLMT_CPU: "Max cpu time", mesos.RLimitInfo_RLimit_RLMT_DATA: "Max data size",
	mesos.RLimitInfo_RLimit_RLMT_FSIZE: "Max file size", mesos.RLimitInfo_RLimit_RLMT_LOCKS: "Max file locks",
	mesos.RLimitInfo_RLimit_RLMT_MEMLOCK: "Max locked memory", mesos.RLimitInfo_RLimit_RLMT_MSGQUEUE: "Max msgqueue size",
	mesos.RLimitInfo_RLimit_RLMT_NICE: "Max nice priority", mesos.RLimitInfo_RLimit_RLMT_NOFILE: "Max open files",
	mesos.RLimitInfo_RLimit_RLMT_NPROC: "Max processes", mesos.RLimitInfo_RLimit_RLMT_RSS: "Max resident set",
	mesos.RLimitInfo_RLimit_RLMT_RTPRIO: "Max realtime priority", mesos.RLimitInfo_RLimit_RLMT_RTTIME: "Max realtime timeout",
	mesos.RLimitInfo_RLimit_RLMT_SIGPENDING: "Max pending signals", mesos.RLimitInfo_RLimit_RLMT_STACK: "Max stack size",
}

// limitOf reads the soft and hard limit of a resource from /proc/self/limits.
func limitOf(text, name string) (soft, hard string) {
	_, rest, _ := strings.Cut(text, name+" ")
	if f := strings.Fields(rest); len(f) > 1 {
		return f[0], f[1]
	}
	return "", ""
}

func TestEachResourceLimitIsSet(t *testing.T) {
	w := newWorld(t)
	mine, err := os.ReadFile("/proc/self/limits")
	if err != nil {
		t.Fatal(err)
	}
	s := withImage(w.spec("rlimits", "cat /proc/self/limits"))
	s.Container.RlimitInfo = &mesos.RLimitInfo{}
	asked := map[mesos.RLimitInfo_RLimit_Type][2]string{}
	for number := range mesos.RLimitInfo_RLimit_Type_name {
		limit := &mesos.RLimitInfo_RLimit{Type: mesos.RLimitInfo_RLimit_Type(number).Enum()}
		switch kind := limit.GetType(); kind {
		case mesos.RLimitInfo_RLimit_UNKNOWN:
			continue
		case mesos.RLimitInfo_RLimit_RLMT_CORE: // without figures there is none
			asked[kind] = [2]string{"unlimited", "unlimited"}
		default:
			hard := uint64(128<<20 + number)
			if _, now := limitOf(string(mine), limitNames[kind]); now != "unlimited" {
				hard, _ = strconv.ParseUint(now, 10, 64) // more needs CAP_SYS_RESOURCE
			}
			soft := hard / 2
			limit.Soft, limit.Hard = &soft, &hard
			asked[kind] = [2]string{strconv.FormatUint(soft, 10), strconv.FormatUint(hard, 10)}
		}
		s.Container.RlimitInfo.Rlimits = append(s.Container.RlimitInfo.Rlimits, limit)
	}
	code, out := w.run(s)
	for kind, name := range limitNames {
		if soft, hard := limitOf(out, name); code != 0 || asked[kind] != [2]string{soft, hard} {
			t.Errorf("%s: got %s and %s, want %s", kind, soft, hard, asked[kind])
		}
	}
	if t.Failed() || len(asked) != len(limitNames) {
		t.Errorf("code %d, %d limits asked for; output:\n%s", code, len(asked), out)
	}
}

func TestHalfAResourceLimitIsRefused(t *testing.T) {
	w := newWorld(t)
	kind, low, high := mesos.RLimitInfo_RLimit_RLMT_NOFILE, uint64(10), uint64(20)
	for problem, limit := range map[string]*mesos.RLimitInfo_RLimit{
		"must be given both or not at all": {Type: &kind, Soft: &low},
		"must be given both":               {Type: &kind, Hard: &high},
		"soft limit above hard limit":      {Type: &kind, Soft: &high, Hard: &low},
	} {
		s := withImage(w.spec("half", "true"))
		s.Container.RlimitInfo = &mesos.RLimitInfo{Rlimits: []*mesos.RLimitInfo_RLimit{limit}}
		if _, err := w.Launch(w.ctx, s); err == nil || !strings.Contains(err.Error(), "RLIMIT_NOFILE: ") || !strings.Contains(err.Error(), problem) {
			t.Errorf("%v: got %v, want %q", limit, err, problem)
		}
	}
}
