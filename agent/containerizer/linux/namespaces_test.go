package linux_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	mesos "agora.dev/agora/api/mesos/v1"
)

func ipc(mode mesos.LinuxInfo_IpcMode, megabytes ...uint32) *mesos.LinuxInfo {
	out := &mesos.LinuxInfo{IpcMode: &mode}
	if len(megabytes) > 0 {
		out.ShmSize = &megabytes[0]
	}
	return out
}

// hostNamespace is the name of one of ours.
func hostNamespace(t *testing.T, kind string) string {
	t.Helper()
	out, err := os.Readlink("/proc/thread-self/ns/" + kind)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

const (
	private = mesos.LinuxInfo_PRIVATE
	shared  = mesos.LinuxInfo_SHARE_PARENT
)

func TestSharedMemoryIsOwnOrTheParents(t *testing.T) {
	const size = `df -m /dev/shm | awk 'END{print $2}'`
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.expect(withImage(w.spec("default", size)), "64\n")
		w.expect(as(withImage(w.spec("sized", size)), ipc(private, 7)), "7\n")
		w.expect(as(w.spec("plain", size+`; echo x > /dev/shm/agora-`+filepath.Base(w.dir)), ipc(private, 5)), "5\n")
		if _, err := os.Stat("/dev/shm/agora-" + filepath.Base(w.dir)); err == nil {
			t.Error("a private /dev/shm is the host's")
		}
		w.expect(as(withImage(w.spec("agents", `readlink /proc/self/ns/ipc`)), ipc(shared)), hostNamespace(t, "ipc")+"\n")
		w.refused(as(w.spec("size", "true"), ipc(shared, 7)), "Only support specifying the size of /dev/shm when the IPC mode is `PRIVATE`")
		w.refused(as(w.spec("zero", "true"), ipc(private, 0)), "no size")
		w.refused(as(w.spec("unknown", "true"), ipc(mesos.LinuxInfo_UNKNOWN)), "Unknown IPC mode")
		w.reopen(func(c *linux.Config) { c.Isolation.DisallowSharingIPC, c.Isolation.ShmSize = true, 9<<20 })
		w.expect(withImage(w.spec("operators", size)), "9\n")
		w.expect(w.spec("own", size), "9\n")
		w.refused(as(withImage(w.spec("refused", "true")), ipc(shared)), "Sharing agent IPC namespace with top-level container is not allowed")
	})
}

func TestNestedContainersShareTheMemoryOfTheirPod(t *testing.T) {
	const show = `readlink /proc/self/ns/ipc; cat /dev/shm/word 2>/dev/null || echo none`
	eachLauncher(t, func(t *testing.T, w *wired) {
		pod := as(w.spec("pod", ""), ipc(private, 8))
		pod.Command = nil
		w.launch(pod)
		tell := as(withImage(w.spec("pod.tell", `echo told > /dev/shm/word; readlink /proc/self/ns/ipc`)), ipc(shared))
		code, namespace := w.run(tell)
		if code != 0 || namespace == hostNamespace(t, "ipc")+"\n" {
			t.Fatalf("code %d, namespace %q", code, namespace)
		}
		// A later agent still knows.
		w.known = []containerizer.ID{"pod"}
		w.kill()
		w.open()
		w.expect(as(withImage(w.spec("pod.image", show)), ipc(shared)), namespace+"told\n")
		w.expect(as(w.spec("pod.plain", show), ipc(shared)), namespace+"told\n")
		w.expect(withImage(w.spec("pod.unsaid", show)), namespace+"none\n")
		if code, out := w.run(as(withImage(w.spec("pod.own", show)), ipc(private, 3))); code != 0 || out == namespace+"none\n" {
			t.Errorf("code %d, output %q: not its own namespace", code, out)
		}
	})
}

func TestMemoryThatNobodyReachesIsNotShared(t *testing.T) {
	w := newWorld(t)
	w.launch(withImage(w.spec("box", "exec sleep 1000")))
	debug := as(w.spec("box.debug", "true"), ipc(private))
	debug.Class = containerizer.Debug
	for want, s := range map[string]containerizer.Spec{
		"give the parent the ipc_mode PRIVATE": as(withImage(w.spec("box.inner", "true")), ipc(shared)),
		"not supported for DEBUG containers":   debug,
	} {
		if _, err := w.Launch(w.ctx, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// podOn launches a container that goes on after a script, and returns what that wrote.
func (w *wired) podOn(id, script string) string {
	w.t.Helper()
	s := withImage(w.spec(id, script+`; exec sleep 1000`))
	w.launch(s)
	w.await(id+" writes", func() bool { return strings.HasSuffix(output(s), "\n") })
	if out := output(s); out != hostNamespace(w.t, "pid")+"\n" {
		return out
	}
	w.t.Fatalf("%s is in the agent's namespace", id)
	return ""
}

func TestPIDNamespaceIsSharedWhenAllowed(t *testing.T) {
	yes := true
	share := &mesos.LinuxInfo{SharePidNamespace: &yes}
	const show = `readlink /proc/self/ns/pid`
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.expect(as(withImage(w.spec("agents", show)), share), hostNamespace(t, "pid")+"\n")
		pod := w.podOn("pod", show)
		w.expect(as(withImage(w.spec("pod.shares", show)), share), pod)
		w.reopen(func(c *linux.Config) { c.Isolation.DisallowSharingPID = true })
		w.refused(as(withImage(w.spec("refused", "true")), share), "Sharing agent pid namespace with top-level container is not allowed")
		// Sharing with a parent is no sharing with the agent.
		pod = w.podOn("pod2", show)
		w.expect(as(withImage(w.spec("pod2.shares", show)), share), pod)
	})
}
