package linux_test

import (
	"os"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/userns"
	mesos "agora.dev/agora/api/mesos/v1"
)

func sysctls(s containerizer.Spec, settings ...string) containerizer.Spec {
	key := "sysctl"
	s = parameters(s, key, settings[0])
	for _, more := range settings[1:] {
		s.Container.Docker.Parameters = append(s.Container.Docker.Parameters, &mesos.Parameter{Key: &key, Value: &more})
	}
	return s
}

const showSysctls = `cat /proc/sys/net/core/somaxconn /proc/sys/kernel/msgmax /proc/sys/fs/mqueue/msg_max`

func TestKernelParametersAreTheContainersAlone(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		before := machineSysctls(t)
		given := []string{"net.core.somaxconn=77", "kernel.msgmax=4097", "fs.mqueue.msg_max=11"}
		first := on(sysctls(w.spec("given", showSysctls), given...), 18084)
		first.Container.Docker.Network = mesos.ContainerInfo_DockerInfo_USER.Enum()
		w.expectAll(first, "77\n4097\n11\n")
		w.reopen(withUsers(t, 4, userns.Always))
		users := on(sysctls(w.spec("users", showSysctls), given...), 18085)
		users.Container.Docker.Network = mesos.ContainerInfo_DockerInfo_USER.Enum()
		w.expectAll(users, "77\n4097\n11\n")
		if after := machineSysctls(t); after != before {
			t.Errorf("the machine has %q, had %q", after, before)
		}
	})
}

// machineSysctls are the values that the containers change in their own namespaces.
func machineSysctls(t *testing.T) (out string) {
	t.Helper()
	for _, name := range []string{"net/core/somaxconn", "kernel/msgmax", "fs/mqueue/msg_max"} {
		b, err := os.ReadFile("/proc/sys/" + name)
		if err != nil {
			t.Skipf("SKIP: %v", err)
		}
		out += string(b)
	}
	return out
}

func TestKernelParametersOfOthersAreRefused(t *testing.T) {
	w := newWorld(t)
	pod := w.spec("pod", "")
	pod.Command = nil
	w.mustLaunch(pod)
	for id, c := range map[string]struct{ setting, want string }{
		"host-net":   {"net.core.somaxconn=77", "docker parameter sysctl=net.core.somaxconn=77: net.core.somaxconn is shared with the pod or the machine; give the container a network of its own"},
		"pod.ipc":    {"kernel.sem=1 2 3 4", "kernel.sem is shared with the pod or the agent; ask for ipc_mode PRIVATE"},
		"machine":    {"kernel.panic=1", "kernel.panic is the whole machine's; parameters of containers are net.*"},
		"upwards":    {"kernel.shmmax/../panic=1", `"kernel.shmmax/../panic" is no name`},
		"dots":       {"net...kernel.panic=1", `"net...kernel.panic" is no name`},
		"valueless":  {"kernel.sem", "give it as NAME=VALUE"},
		"empty":      {"kernel.sem=", "give it as NAME=VALUE"},
		"lines":      {"kernel.sem=1\n2", "give it as NAME=VALUE"},
		"no-setting": {"kernel.msgmax=many", "write /proc/sys/kernel/msgmax: invalid argument"},
	} {
		if _, err := w.Launch(w.ctx, sysctls(w.spec(id, "true"), c.setting)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", id, err, c.want)
		}
	}
}
