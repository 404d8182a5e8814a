package launchertest

import (
	"debug/elf"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"agora.dev/agora/agent/launcher"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// How many checks the probe must have made.
const (
	leastChecks  = 80
	leastDevices = 33
)

// Names of the probe's facts about the host, in its environment.
const (
	probeMark     = "AGORA_PROBE"
	probePID      = "AGORA_PROBE_PID"
	probeOutside  = "AGORA_PROBE_OUTSIDE"
	probeSpaces   = "AGORA_PROBE_NAMESPACE_"
	probeDevices  = "AGORA_PROBE_DEVICES"
	probeProgram  = "/probe"
	probeFinished = "checks: "
)

// walled are the namespaces that a container has for itself.
var walled = []string{"mnt", "pid", "ipc", "uts", "cgroup"}

// Main runs a package's tests; in the container of the probe, which is the same program,
// it makes the probe instead. A package that calls Run has it as its TestMain.
func Main(m *testing.M) int {
	if os.Getenv(probeMark) != "" {
		newProbe().run()
		return 0
	}
	return m.Run()
}

// probing runs this very program in a container with the default profile, where it tries
// to get out.
func probing(r *Rig) {
	self, err := os.Executable()
	if err != nil {
		r.T.Fatal(err)
	}
	if dynamic(r, self) {
		r.T.Skip("SKIP: this program needs libraries, which the container has not; use CGO_ENABLED=0")
	}
	secret := filepath.Join(r.Scratch, "of-another-container")
	if err := os.WriteFile(secret, []byte("secret"), 0o644); err != nil {
		r.T.Fatal(err)
	}
	request := r.Request("probe", "")
	p := request.Spec.Process
	p.Args = []string{probeProgram}
	p.Env = append(p.Env, probeMark+"=1", probePID+"="+fmt.Sprint(os.Getpid()), probeOutside+"="+secret)
	for _, kind := range walled {
		host, err := os.Readlink("/proc/thread-self/ns/" + kind)
		if err != nil {
			r.T.Fatal(err)
		}
		p.Env = append(p.Env, probeSpaces+kind+"="+host)
	}
	if r.users {
		host, err := os.Readlink("/proc/thread-self/ns/user")
		if err != nil {
			r.T.Fatal(err)
		}
		p.Env = append(p.Env, probeSpaces+"user="+host, probeUsers+"="+fmt.Sprint(firstOf(request)))
	}
	request.Spec.Mounts = append(request.Spec.Mounts, bound(self, probeProgram))
	r.probe(request, leastChecks)

	if r.users {
		return // nobody makes device nodes in a user namespace
	}
	// Once more with the capability to make device nodes, which nobody has by default.
	nodes := r.Request("probe-devices", "")
	p = nodes.Spec.Process
	p.Args, p.Env = []string{probeProgram}, append(p.Env, probeMark+"=1", probeDevices+"=1")
	for _, set := range []*[]string{&p.Capabilities.Bounding, &p.Capabilities.Effective, &p.Capabilities.Permitted} {
		*set = append(*set, "CAP_MKNOD")
	}
	nodes.Spec.Mounts = append(nodes.Spec.Mounts, bound(self, probeProgram))
	r.probe(nodes, leastDevices)
}

// probe runs a container of the probe; each line that it writes is a finding.
func (r *Rig) probe(request launcher.Request, least int) {
	r.T.Helper()
	exit, out := r.Run(request)
	made := 0
	for line := range strings.Lines(out) {
		if count, ok := strings.CutPrefix(line, probeFinished); ok {
			if _, err := fmt.Sscan(count, &made); err != nil {
				r.T.Errorf("probe: %q: %v", line, err)
			}
			continue
		}
		r.T.Errorf("probe: %s", strings.TrimSpace(line))
	}
	r.T.Logf("%d checks", made)
	if made < least || code(exit) != 0 {
		r.T.Errorf("%d checks, want at least %d; the probe ended with %+v", made, least, exit)
	}
}

// dynamic reports whether a program needs an interpreter.
func dynamic(r *Rig, file string) bool {
	r.T.Helper()
	f, err := elf.Open(file)
	if err != nil {
		r.T.Fatal(err)
	}
	defer f.Close()
	return slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP })
}

func bound(source, at string) specs.Mount {
	return specs.Mount{Destination: at, Source: source, Type: "bind", Options: []string{"bind", "ro", "nosuid", "nodev"}}
}
