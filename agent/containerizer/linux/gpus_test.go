package linux_test

import (
	"context"
	"fmt"
	"path/filepath"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/gpu"
	"agora.dev/agora/agent/isolators/gpu/gputest"
	"agora.dev/agora/agent/isolators/isolation"
	mesos "agora.dev/agora/api/mesos/v1"
)

// useGPUs opens the three GPUs of the machine and what controls them, by nodes in a
// directory. Nothing is behind them, so what is not refused is opened as far as can be.
func useGPUs(dir string) string {
	return `for n in 0 1 2 ctl -uvm; do if [ ! -c ` + dir + `/nvidia$n ]; then echo none; elif (: < ` + dir + `/nvidia$n) 2>&1 | grep -q 'not permitted'; then echo refused; else echo opened; fi; done | tr '\n' ' '`
}

// labelled is an image that asks for the driver's files.
type labelled struct{ busybox }

func (l labelled) Provision(ctx context.Context, image *mesos.Image) (linux.RootFS, error) {
	root, err := l.busybox.Provision(ctx, image)
	root.Config.Labels = map[string]string{gpu.VolumeLabel: gpu.VolumeName}
	return root, err
}

// withGPUs starts the containerizer again on a machine with three GPUs. The first in the
// order of the bus is /dev/nvidia2.
func (w *wired) withGPUs(t *testing.T, change func(*linux.Config)) {
	h, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	on, err := isolation.Parse("cgroups/cpu,cgroups/mem,gpu/nvidia", h)
	if err != nil {
		t.Fatal(err)
	}
	driver, err := gpu.Find(gputest.Machine(t, 3))
	if err != nil {
		t.Fatal(err)
	}
	w.reopen(func(c *linux.Config) {
		c.Isolation.On, c.Isolation.GPUs = on, gpu.Supply{Driver: driver, Pool: gpu.NewPool([]int{0, 1, 2})}
		if change != nil {
			change(c)
		}
	})
}

func needs(s containerizer.Spec, gpus float64) containerizer.Spec {
	s.Resources = append(s.Resources, resource("gpus", gpus))
	return s
}

func TestWholeGPUsBelongToOneContainer(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.withGPUs(t, nil)
		w.expect(withImage(w.spec("without", useGPUs("/dev"))), "none none none none none ")
		w.expect(needs(withImage(w.spec("one", useGPUs("/dev"))), 1), "none none opened opened opened ")
		w.expect(needs(withImage(w.spec("all", useGPUs("/dev"))), 3), "opened opened opened opened opened ")
		w.refused(needs(withImage(w.spec("part", "true")), 0.5), "must be an unsigned integer")
		w.refused(needs(withImage(w.spec("many", "true")), 4), "requested 4 gpus but only 3 available")
		w.launch(needs(withImage(w.spec("holds", "sleep 1000")), 2))
		w.refused(needs(withImage(w.spec("two", "true")), 2), "requested 2 gpus but only 1 available")
		// They are its own across a restart of the agent, and free when it has ended.
		w.known = []containerizer.ID{"holds"}
		w.kill()
		w.open()
		w.refused(needs(withImage(w.spec("again", "true")), 2), "requested 2 gpus but only 1 available")
		w.expect(needs(withImage(w.spec("last", useGPUs("/dev"))), 1), "opened none none opened opened ")
		w.end("holds")
		w.expect(needs(withImage(w.spec("after", useGPUs("/dev"))), 3), "opened opened opened opened opened ")
	})
}

func TestGPUsFollowTheResourcesOfARunningContainer(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.withGPUs(t, nil)
		s := w.spec("grows", "sleep 1000")
		for name, minor := range map[string]uint32{"nvidia0": 0, "nvidia1": 1, "nvidia2": 2, "nvidiactl": 255} {
			gputest.Node(t, s.Sandbox, name, gputest.MajorGPU, minor)
		}
		gputest.Node(t, s.Sandbox, "nvidia-uvm", gputest.MajorUVM, 0)
		w.launch(s)
		for i, c := range []struct {
			gpus float64
			want string
		}{
			{0, "refused refused refused refused refused "}, {1, "refused refused opened opened opened "}, {3, "opened opened opened opened opened "},
			{2, "refused opened opened opened opened "}, {0, "refused refused refused refused refused "},
		} {
			if err := w.Update(w.ctx, "grows", append(w.spec("grows", "").Resources, resource("gpus", c.gpus)), nil); err != nil {
				t.Fatal(err)
			}
			if got := w.session(fmt.Sprintf("grows.look%d", i), useGPUs(filepath.Join(s.Sandbox, "dev"))); got != c.want {
				t.Errorf("with %g: got %q, want %q", c.gpus, got, c.want)
			}
		}
		if err := w.Update(w.ctx, "grows", []*mesos.Resource{resource("gpus", 4)}, nil); err == nil {
			t.Error("more GPUs than there are")
		}
	})
}

func TestTasksOfAPodHaveGPUsOfTheirOwn(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.withGPUs(t, nil)
		w.pod("pod")
		for _, share := range []bool{true, false} {
			first := needs(withImage(w.spec(fmt.Sprint("pod.first-", share), "sleep 1000")), 1)
			first.ShareCgroups = share
			w.launch(first)
			second := needs(withImage(w.spec(fmt.Sprint("pod.second-", share), useGPUs("/dev"))), 1)
			if got, want := w.nestedOutput(second, share), "none opened none opened opened "; got != want {
				t.Errorf("shared groups %v: got %q, want %q", share, got, want)
			}
			w.refused(needs(withImage(w.spec(fmt.Sprint("pod.third-", share), "true")), 3), "gpus but only")
			w.end(first.ID)
			// The pod keeps what it had until its resources shrink.
			w.refused(needs(withImage(w.spec(fmt.Sprint("other-", share), "true")), 3), "gpus but only")
			if err := w.Update(w.ctx, "pod", w.spec("pod", "").Resources, nil); err != nil {
				t.Fatal(err)
			}
			w.expect(needs(withImage(w.spec(fmt.Sprint("all-", share), useGPUs("/dev"))), 3), "opened opened opened opened opened ")
		}
	})
}

func TestImagesThatAskHaveTheFilesOfTheDriver(t *testing.T) {
	const show = `cat /usr/local/nvidia/lib64/libcuda.so.1; echo; /usr/local/nvidia/bin/nvidia-smi; (: > /usr/local/nvidia/bin/nvidia-smi) 2>/dev/null || echo kept`
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.withGPUs(t, func(c *linux.Config) { c.Images = labelled{w.image} })
		w.expect(needs(withImage(w.spec("asks", show)), 1), "content of libcuda.so.1\nsmi\nkept\n")
		w.withGPUs(t, nil)
		w.expect(needs(withImage(w.spec("does-not", "ls /usr/local 2>/dev/null | wc -l")), 1), "0\n")
	})
}
