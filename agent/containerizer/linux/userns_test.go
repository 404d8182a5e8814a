package linux_test

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/containerizertest"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/secrets"
	"agora.dev/agora/agent/isolators/userns"
	"agora.dev/agora/agent/launcher/launchertest"
	mesos "agora.dev/agora/api/mesos/v1"
)

// firstID begins the ids of these tests, which have room for count containers.
const firstID = 1 << 25

func withUsers(t *testing.T, count int, policy userns.Policy) func(*linux.Config) {
	t.Helper()
	launchertest.NeedIDMaps(t)
	return func(c *linux.Config) {
		users, err := userns.Parse(fmt.Sprintf("%d-%d", firstID, firstID+count*userns.Size-1), string(policy))
		if err != nil {
			t.Fatal(err)
		}
		c.Isolation.Users = users
	}
}

// usersWorld is below a directory that is closed to others, as an agent's is.
func usersWorld(t *testing.T, count int, policy userns.Policy) *world {
	t.Helper()
	w := newWorld(t, withUsers(t, count, policy), func(c *linux.Config) { c.Secrets = secrets.Files{} })
	if info, err := os.Stat(filepath.Dir(w.dir)); err != nil || info.Mode().Perm() != 0o700 {
		t.Fatalf("%s: %v, %v", filepath.Dir(w.dir), info, err)
	}
	return w
}

func isolated(s containerizer.Spec) containerizer.Spec { s.UserNamespace = "private"; return s }

// showUsers writes the machine's id of the container's root.
const showUsers = `read a b c < /proc/self/uid_map; echo $b`

func ids(n int) string { return fmt.Sprintf("%d\n", firstID+n*userns.Size) }

func (w *world) expectAll(s containerizer.Spec, want string) {
	w.t.Helper()
	if _, out := w.run(s); out != want {
		w.t.Errorf("%s wrote %q, want %q", s.ID, out, want)
	}
}

func (w *world) mustLaunch(s containerizer.Spec) {
	w.t.Helper()
	if _, err := w.Launch(w.ctx, s); err != nil {
		w.t.Fatalf("launch %s: %v", s.ID, err)
	}
}

func (w *world) refuses(s containerizer.Spec, want string) {
	w.t.Helper()
	if _, err := w.Launch(w.ctx, s); err == nil || !strings.Contains(err.Error(), want) {
		w.t.Errorf("launch %s: got %v, want %q", s.ID, err, want)
	}
}

func (w *world) ends(id containerizer.ID) {
	w.t.Helper()
	w.end(id)
	if err := w.Remove(w.ctx, id); err != nil {
		w.t.Fatal(err)
	}
}

func ownerOf(t *testing.T, file string) uint32 {
	t.Helper()
	info, err := os.Lstat(file)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t).Uid
}

func TestUserNamespacesKeepTheContract(t *testing.T) {
	containerizertest.Run(t, func(t *testing.T) containerizertest.Host {
		w := usersWorld(t, 64, userns.Always)
		return containerizertest.Host{Containerizer: w, Sleeper: func(id containerizer.ID) containerizer.Spec {
			return w.spec(string(id), "exec sleep 1000")
		}}
	})
}

func TestEachContainerHasIDsOfItsOwnUntilItIsRemoved(t *testing.T) {
	w := usersWorld(t, 2, userns.Asked)
	w.expectAll(withImage(w.spec("unasked", showUsers)), "0\n")
	w.mustLaunch(isolated(withImage(w.spec("a", "sleep 1000"))))
	w.expectAll(isolated(withImage(w.spec("b", showUsers))), ids(1))
	// It has ended, and its ids are still its own: its files are there.
	w.refuses(isolated(withImage(w.spec("c", showUsers))), "no ids are left for a user namespace: all 2 ranges")
	w.ends("b")
	w.expectAll(isolated(withImage(w.spec("d", showUsers))), ids(1))
	w.ends("d")

	w.restart("a")
	w.expectAll(isolated(withImage(w.spec("e", showUsers))), ids(1))
	w.ends("a")
	w.expectAll(isolated(withImage(w.spec("f", showUsers))), ids(0))
	w.ends("f")
	// A launch that fails keeps no ids.
	for range 4 {
		w.refuses(with(isolated(withImage(w.spec("wrong", "true"))), "/data", hostPath("/no/such/path")), "no such file")
	}
	w.expectAll(isolated(withImage(w.spec("g", showUsers))), ids(0))
}

