package native_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"agora.dev/agora/agent/launcher/launchertest"
)

// BenchmarkStart measures a container from the request to its end: clone, overlay,
// mounts, masks, cgroups, capabilities, filter, exec of busybox, exit record.
func BenchmarkStart(b *testing.B) { start(b, launchertest.NewRig(b, open)) }

// BenchmarkStartInUserNamespace measures the same with a user namespace of its own.
func BenchmarkStartInUserNamespace(b *testing.B) { start(b, launchertest.NewUserRig(b, open)) }

func start(b *testing.B, r *launchertest.Rig) {
	ctx := context.Background()
	var started time.Duration
	n := 0
	for b.Loop() {
		n++
		b.StopTimer()
		request := r.Request(fmt.Sprintf("b%d", n), "true")
		request.Spec.Process.Args = []string{"/bin/true"}
		b.StartTimer()
		at := time.Now()
		if _, err := r.Start(ctx, request); err != nil {
			b.Fatal(err)
		}
		started += time.Since(at)
		if _, err := r.Wait(ctx, request.ID); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := r.Remove(ctx, request.ID); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	b.ReportMetric(float64(started.Microseconds())/float64(n), "µs/start")
}

// BenchmarkThousand starts and destroys a thousand sleeping containers, and reports
// what an init of ours keeps in private memory.
func BenchmarkThousand(b *testing.B) {
	const count = 1000
	r := launchertest.NewRig(b, open)
	ctx := context.Background()
	for b.Loop() {
		at := time.Now()
		pids := make([]int, count)
		each(count, func(i int) {
			request := r.Request(fmt.Sprintf("t%d", i), "")
			request.Spec.Process.Args = []string{"/bin/sleep", "1000"}
			limit, quota, period := int64(64<<20), int64(10000), uint64(100000)
			request.Spec.Linux.Resources.Memory = memory(limit)
			request.Spec.Linux.Resources.CPU = cpu(quota, period)
			var err error
			if pids[i], err = r.Start(ctx, request); err != nil {
				b.Error(err)
			}
		})
		b.ReportMetric(time.Since(at).Seconds(), "s/launched")
		b.ReportMetric(float64(private(pids[count/2])), "KiB-private/init")
		at = time.Now()
		each(count, func(i int) {
			id := fmt.Sprintf("t%d", i)
			if err := r.Destroy(ctx, id); err != nil {
				b.Error(err)
			}
			if err := r.Remove(ctx, id); err != nil {
				b.Error(err)
			}
		})
		b.ReportMetric(time.Since(at).Seconds(), "s/destroyed")
	}
}

func each(count int, do func(int)) {
	var group sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i := range count {
		slots <- struct{}{}
		group.Go(func() {
			do(i)
			<-slots
		})
	}
	group.Wait()
}

// private returns the private KiB of a process.
func private(pid int) (kib int) {
	data, _ := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	for line := range strings.Lines(string(data)) {
		if strings.HasPrefix(line, "Private_") {
			var n int
			fmt.Sscan(strings.Fields(line)[1], &n)
			kib += n
		}
	}
	return kib
}
