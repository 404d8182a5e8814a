package linux_test

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/secrets"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/testkit/netkit"
	"golang.org/x/sys/unix"
)

// Sources of volumes, for tests.
func hostPath(path string, mode ...mesos.MountPropagation_Mode) *mesos.Volume_Source {
	kind := mesos.Volume_Source_HOST_PATH
	out := &mesos.Volume_Source{Type: &kind, HostPath: &mesos.Volume_Source_HostPath{Path: &path}}
	if len(mode) > 0 {
		out.HostPath.MountPropagation = &mesos.MountPropagation{Mode: &mode[0]}
	}
	return out
}

func sandboxPath(path string, kind mesos.Volume_Source_SandboxPath_Type) *mesos.Volume_Source {
	source := mesos.Volume_Source_SANDBOX_PATH
	return &mesos.Volume_Source{Type: &source, SandboxPath: &mesos.Volume_Source_SandboxPath{Type: &kind, Path: &path}}
}

func secretVolume(s *mesos.Secret) *mesos.Volume_Source {
	kind := mesos.Volume_Source_SECRET
	return &mesos.Volume_Source{Type: &kind, Secret: s}
}

func valueSecret(content string) *mesos.Secret {
	kind := mesos.Secret_VALUE
	return &mesos.Secret{Type: &kind, Value: &mesos.Secret_Value{Data: []byte(content)}}
}

func with(s containerizer.Spec, at string, source *mesos.Volume_Source, readOnly ...bool) containerizer.Spec {
	mode := mesos.Volume_RW
	if len(readOnly) > 0 {
		mode = mesos.Volume_RO
	}
	if s.Container == nil {
		kind := mesos.ContainerInfo_MESOS
		s.Container = &mesos.ContainerInfo{Type: &kind}
	}
	s.Container.Volumes = append(s.Container.Volumes, &mesos.Volume{ContainerPath: &at, Mode: &mode, Source: source})
	return s
}

func withSecret(s containerizer.Spec, name string, secret *mesos.Secret) containerizer.Spec {
	kind := mesos.Environment_Variable_SECRET
	s.Command.Environment = &mesos.Environment{Variables: []*mesos.Environment_Variable{{Name: &name, Type: &kind, Secret: secret}}}
	return s
}

func (w *wired) expect(s containerizer.Spec, want string) {
	w.t.Helper()
	if code, out := w.run(s); code != 0 || out != want {
		w.t.Errorf("%s: code %d, output %q, want %q", s.ID, code, out, want)
	}
}

func TestVolumesOfHostSandboxAndParent(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		host := t.TempDir()
		if err := os.WriteFile(filepath.Join(host, "file"), []byte("of the host\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		s := withImage(w.spec("host", `cat /data/file /one; echo x 2>/dev/null > /data/made && echo written; echo x 2>/dev/null > /ro/made || echo refused`))
		w.expect(with(with(with(s, "/data", hostPath(host)), "/ro", hostPath(host), true), "/one", hostPath(host+"/file"), true),
			"of the host\nof the host\nwritten\nrefused\n")
		w.expect(with(with(w.spec("plain", `cat deep/er/file; cat one`), "deep/er", hostPath(host)), "one", hostPath(host+"/file")), "of the host\nof the host\n")
		w.expect(with(withImage(w.spec("self", `echo kept > /data/file; cat inner/file`)), "/data", sandboxPath("inner", mesos.Volume_Source_SandboxPath_SELF)), "kept\n")
		root := w.spec("pod", "")
		root.Command = nil
		if _, err := w.Launch(w.ctx, root); err != nil {
			t.Fatal(err)
		}
		w.expect(with(withImage(w.spec("pod.a", `echo told > /shared/word`)), "/shared", sandboxPath("common", mesos.Volume_Source_SandboxPath_PARENT)), "")
		w.expect(with(w.spec("pod.b", `cat shared/word`), "shared", sandboxPath("common", mesos.Volume_Source_SandboxPath_PARENT)), "told\n")
	})
}

func TestImageVolumes(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		image := func(s containerizer.Spec, readOnly ...bool) containerizer.Spec {
			s = with(s, "/image", nil, readOnly...)
			kind, name := mesos.Image_DOCKER, "busybox"
			s.Container.Volumes[0].Image = &mesos.Image{Type: &kind, Docker: &mesos.Image_Docker{Name: &name}}
			return s
		}
		script := `test -x /image/bin/busybox && echo there; echo x 2>/dev/null > /image/made && echo written || echo refused`
		w.expect(image(withImage(w.spec("ro", script)), true), "there\nrefused\n")
		w.expect(image(withImage(w.spec("rw", script))), "there\nwritten\n")
		if _, err := os.Stat(filepath.Join(w.image.dir, "made")); err == nil {
			t.Error("the image was written to")
		}
	})
}