func TestFilesOfAUserNamespaceKeepTheirOwners(t *testing.T) {
	w := usersWorld(t, 16, userns.Default)
	shared := t.TempDir()
	if err := os.Chmod(shared, 0o777); err != nil {
		t.Fatal(err)
	}
	const write = `touch made; touch vol/made; stat -c %u . made vol; echo again >> /proc/self/fd/1`
	for _, image := range []bool{true, false} {
		for _, uid := range []int{0, 65534} {
			id := fmt.Sprintf("image-%v-%d", image, uid)
			s := w.spec(id, write)
			if image {
				s = withImage(s)
			}
			if uid != 0 {
				s.User = "nobody"
			}
			if err := os.Chown(s.Sandbox, uid, uid); err != nil {
				t.Fatal(err)
			}
			v := w.volume("volume-"+id, "vol")
			if err := os.Chown(v.Source, uid, uid); err != nil {
				t.Fatal(err)
			}
			s.Persistent = []containerizer.PersistentVolume{v}
			w.expectAll(s, strings.Repeat(fmt.Sprintln(uid), 3)+"again\n")
			for _, file := range []string{filepath.Join(s.Sandbox, "made"), filepath.Join(v.Source, "made")} {
				if got := ownerOf(t, file); got != uint32(uid) {
					t.Errorf("%s belongs to %d on disk, want %d", file, got, uid)
				}
			}
		}
	}
	w.expectAll(with(withImage(w.spec("host", `touch /data/h; stat -c %u /data/h; cat /data/h`)), "/data", hostPath(shared)), "0\n")
	w.expectAll(with(withImage(w.spec("own", `stat -c %u /data; touch /data/x`)), "/data", sandboxPath("inner", mesos.Volume_Source_SandboxPath_SELF)), "0\n")
	if got := ownerOf(t, filepath.Join(shared, "h")); got != 0 {
		t.Errorf("a file on a host path belongs to %d on disk", got)
	}
	w.expectAll(with(withImage(w.spec("secret", `cat /s; stat -c ' %u %a' /s`)), "/s", secretVolume(valueSecret("hush"))), "hush 0 400\n")
	strange := w.spec("strange", `touch /etc/x 2>/dev/null || echo refused; stat -c %u /etc; id -u`)
	w.expectAll(strange, "refused\n65534\n0\n")
	alone := w.spec("alone", `ls `+w.dir+` `+filepath.Join(w.dir, "sandbox")+`; cat $MESOS_SANDBOX/stderr; test -w $MESOS_SANDBOX && echo mine`)
	w.expectAll(alone, w.dir+":\nsandbox\n\n"+filepath.Join(w.dir, "sandbox")+":\nalone\nmine\n")
	kept := w.spec("kept", `cat inner/file`)
	if err := os.WriteFile(filepath.Join(shared, "file"), []byte("seen\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w.expectAll(with(kept, "inner", hostPath(shared)), "seen\n")
}

func TestPodAndSessionsShareAUserNamespace(t *testing.T) {
	w := usersWorld(t, 2, userns.Asked)
	pod := isolated(w.spec("pod", ""))
	pod.Command = nil
	w.mustLaunch(pod)
	w.expectAll(withImage(w.spec("pod.image", showUsers+`; touch made; stat -c %u made`)), ids(0)+"0\n")
	w.expectAll(w.spec("pod.host", showUsers+`; touch made; stat -c %u made`), ids(0)+"0\n")
	sharing := withImage(w.spec("pod.pids", showUsers))
	yes := true
	sharing.Container.LinuxInfo = &mesos.LinuxInfo{SharePidNamespace: &yes}
	w.expectAll(sharing, ids(0))
	asking := withImage(w.spec("pod.asking", "true"))
	asking.UserNamespace = "host"
	w.refuses(asking, "a nested container is in the user namespace of its pod")

	w.mustLaunch(withImage(w.spec("pod.long", "sleep 1000")))
	w.restart("pod", "pod.image", "pod.host", "pod.pids", "pod.long")
	for _, tty := range []bool{false, true} {
		id := containerizer.ID(fmt.Sprintf("pod.long.%v", tty))
		session, err := w.Exec(w.ctx, containerizer.Exec{ID: id, TTY: tty, Command: shell(showUsers + `; touch /root/file && stat -c %u /root/file; echo reopened > /proc/self/fd/1`)})
		if err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(session.Stdout())
		if _, err := session.Wait(w.ctx); err != nil {
			t.Error(err)
		}
		if want, got := ids(0)+"0\nreopened\n", strings.ReplaceAll(string(out), "\r", ""); got != want {
			t.Errorf("tty %v: session wrote %q, want %q", tty, got, want)
		}
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	}
	if usage, err := w.Usage(w.ctx, "pod"); err != nil || usage.GetMemRssBytes() == 0 && usage.GetMemTotalBytes() == 0 {
		t.Errorf("statistics: %+v, %v", usage, err)
	}
}

func TestWhatAUserNamespaceCannotHaveIsRefused(t *testing.T) {
	w := usersWorld(t, 2, userns.Always)
	yes := true
	w.refuses(as(withImage(w.spec("pids", "true")), &mesos.LinuxInfo{SharePidNamespace: &yes}), "cannot share the agent's pid namespace")
	w.refuses(as(withImage(w.spec("ipc", "true")), ipc(mesos.LinuxInfo_SHARE_PARENT)), "cannot share the agent's IPC namespace")
	w.refuses(as(withImage(w.spec("caps", "true")), &mesos.LinuxInfo{EffectiveCapabilities: capable(mesos.CapabilityInfo_NET_ADMIN)}), "capability NET_ADMIN does nothing")
	w.refuses(with(withImage(w.spec("shared", "true")), "/data", hostPath(t.TempDir(), mesos.MountPropagation_BIDIRECTIONAL)), "BIDIRECTIONAL is not possible")
	w.refuses(with(withImage(w.spec("proc", "true")), "/data", hostPath("/proc/sys")), "must allow id-mapped mounts")
	far := withImage(w.spec("far", "true"))
	far.User = "70000"
	w.refuses(far, "user or group 70000 is not among them")
	host := withImage(w.spec("host", "true"))
	host.UserNamespace = "host"
	w.refuses(host, "this agent gives every container a user namespace")
	odd := withImage(w.spec("odd", "true"))
	odd.UserNamespace = "yes"
	w.refuses(odd, "userns=yes: it is private or host")

	none := newWorld(t)
	none.refuses(isolated(withImage(none.spec("none", "true"))), "start it with --userns_range")
}

func TestNetworkOfAUserNamespaceServesLowPorts(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.reopen(withUsers(t, 4, userns.Always))
		pid, err := w.Launch(w.ctx, on(withImage(w.spec("low", `echo served > page; exec busybox httpd -f -p 80 -h .`)), 18081))
		if err != nil {
			t.Fatal(err)
		}
		if got := w.page(18081); got != "served\n" {
			t.Errorf("got %q", got)
		}
		// Seen from the machine, whose ids these are.
		groups, err := exec.Command("busybox", "nsenter", "-t", strconv.Itoa(pid), "-n", "busybox", "cat", "/proc/sys/net/ipv4/ping_group_range").CombinedOutput()
		if err != nil || string(groups) != "0\t2147483647\n" {
			t.Errorf("groups that may ping: %q, %v", groups, err)
		}
		network, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			t.Fatal(err)
		}
		session, err := w.Exec(w.ctx, containerizer.Exec{ID: "low.session", Command: shell(showNetwork)})
		if err != nil {
			t.Fatal(err)
		}
		out, _ := io.ReadAll(session.Stdout())
		if _, err := session.Wait(w.ctx); err != nil || string(out) != network+"\neth0\nlo\n" {
			t.Errorf("session: %q, %v; want the network %s with its two interfaces", out, err, network)
		}
		if err := session.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestNoLinkLeadsAMountOutOfAUserNamespace: the scene makes the mounts of each launcher there.
func TestNoLinkLeadsAMountOutOfAUserNamespace(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.reopen(withUsers(t, 64, userns.Always))
		noLinkLeadsOut(t, w)
	})
}

