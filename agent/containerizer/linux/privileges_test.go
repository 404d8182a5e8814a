package linux_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/capabilities"
	"agora.dev/agora/agent/isolators/seccomp"
	mesos "agora.dev/agora/api/mesos/v1"
)

// as gives a container what is special about Linux.
func as(s containerizer.Spec, info *mesos.LinuxInfo) containerizer.Spec {
	if s.Container == nil {
		kind := mesos.ContainerInfo_MESOS
		s.Container = &mesos.ContainerInfo{Type: &kind}
	}
	s.Container.LinuxInfo = info
	return s
}

func capable(of ...mesos.CapabilityInfo_Capability) *mesos.CapabilityInfo {
	return &mesos.CapabilityInfo{Capabilities: of}
}

func (w *wired) refused(s containerizer.Spec, want string) {
	w.t.Helper()
	if _, err := w.Launch(w.ctx, s); err == nil || !strings.Contains(err.Error(), want) {
		w.t.Errorf("%s: got %v, want %q", s.ID, err, want)
	}
}

const showSets = `sed -n 's/^Cap...:.00000000//p' /proc/self/status | tr '\n' ' '`

func TestCapabilitiesOfOperatorAndTask(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.expect(withImage(w.spec("default", showSets)), "00000000 a00405fb a00405fb a00405fb 00000000 ")
		asks := as(withImage(w.spec("asks", showSets)), &mesos.LinuxInfo{EffectiveCapabilities: capable(mesos.CapabilityInfo_NET_RAW)})
		asks.User = "nobody"
		w.expect(asks, "00002000 00002000 00002000 00002000 00002000 ")
		// Root has no more than the effective set, though its bounding set is wider.
		w.expect(as(w.spec("narrow", showSets), &mesos.LinuxInfo{EffectiveCapabilities: capable(mesos.CapabilityInfo_CHOWN),
			BoundingCapabilities: capable(mesos.CapabilityInfo_CHOWN, mesos.CapabilityInfo_KILL)}), "00000001 00000001 00000001 00000021 00000001 ")
		w.reopen(func(c *linux.Config) {
			c.Isolation.Capabilities = capabilities.Policy{Effective: []string{"CAP_KILL"}, Bounding: []string{"CAP_CHOWN", "CAP_KILL"}}
		})
		w.expect(withImage(w.spec("operator", showSets)), "00000020 00000020 00000020 00000020 00000020 ")
		w.refused(as(withImage(w.spec("beyond", "true")), &mesos.LinuxInfo{EffectiveCapabilities: capable(mesos.CapabilityInfo_SYS_ADMIN)}),
			"Requested capabilities '{ SYS_ADMIN }', but only '{ CHOWN, KILL }' are allowed")
	})
}

func TestSeccompOfOperatorAndTask(t *testing.T) {
	dir := t.TempDir()
	for name, call := range map[string]string{"operator.json": "mkdir", "task.json": "rmdir"} {
		profile := `{"defaultAction":"SCMP_ACT_ALLOW","syscalls":[{"names":["` + call + `"],"action":"SCMP_ACT_ERRNO","errnoRet":13}]}`
		if err := os.WriteFile(filepath.Join(dir, name), []byte(profile), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	eachLauncher(t, func(t *testing.T, w *wired) {
		const script = `mkdir /made 2>/dev/null && echo made; mkdir -p /tmp/x/y 2>/dev/null; rmdir /made /made/none 2>/dev/null; test -d /made && echo kept; grep Seccomp: /proc/self/status`
		w.reopen(func(c *linux.Config) { c.Isolation.Seccomp = seccomp.Profiles{Dir: dir, Default: "operator.json"} })
		w.expect(withImage(w.spec("operator", script)), "Seccomp:\t2\n")
		profile, unconfined := "task.json", true
		w.expect(as(withImage(w.spec("task", script)), &mesos.LinuxInfo{Seccomp: &mesos.SeccompInfo{ProfileName: &profile}}), "made\nkept\nSeccomp:\t2\n")
		w.expect(as(withImage(w.spec("unconfined", script)), &mesos.LinuxInfo{Seccomp: &mesos.SeccompInfo{Unconfined: &unconfined}}), "made\nSeccomp:\t0\n")
		w.refused(as(withImage(w.spec("neither", "true")), &mesos.LinuxInfo{Seccomp: &mesos.SeccompInfo{}}), "Missing Seccomp profile name")
	})
}