func TestSecretsReachTheContainerAndNoDisk(t *testing.T) {
	const canary = "canary-5e1f0c"
	eachLauncher(t, func(t *testing.T, w *wired) {
		s := withSecret(withImage(w.spec("secret", `test "$TOKEN" = CANARY && echo env; test $(cat /run/secret) = CANARY && echo file; stat -c %a:%u /run/secret
			echo x 2>/dev/null > /run/secret || echo refused; grep -c ' /run/secret .* - ramfs ' /proc/self/mountinfo; echo up; exec sleep 1000`)), "TOKEN", valueSecret(canary))
		s.Command.Value = ptr(strings.ReplaceAll(s.Command.GetValue(), "CANARY", canary[:6]+`""`+canary[6:])) // the script is no secret
		if _, err := w.Launch(w.ctx, with(s, "/run/secret", secretVolume(valueSecret(canary)))); err != nil {
			t.Fatal(err)
		}
		for !strings.HasSuffix(output(s), "up\n") && w.ctx.Err() == nil {
			<-w.poll()
		}
		if got, want := output(s), "env\nfile\n400:0\nrefused\n1\nup\n"; got != want {
			t.Errorf("output %q, want %q", got, want)
		}
		plain := with(w.spec("plain", `cat deep/secret; stat -f -c %T deep/secret`), "deep/secret", secretVolume(valueSecret("hush\n")))
		w.expect(plain, "hush\nramfs\n")
		if found := w.left(); !slices.ContainsFunc(found, func(line string) bool { return strings.Contains(line, "secrets") }) {
			found = nil
		} else {
			t.Errorf("the host still has %v", found)
		}
		_ = filepath.WalkDir(w.dir, func(path string, e fs.DirEntry, err error) error {
			if err != nil || !e.Type().IsRegular() {
				return nil
			}
			if b, _ := os.ReadFile(path); strings.Contains(string(b), canary) {
				t.Errorf("the secret is in %s", path)
			}
			return nil
		})
	})
}

func TestVolumesThatCannotBeAreRefused(t *testing.T) {
	netkit.Need(t)
	allowed, created, other := t.TempDir(), t.TempDir(), t.TempDir()
	if err := os.Symlink(other, filepath.Join(allowed, "link")); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, func(c *linux.Config) {
		c.HostPaths, c.Secrets = linux.HostPaths{Allow: []string{allowed, created}, Create: []string{created}}, secrets.Files{}
	})
	secretName, reference := "db", mesos.Secret_REFERENCE
	for want, s := range map[string]containerizer.Spec{
		"host path " + other + " is not allowed on this agent":       with(withImage(w.spec("r", "true")), "/data", hostPath(other)),
		"host path /etc/passwd is not allowed":                       with(withImage(w.spec("r", "true")), "/data", hostPath(allowed+"/../../../../etc/passwd")),
		"no such file or directory":                                  with(withImage(w.spec("r", "true")), "/data", hostPath(allowed+"/missing")),
		"link":                                                       with(withImage(w.spec("r", "true")), "/data", hostPath(allowed+"/link")),
		"must not contain '..'":                                      with(withImage(w.spec("r", "true")), "/a/../../b", hostPath(allowed)),
		"is the root of the container":                               with(withImage(w.spec("r", "true")), "/", hostPath(allowed)),
		"does not exist on this agent":                               with(w.spec("r", "true"), "/no/such/place", hostPath(allowed)),
		"leaves the sandbox":                                         with(withImage(w.spec("r", "true")), "/data", sandboxPath("../x", mesos.Volume_Source_SandboxPath_SELF)),
		"must be relative":                                           with(withImage(w.spec("r", "true")), "/data", sandboxPath("/x", mesos.Volume_Source_SandboxPath_SELF)),
		"needs a nested container":                                   with(withImage(w.spec("r", "true")), "/data", sandboxPath("x", mesos.Volume_Source_SandboxPath_PARENT)),
		"it has no source":                                           with(withImage(w.spec("r", "true")), "/data", nil),
		"is not on a shared mount":                                   with(withImage(w.spec("r", "true")), "/data", hostPath(allowed, mesos.MountPropagation_BIDIRECTIONAL)),
		`secret "db": this agent resolves no references`:             with(withImage(w.spec("r", "true")), "/data", secretVolume(&mesos.Secret{Type: &reference, Reference: &mesos.Secret_Reference{Name: &secretName}})),
		`environment variable T: secret "db": this agent resolves n`: withSecret(w.spec("r", "true"), "T", &mesos.Secret{Type: &reference, Reference: &mesos.Secret_Reference{Name: &secretName}}),
		`docker parameter "privileged" is not supported`:             parameters(w.spec("r", "true"), "privileged", "true"),
		`option "suid" is unknown`:                                   parameters(w.spec("r", "true"), "tmpfs", "/run:suid"),
		"its path must be absolute":                                  parameters(w.spec("r", "true"), "tmpfs", "run"),
		"source CSI_VOLUME is not supported":                         with(withImage(w.spec("r", "true")), "/data", &mesos.Volume_Source{Type: mesos.Volume_Source_CSI_VOLUME.Enum()}),
	} {
		if _, err := w.Launch(w.ctx, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
	if left, _ := os.ReadDir(other); len(left) != 0 {
		t.Errorf("written outside: %v", left)
	}
	made := with(withImage(w.spec("made", "echo x > /data/file")), "/data", hostPath(created+"/a/b"))
	if code, out := w.run(made); code != 0 {
		t.Errorf("code %d, %q", code, out)
	}
	if _, err := os.Stat(filepath.Join(created, "a/b/file")); err != nil {
		t.Error(err)
	}
}

func parameters(s containerizer.Spec, key, value string) containerizer.Spec {
	kind, image := mesos.ContainerInfo_DOCKER, "busybox"
	s.Container = &mesos.ContainerInfo{Type: &kind, Docker: &mesos.ContainerInfo_DockerInfo{Image: &image, Parameters: []*mesos.Parameter{{Key: &key, Value: &value}}}}
	return s
}

func TestTemporaryFileSystemIsBounded(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		s := parameters(w.spec("tmp", `stat -f -c %T /run/x; dd if=/dev/zero of=/run/x/big bs=64k count=2 2>&1 | grep -c 'No space'`), "tmpfs", "/run/x:size=64k,mode=1777")
		w.expect(s, "tmpfs\n1\n")
	})
}

