package launchertest

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/launcher"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// say runs a script and compares what it wrote.
func say(r *Rig, id, script, want string, change ...func(*launcher.Request)) {
	r.T.Helper()
	request := r.Request(id, script)
	for _, c := range change {
		c(&request)
	}
	if exit, out := r.Run(request); strings.TrimSpace(out) != strings.TrimSpace(want) {
		r.T.Errorf("%s: %q wrote %q (%+v), want %q", id, script, out, exit, want)
	}
}

func walls(r *Rig) {
	say(r, "files", `ls /proc/self/fd | wc -l`, "4") // the fourth is that of ls itself
	say(r, "caps", `grep -E 'Cap(Inh|Prm|Eff|Bnd|Amb)' /proc/self/status`, capsWanted)
	say(r, "nnp", `grep -E 'NoNewPrivs|Seccomp:' /proc/self/status`, "NoNewPrivs:\t1\nSeccomp:\t2")
	say(r, "unshare", `unshare -m true 2>/dev/null; echo $?`, "1")
	say(r, "mount", `mount -t tmpfs x /tmp 2>/dev/null && echo mounted || echo refused`, "refused")
	say(r, "masked", `cat /proc/kcore /proc/keys 2>/dev/null | wc -c; ls /sys/firmware | wc -l; ls /proc/scsi 2>/dev/null | wc -l`, "0\n0\n0")
	say(r, "readonly", `echo 1 2>/dev/null > /proc/sys/kernel/panic && echo written || echo refused`, "refused")
	say(r, "sysfs", `touch /sys/x 2>/dev/null || echo refused`, "refused")
	say(r, "init", `readlink /proc/1/exe 2>/dev/null || echo hidden; echo x 2>/dev/null >> /proc/1/fd/5 || echo hidden`, "hidden\nhidden")
	say(r, "pids", `set -- /proc/[0-9]*; echo $#`, "2") // runtimes use up numbers
	say(r, "devices", `ls /dev | grep -v '^core$'`, devicesWanted)
	say(r, "null", `echo x > /dev/null && head -c 3 /dev/zero | wc -c`, "3")
	say(r, "disk", `cat /dev/vda 2>/dev/null || echo none`, "none")
	say(r, "env", `echo "$A" "$HOME"`, "b c /", func(q *launcher.Request) { q.Spec.Process.Env = append(q.Spec.Process.Env, "A=b c", "HOME=/") })
	say(r, "cwd", `pwd`, "/made/here", func(q *launcher.Request) { q.Spec.Process.Cwd = "/made/here" })
	say(r, "user", `id; touch /root/x 2>/dev/null || echo refused`, "uid=1234 gid=55 groups=55,66\nrefused", func(q *launcher.Request) {
		q.Spec.Process.User = specs.User{UID: 1234, GID: 55, AdditionalGids: []uint32{55, 66}}
		q.Spec.Process.Capabilities.Effective, q.Spec.Process.Capabilities.Permitted = nil, nil
	})
	say(r, "hostname", `hostname`, "boxed", func(q *launcher.Request) { q.Spec.Hostname = "boxed" })
	say(r, "rlimit", `ulimit -n`, "77", func(q *launcher.Request) {
		q.Spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 77, Hard: 77}}
	})
	say(r, "haste", `cat /proc/self/autogroup 2>/dev/null | grep -c nice.-`, "0") // what the launcher may have
	say(r, "rootro", `touch /x 2>/dev/null || echo refused`, "refused", func(q *launcher.Request) { q.Spec.Root.Readonly = true })
}

const capsWanted = "CapInh:\t0000000000000000\nCapPrm:\t00000000a00405fb\nCapEff:\t00000000a00405fb\nCapBnd:\t00000000a00405fb\nCapAmb:\t0000000000000000"

const devicesWanted = "fd\nfull\nmqueue\nnull\nptmx\npts\nrandom\nshm\nstderr\nstdin\nstdout\ntty\nurandom\nzero"

// terminal needs the launcher to keep the other end, and to lose nothing of it.
func terminal(r *Rig) {
	request := r.Request("tty", `test -t 0 && test -t 1 && echo terminal; seq 1 200; echo last`)
	request.Spec.Process.Terminal = true
	if _, err := r.Start(r.Context(), request); err != nil {
		r.T.Fatal(err)
	}
	if exit, err := r.Wait(r.Context(), "tty"); err != nil || code(exit) != 0 {
		r.T.Errorf("got %+v, %v", exit, err)
	}
	if out := r.Output(request); !strings.HasPrefix(out, "terminal") || !strings.Contains(out, "last") {
		r.T.Errorf("output %q", out)
	}
}

func missingCommand(r *Rig) {
	request := r.Request("missing", "")
	request.Spec.Process.Args = []string{"/no/such/program"}
	_, err := r.Start(r.Context(), request)
	if err == nil || !strings.Contains(err.Error(), "/no/such/program") || !strings.Contains(err.Error(), "no such file") {
		r.T.Errorf("got %v", err)
	}
	if list, _ := r.List(r.Context()); len(list) != 0 {
		r.T.Errorf("the failed start left %+v", list)
	}
}

