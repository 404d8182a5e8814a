package docker

import (
	"strings"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/gpu"
	"agora.dev/agora/agent/isolators/gpu/gputest"
	mesos "agora.dev/agora/api/mesos/v1"
)

// onMachine gives the rig's agent three GPUs; the first in the order of the bus is /dev/nvidia2.
func (r *rig) onMachine() *gpu.Driver {
	driver, err := gpu.Find(gputest.Machine(r.t, 3))
	if err != nil {
		r.t.Fatal(err)
	}
	r.c.Close()
	r.config.GPUs = gpu.Supply{Driver: driver, Pool: gpu.NewPool([]int{0, 1, 2})}
	r.open()
	return driver
}

func (r *rig) needs(id containerizer.ID, gpus float64, script string) containerizer.Spec {
	spec := r.spec(id, script)
	spec.Resources = []*mesos.Resource{scalarOf("cpus", 0.1), scalarOf("mem", 32), scalarOf("gpus", gpus)}
	return spec
}

func (r *rig) refused(spec containerizer.Spec, want string) {
	r.t.Helper()
	if _, err := r.c.Launch(r.ctx, spec); err == nil || !strings.Contains(err.Error(), want) {
		r.t.Errorf("launch of %s: %v, want %q", spec.ID, err, want)
	}
}

// useGPUs opens the three GPUs and what controls them. Nothing is behind the nodes.
const useGPUs = `for n in 0 1 2 ctl -uvm; do if [ ! -c /dev/nvidia$n ]; then echo none; elif (: < /dev/nvidia$n) 2>&1 | grep -q 'not permitted'; then echo refused; else echo opened; fi; done | tr '\n' ' '`

// gpusHaveOneOwner: whole GPUs are a container's own until it ends, across a restart of the agent, and
// for the agent's other containerizers too.
func gpusHaveOneOwner(r *rig) {
	r.refused(r.needs("none", 1, "true"), "this agent gives no GPUs: it needs gpu/nvidia in --isolation")
	driver := r.onMachine()
	for id, c := range map[containerizer.ID]struct {
		gpus float64
		want string
	}{"without": {0, "none none none none none "}, "one": {1, "none none opened opened opened "}, "all": {3, "opened opened opened opened opened "}} {
		r.launch(r.needs(id, c.gpus, useGPUs))
		if r.wait(id); r.output(id, "stdout") != c.want {
			r.t.Errorf("%s has %q, want %q; stderr %q", id, r.output(id, "stdout"), c.want, r.output(id, "stderr"))
		}
	}
	r.refused(r.needs("part", 0.5, "true"), "must be an unsigned integer")
	r.launch(r.needs("holds", 2, "sleep 1000"))
	r.refused(r.needs("two", 2, "true"), "requested 2 gpus but only 1 available")
	if err := r.c.Update(r.ctx, "holds", r.needs("holds", 3, "").Resources, nil); err == nil || !strings.Contains(err.Error(), "made with 2 gpus and cannot get 3") {
		r.t.Errorf("a third: %v", err)
	}
	if err := r.c.Update(r.ctx, "holds", r.needs("holds", 1, "").Resources, nil); err != nil {
		r.t.Error(err)
	}
	r.c.Close()
	r.config.GPUs = gpu.Supply{Driver: driver, Pool: gpu.NewPool([]int{0, 1, 2})} // the next agent's
	r.open("holds")
	if err := r.config.GPUs.Pool.Resize("others", 2); err == nil {
		r.t.Error("another containerizer gets GPUs that are in use")
	}
	r.refused(r.needs("again", 2, "true"), "requested 2 gpus but only 1 available")
	if err := r.c.Destroy(r.ctx, "holds"); err != nil {
		r.t.Fatal(err)
	}
	r.wait("holds")
	r.launch(r.needs("after", 3, useGPUs))
	if r.wait("after"); r.output("after", "stdout") != "opened opened opened opened opened " {
		r.t.Errorf("after the end of the holder: %q", r.output("after", "stdout"))
	}
}

// imagesAskForTheDriver: an image with NVIDIA's label finds the driver's files.
func imagesAskForTheDriver(r *rig) {
	r.onMachine()
	const show = `cat /usr/local/nvidia/lib64/libcuda.so.1; echo; /usr/local/nvidia/bin/nvidia-smi; (: > /usr/local/nvidia/bin/nvidia-smi) 2>/dev/null || echo kept`
	spec := r.needs("asks", 1, show)
	spec.Container.Docker.Image = ptr(r.engine.Labelled(r.t, map[string]string{gpu.VolumeLabel: gpu.VolumeName}))
	r.launch(spec)
	if r.wait("asks"); r.output("asks", "stdout") != "content of libcuda.so.1\nsmi\nkept\n" {
		r.t.Errorf("got %q, stderr %q", r.output("asks", "stdout"), r.output("asks", "stderr"))
	}
	r.launch(r.needs("does-not", 1, "ls /usr/local 2>/dev/null | wc -l"))
	if r.wait("does-not"); r.output("does-not", "stdout") != "0\n" {
		r.t.Errorf("got %q", r.output("does-not", "stdout"))
	}
}