func TestMountsPropagate(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		host := t.TempDir()
		if err := errorOf(unix.Mount("tmpfs", host, "tmpfs", 0, ""), unix.Mount("", host, "", unix.MS_SHARED, "")); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Unmount(host, unix.MNT_DETACH) }()
		for _, dir := range []string{"down", "up", "private"} {
			if err := os.Mkdir(filepath.Join(host, dir), 0o755); err != nil {
				t.Fatal(err)
			}
		}
		const script = `echo up; until test -e go; do sleep 0.01; done; grep -c ' /data/down ' /proc/self/mountinfo; mount -t tmpfs x /data/up 2>/dev/null && echo mounted; echo done; exec sleep 1000`
		for mode, want := range map[mesos.MountPropagation_Mode]string{mesos.MountPropagation_UNKNOWN: "up\n0\nmounted\ndone\n",
			mesos.MountPropagation_HOST_TO_CONTAINER: "up\n1\nmounted\ndone\n", mesos.MountPropagation_BIDIRECTIONAL: "up\n1\nmounted\ndone\n"} {
			s := with(withImage(w.spec("p"+mode.String(), script)), "/data", hostPath(host, mode))
			unconfined := true
			s.Container.LinuxInfo = &mesos.LinuxInfo{Seccomp: &mesos.SeccompInfo{Unconfined: &unconfined},
				EffectiveCapabilities: &mesos.CapabilityInfo{Capabilities: []mesos.CapabilityInfo_Capability{mesos.CapabilityInfo_SYS_ADMIN}},
				BoundingCapabilities:  &mesos.CapabilityInfo{Capabilities: []mesos.CapabilityInfo_Capability{mesos.CapabilityInfo_SYS_ADMIN}}}
			_, err := w.Launch(w.ctx, s)
			if w.kind != "native" && mode == mesos.MountPropagation_BIDIRECTIONAL {
				if err == nil || !strings.Contains(err.Error(), "needs --launcher=native") {
					t.Errorf("got %v", err)
				}
				continue
			}
			if err != nil {
				t.Fatal(err)
			}
			for output(s) == "" && w.ctx.Err() == nil {
				<-w.poll()
			}
			if err := errorOf(unix.Mount("tmpfs", host+"/down", "tmpfs", 0, ""), os.WriteFile(filepath.Join(s.Sandbox, "go"), nil, 0o644)); err != nil {
				t.Fatal(err)
			}
			for !strings.HasSuffix(output(s), "done\n") && w.ctx.Err() == nil {
				<-w.poll()
			}
			if output(s) != want {
				t.Errorf("%s: output %q, want %q", mode, output(s), want)
			}
			mounts, _ := os.ReadFile("/proc/self/mountinfo")
			if got := strings.Contains(string(mounts), host+"/up "); got != (mode == mesos.MountPropagation_BIDIRECTIONAL) {
				t.Errorf("%s: the host sees the container's mount: %v", mode, got)
			}
			w.end(s.ID)
			_ = unix.Unmount(host+"/up", unix.MNT_DETACH)
			if err := unix.Unmount(host+"/down", unix.MNT_DETACH); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestNoLinkLeadsAMountOut swaps directories for links out of the sandbox while containers
// start with volumes from and to them (the class of CVE-2021-30465 and of Nomad's
// CVE-2022-24683).
func TestNoLinkLeadsAMountOut(t *testing.T) { eachLauncher(t, noLinkLeadsOut) }

func noLinkLeadsOut(t *testing.T, w *wired) {
	victim, rounds := t.TempDir(), map[string]int{"native": 40, "runc": 4, "crun": 6}[w.kind]
	if err := os.Mkdir(filepath.Join(victim, "deep"), 0o777); err != nil {
		t.Fatal(err)
	}
	for round := range rounds {
		s := w.spec(fmt.Sprintf("race%d", round), `echo mark > data/mark; true`)
		if round%2 == 0 {
			s = withImage(w.spec(string(s.ID), `echo mark > /data/mark; echo mark > data/mark; true`))
			s = with(s, "/data", sandboxPath("source/deep", mesos.Volume_Source_SandboxPath_SELF))
		}
		s = with(s, "target/deep/data", sandboxPath("source/deep", mesos.Volume_Source_SandboxPath_SELF))
		stop := racer(t, s.Sandbox, victim, "source", "target")
		w.try(s)
		stop()
		if found, _ := os.ReadDir(filepath.Join(victim, "deep")); len(found) != 0 {
			t.Fatalf("round %d: something was made outside: %v", round, found)
		}
	}
}

// TestNoLinkLeadsTheSandboxOfATaskOut swaps the directory of its tasks' sandboxes in that of a pod, which is the pod's, for a link
// while they start. Neither output nor a mount may come from, or go to, where it leads.
func TestNoLinkLeadsTheSandboxOfATaskOut(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		victim, rounds := t.TempDir(), map[string]int{"native": 40, "runc": 4, "crun": 6}[w.kind]
		pod := w.spec("pod", "")
		pod.Command = nil
		if _, err := w.Launch(w.ctx, pod); err != nil {
			t.Fatal(err)
		}
		for round := range rounds {
			s := w.spec(fmt.Sprintf("pod.race%d", round), `echo said`)
			if round%2 == 0 {
				s = withImage(w.spec(string(s.ID), `echo said; echo mark > mark`))
			}
			outside := filepath.Join(victim, filepath.Base(s.Sandbox))
			if err := os.Mkdir(outside, 0o777); err != nil {
				t.Fatal(err)
			}
			stop := racer(t, pod.Sandbox, victim, "containers")
			w.try(s)
			stop()
			if found, _ := os.ReadDir(outside); len(found) != 0 {
				t.Fatalf("round %d: something was made outside: %v", round, found)
			}
			settle(t, filepath.Join(pod.Sandbox, "containers"))
		}
		w.end(pod.ID)
	})
}