func TestTemporaryFileSystemsOfAUserNamespaceBelongToItsUsers(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.reopen(withUsers(t, 4, userns.Always))
		own := parameters(w.spec("own", `stat -f -c %T /run/x; stat -c %u:%a /run/x`), "tmpfs", "/run/x:size=64k,mode=700,uid=5")
		w.expectAll(own, "tmpfs\n5:700\n")
		// A link in the volume would lead to the machine's.
		onTop := with(parameters(w.spec("top", `stat -f -c %T /data/x; stat -c %u:%a /data/x; test -h /data/link && stat -c %u /data`), "tmpfs", "/data/x:size=64k,mode=700,uid=5"),
			"/data", sandboxPath("inner", mesos.Volume_Source_SandboxPath_SELF))
		if err := errorOf(os.Mkdir(onTop.Sandbox+"/inner", 0o755), os.Symlink("/etc", onTop.Sandbox+"/inner/link")); err != nil {
			t.Fatal(err)
		}
		w.expectAll(onTop, "tmpfs\n5:700\n0\n")
	})
}

// TestImageVolumesOfAUserNamespace: of the container's own image, with more layers than fit into 255
// bytes and with one, on volumes and beside them.
func TestImageVolumesOfAUserNamespace(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		users := withUsers(t, 8, userns.Always)
		for count, data := range map[int]string{3: "above\nbelow\n", 1: "below\n"} {
			layers := threeLayers(t)[:count]
			w.reopen(func(c *linux.Config) {
				users(c)
				c.Images = imageOf{layers}
			})
			for mode, made := range map[mesos.Volume_Mode]string{mesos.Volume_RW: "0\n", mesos.Volume_RO: "read only\n"} {
				s := withImage(w.spec(fmt.Sprintf("%s%d", mode, count), `for d in /data /given/on; do cd $d; ls data; stat -c %u:%g . bin/own etc; touch new 2>/dev/null && stat -c %u new || echo read only; done`))
				s.Container.Mesos.Image.Docker.Name = new(string)
				s = with(s, "/given", sandboxPath("given", mesos.Volume_Source_SandboxPath_SELF))
				for _, at := range []string{"/data", "/given/on"} {
					s.Container.Volumes = append(s.Container.Volumes, &mesos.Volume{ContainerPath: &at, Mode: &mode, Image: s.Container.Mesos.Image})
				}
				one := data + "0:0\n1234:1235\n0:0\n" + made
				w.expectAll(s, one+one)
			}
		}
	})
}

