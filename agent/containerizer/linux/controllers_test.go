package linux_test

import (
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/launcher/oci"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// withIsolators has those isolators work, and no other.
func withIsolators(t *testing.T, names string) func(*linux.Config) {
	return func(c *linux.Config) {
		h, err := cgroups.Detect()
		if err != nil {
			t.Fatal(err)
		}
		if c.Isolation.On, err = isolation.Parse(names, h); err != nil {
			t.Fatal(err)
		}
	}
}

// leaf is where the processes of a container's group are.
func leaf(id string) string {
	if h, _ := cgroups.Detect(); h.V2 {
		return filepath.Join(id, "leaf")
	}
	return id
}

// The hierarchies that are seldom mounted, with the runtimes that one may install.
func TestRuntimesKeepToTheControllers(t *testing.T) {
	for _, runtime := range []string{"runc", "crun"} {
		for _, controller := range []string{"net_cls", "perf_event", "hugetlb"} {
			t.Run(runtime+"-"+controller, func(t *testing.T) {
				if _, err := exec.LookPath(runtime); err != nil {
					t.Skipf("%s is missing; run test/deps.sh as root", runtime)
				}
				if !needController(t, controller) {
					return
				}
				w := newWorld(t, withClasses(t), func(c *linux.Config) {
					l, err := oci.New(oci.Config{Dir: filepath.Join(t.TempDir(), "launcher"), Runtime: runtime})
					if err != nil {
						t.Fatal(err)
					}
					t.Cleanup(func() { l.Close() })
					c.Launcher = l
					c.Isolation.On[isolation.NetCls] = controller == "net_cls"
				})
				s := w.spec("held", "exec sleep 1000")
				pid, err := w.Launch(w.ctx, s)
				if err != nil {
					t.Fatal(err)
				}
				if held := strings.Fields(w.file(leaf("held"), controller, "cgroup.procs")); !slices.Contains(held, strconv.Itoa(pid)) {
					t.Errorf("%s holds %v, want %d", controller, held, pid)
				}
				if want := uint32(0x00120001); controller == "net_cls" && w.class("held") != want {
					t.Errorf("class %#x, want %#x", w.class("held"), want)
				}
			})
		}
	}
}

func TestEachControllerHoldsTheContainer(t *testing.T) {
	for _, c := range []struct{ isolator, controller, v1, v2 string }{
		{"cgroups/cpuset", "cpuset", "cpuset.cpus", "cpuset.cpus.effective"},
		{"cgroups/hugetlb", "hugetlb", "hugetlb.2MB.usage_in_bytes", "hugetlb.2MB.current"},
		{"cgroups/net_prio", "net_prio", "net_prio.prioidx", ""},
		{"cgroups/blkio", "blkio", "blkio.throttle.io_serviced", "io.stat"},
		{"cgroups/pids", "pids", "pids.current", "pids.current"},
	} {
		t.Run(c.controller, func(t *testing.T) {
			if !needController(t, c.controller) {
				return
			}
			w := newWorld(t, withIsolators(t, "cgroups/cpu,cgroups/mem,"+c.isolator))
			s := w.spec("held", "exec sleep 1000")
			pid, err := w.Launch(w.ctx, s)
			if err != nil {
				t.Fatal(err)
			}
			if held := strings.Fields(w.file(leaf("held"), c.controller, "cgroup.procs")); !slices.Contains(held, strconv.Itoa(pid)) {
				t.Errorf("%s holds %v, want %d", c.controller, held, pid)
			}
			_ = w.either("held", c.controller, c.v1, c.v2) // fails where it is missing
		})
	}
}

// What an operator gives the agents of a machine is what their containers have.
func TestContainersHaveTheProcessorsOfTheirParent(t *testing.T) {
	if !needController(t, "cpuset") {
		return
	}
	h, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, withIsolators(t, "cgroups/cpu,cgroups/cpuset"))
	agents, err := h.Create(w.group)
	if err != nil {
		t.Fatal(err)
	}
	if err := agents.Set(&specs.LinuxResources{CPU: &specs.LinuxCPU{Cpus: "0", Mems: "0"}}); err != nil {
		t.Fatal(err)
	}
	pod := w.spec("pod", "")
	pod.Command = nil
	w.launch(pod)
	const look = "grep -E '^(Cpus|Mems)_allowed_list' /proc/self/status | tr -d '\\t\\n'"
	for _, share := range []bool{true, false} {
		nested := w.spec(map[bool]string{true: "pod.shared", false: "pod.own"}[share], look)
		nested.ShareCgroups = share
		if _, got := w.run(nested); got != "Cpus_allowed_list:0Mems_allowed_list:0" {
			t.Errorf("%s: got %q", nested.ID, got)
		}
	}
	for _, path := range []string{"pod", "pod/own"} {
		if got := w.either(path, "cpuset", "cpuset.cpus", "cpuset.cpus.effective"); got != "0" {
			t.Errorf("group %s has the processors %s", path, got)
		}
	}
}