func memoryLimit(r *Rig) {
	limit := int64(32 << 20)
	request := r.Request("greedy", `dd if=/dev/zero of=/dev/null bs=100M count=1`)
	request.Spec.Linux.Resources.Memory = &specs.LinuxMemory{Limit: &limit}
	neighbour := r.Request("modest", `trap 'exit 0' TERM; echo up; while true; do sleep 0.01; done`)
	if _, err := r.Start(r.Context(), neighbour); err != nil {
		r.T.Fatal(err)
	}
	exit, out := r.Run(request)
	if !exit.OOM || exit.Limit != uint64(limit) || exit.Peak == 0 || exit.Status == 0 {
		r.T.Errorf("got %+v, output %q; want an OOM at %d", exit, out, limit)
	}
	if list, _ := r.List(r.Context()); !slices.ContainsFunc(list, func(c launcher.Container) bool { return c.ID == "modest" && c.Exit == nil }) {
		r.T.Errorf("the neighbour has ended: %+v", list)
	}
}

func limitsAreWritten(r *Rig) {
	quota, period, pids := int64(25000), uint64(100000), int64(20)
	request := r.Request("limited", `echo up; sleep 1000`)
	request.Spec.Linux.Resources.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	request.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
	if _, err := r.Start(r.Context(), request); err != nil {
		r.T.Fatal(err)
	}
	h, err := cgroups.Detect()
	if err != nil {
		r.T.Fatal(err)
	}
	group := h.At(request.Spec.Linux.CgroupsPath)
	file := func(controller, name string) string {
		if h.V2 {
			controller = ""
		}
		b, _ := os.ReadFile(group.Paths[controller] + "/" + name)
		return strings.TrimSpace(string(b))
	}
	if got := file("pids", "pids.max"); got != "20" && got != "21" {
		r.T.Errorf("pids.max %q", got)
	}
	if v1, v2 := file("cpu", "cpu.cfs_quota_us"), file("cpu", "cpu.max"); v1 != "25000" && v2 != "25000 100000" {
		r.T.Errorf("quota %q, cpu.max %q", v1, v2)
	}
}

func pidsLimit(r *Rig) {
	pids := int64(8)
	request := r.Request("bomb", `for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 100 & done; echo all`)
	request.Spec.Linux.Resources.Pids = &specs.LinuxPids{Limit: &pids}
	if _, out := r.Run(request); !strings.Contains(out, "can't fork") || strings.HasPrefix(out, "all") {
		r.T.Errorf("output %q, want a refused fork", out)
	}
}

// manyAtOnce also holds invariant 9: nothing is left.
func manyAtOnce(r *Rig) {
	const count = 100
	files := openFiles()
	var group sync.WaitGroup
	for i := range count {
		request := r.Request(fmt.Sprintf("many%d", i), fmt.Sprintf("exit %d", i))
		group.Go(func() {
			// Each step has its own bound: runtimes take turns.
			if _, err := r.Start(r.Context(), request); err != nil {
				r.T.Error(err)
				return
			}
			if exit, err := r.Wait(r.Context(), request.ID); err != nil || code(exit) != i {
				r.T.Errorf("%s: %+v, %v", request.ID, exit, err)
			}
			if err := r.Remove(r.Context(), request.ID); err != nil {
				r.T.Error(err)
			}
		})
	}
	group.Wait()
	if list, _ := r.List(r.Context()); len(list) != 0 {
		r.T.Errorf("%d containers were left", len(list))
	}
	if now := openFiles(); now > files+20 { // idle connections of a remote launcher
		r.T.Errorf("%d descriptors were open, now %d", files, now)
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(mounts), r.Scratch) {
		r.T.Error("a mount was left on the host")
	}
}

func openFiles() int {
	entries, _ := os.ReadDir("/proc/self/fd")
	return len(entries)
}

// targetLinks holds the class of CVE-2021-30465: a link in the image at a mount's
// destination must not lead out.
func targetLinks(r *Rig) {
	victim := r.T.TempDir()
	request := r.Request("links", `ls /out; mount | grep -c /out`)
	for name, to := range map[string]string{"out": victim, "dev": victim} {
		if err := os.Symlink(to, request.Overlay.Upper+"/"+name); err != nil {
			r.T.Fatal(err)
		}
	}
	request.Spec.Mounts = append(request.Spec.Mounts, specs.Mount{Destination: "/out/in", Type: "tmpfs", Source: "tmpfs"})
	_, err := r.Start(r.Context(), request)
	if entries, _ := os.ReadDir(victim); len(entries) != 0 {
		r.T.Errorf("the host was written to: %v (start: %v)", entries, err)
	}
}