// showNetwork tells the network, and what sysfs shows of it.
const showNetwork = `readlink /proc/self/ns/net; ls /sys/class/net`

func TestTasksOfAPodInAUserNamespaceHaveItsNetwork(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.reopen(withUsers(t, 4, userns.Always))
		pod := on(w.spec("pod", ""), 18082)
		pod.Command = nil
		pid, err := w.Launch(w.ctx, pod)
		if err != nil {
			t.Fatal(err)
		}
		network, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/net", pid))
		if err != nil {
			t.Fatal(err)
		}
		// Of this thread: another one, the first of the process too, may be in the pod's network just now, to look at it.
		if own, _ := os.Readlink("/proc/thread-self/ns/net"); own == network {
			t.Error("the pod is in the machine's network")
		}
		w.expectAll(withImage(w.spec("pod.image", showNetwork)), network+"\neth0\nlo\n")
		w.expectAll(w.spec("pod.host", `readlink /proc/self/ns/net`), network+"\n")
	})
}

// TestUserNamespacesWithOCIRuntimes runs the tests of user namespaces once more with each runtime.
func TestUserNamespacesWithOCIRuntimes(t *testing.T) {
	for _, runtime := range []string{"runc", "crun"} {
		for name, test := range map[string]func(*testing.T){"Contract": TestUserNamespacesKeepTheContract, "IDs": TestEachContainerHasIDsOfItsOwnUntilItIsRemoved,
			"Files": TestFilesOfAUserNamespaceKeepTheirOwners, "Pods": TestPodAndSessionsShareAUserNamespace, "Refused": TestWhatAUserNamespaceCannotHaveIsRefused,
			"Layers": testOwnersOfLayers} {
			t.Run(runtime+"/"+name, func(t *testing.T) {
				t.Setenv(runtimeOfTests, runtime)
				test(t)
			})
		}
		t.Run(runtime+"/Copied", func(t *testing.T) {
			t.Setenv(runtimeOfTests, runtime)
			t.Setenv(backendOfTests, "copy")
			testOwnersOfLayers(t)
		})
	}
}