// try launches a container, which may be refused, and waits for its end.
func (w *wired) try(s containerizer.Spec) {
	w.t.Helper()
	if _, err := w.Launch(w.ctx, s); err != nil {
		return
	}
	if _, err := w.Wait(w.ctx, s.ID); err != nil {
		w.t.Error(err)
	}
	if err := w.Remove(w.ctx, s.ID); err != nil {
		w.t.Error(err)
	}
}

// settle has a directory, and not the link, in its place after a race.
func settle(t *testing.T, path string) {
	t.Helper()
	link := path + "-link"
	if info, err := os.Lstat(path); err == nil && !info.IsDir() {
		if err := unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(link); err != nil {
		t.Fatal(err)
	}
}

// racer keeps exchanging directories with links to the victim until it is stopped.
func racer(t *testing.T, sandbox, victim string, names ...string) (stop func()) {
	t.Helper()
	done := make(chan struct{})
	var group sync.WaitGroup
	for _, name := range names {
		path, link := filepath.Join(sandbox, name), filepath.Join(sandbox, name+"-link")
		if err := errorOf(os.MkdirAll(filepath.Join(path, "deep"), 0o755), os.Symlink(victim, link)); err != nil {
			t.Fatal(err)
		}
		group.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
					_ = unix.Renameat2(unix.AT_FDCWD, path, unix.AT_FDCWD, link, unix.RENAME_EXCHANGE)
				}
			}
		})
	}
	return func() { close(done); group.Wait() }
}
