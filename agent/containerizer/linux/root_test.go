package linux_test

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/rootfs"
	"golang.org/x/sys/unix"
)

// backendOfTests names the backend that worlds have; empty for the one that works.
const backendOfTests = "AGORA_TEST_BACKEND"

// TestImagesAreTheSameWithEveryBackend has the two take turns, and runs the tests of containers with
// images, which have had an overlay, once more with copies.
func TestImagesAreTheSameWithEveryBackend(t *testing.T) {
	all := map[string]func(*testing.T){
		"copy/Command": TestCommandWithImageSeesTheImage, "copy/ImageCommand": TestImageCommandRunsWhenTheTaskNamesNone, "copy/Memory": TestExceedingMemoryIsALimitation,
		"copy/Nested": TestDestroyEndsChildrenFirst, "copy/Exec": TestExecEntersTheContainer, "copy/SandboxPath": TestSandboxPathVolumeStaysInside,
		"copy/Volumes": TestVolumesOfHostSandboxAndParent, "copy/ImageVolumes": TestImageVolumes, "copy/Users": TestUsersOfAnImageAreReadInItAndNeverWrapToRoot,
		"copy/Disk": TestDiskFillerEndsAlone, "copy/Persistent": TestPersistentVolumeOutlivesItsContainer, "copy/Pod": TestVolumeOfThePodIsASandboxPathOfItsTasks,
		"copy/Memories": TestNestedContainersShareTheMemoryOfTheirPod, "copy/Secrets": TestSecretsReachTheContainerAndNoDisk, "copy/Devices": TestAllowedDevicesCanBeOpenedEverywhere,
		"copy/UserNamespaces": TestFilesOfAUserNamespaceKeepTheirOwners, "copy/UsersOfPods": TestPodAndSessionsShareAUserNamespace,
		"overlay/Layers": testLayers, "copy/Layers": testLayers, "overlay/Owners": testOwnersOfLayers, "copy/Owners": testOwnersOfLayers,
	}
	for name, test := range all {
		t.Run(name, func(t *testing.T) {
			backend, _, _ := strings.Cut(name, "/")
			t.Setenv(backendOfTests, backend)
			test(t)
		})
	}
}

func makeLayer(t *testing.T, steps ...error) {
	t.Helper()
	if err := errors.Join(steps...); err != nil {
		t.Fatal(err)
	}
}

func write(path, content string, mode fs.FileMode) error {
	return errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), 0o600), os.Chmod(path, mode))
}

// threeLayers are busybox and two that hide and replace parts of it, one with links that
// lead to the machine.
func threeLayers(t *testing.T) []string {
	t.Helper()
	low, mid, top := launchertest.Busybox(t), t.TempDir(), t.TempDir()
	makeLayer(t, write(low+"/data/below", "x", 0o644), write(low+"/whole/below", "x", 0o644), write(low+"/etc/removed", "x", 0o644), write(low+"/bin/own", "x", 0o755|fs.ModeSetuid),
		os.Chown(low+"/bin/own", 1234, 1235), os.Chmod(low+"/bin/own", 0o755|fs.ModeSetuid), os.Link(low+"/bin/own", low+"/bin/twin"), os.Symlink("/etc", low+"/trick"))
	makeLayer(t, os.MkdirAll(mid+"/etc", 0o755), unix.Mknod(mid+"/etc/removed", unix.S_IFCHR, 0), write(mid+"/whole/above", "y", 0o600), unix.Setxattr(mid+"/whole", "trusted.overlay.opaque", []byte("y"), 0),
		write(mid+"/trick/planted", "y", 0o644), write(mid+"/data/above", "y", 0o644))
	makeLayer(t, os.Symlink("/root", top+"/away"), write(top+"/etc/new", "z", 0o640))
	for _, dir := range []string{mid, top} {
		makeLayer(t, os.Chmod(dir, 0o755))
	}
	return []string{low, mid, top}
}

const showLayers = `cd /; ls -d data/* whole/* etc/removed etc/new trick/* away 2>/dev/null; stat -c '%u:%g %a %h' bin/own bin/twin; stat -c %a whole/above etc/new; touch /etc/mine /newer && rm bin/twin && ls bin/twin 2>/dev/null || echo gone`

const seenOfLayers = "away\ndata/above\ndata/below\netc/new\ntrick/planted\nwhole/above\n1234:1235 4755 2\n1234:1235 4755 2\n600\n640\ngone\n"

func testLayers(t *testing.T) {
	layers := threeLayers(t)
	w := newWorld(t, func(c *linux.Config) { c.Images = imageOf{layers} })
	nameless := func(s containerizer.Spec) containerizer.Spec {
		s = withImage(s)
		none := ""
		s.Container.Mesos.Image.Docker.Name = &none
		return s
	}
	w.expectAll(nameless(w.spec("layers", showLayers)), seenOfLayers)
	pod := w.spec("pod", "")
	pod.Command = nil
	w.mustLaunch(pod)
	w.expectAll(nameless(w.spec("pod.nested", showLayers)), seenOfLayers)
	for _, name := range []string{"/etc/planted", "/etc/mine", "/newer"} {
		if _, err := os.Lstat(name); err == nil {
			t.Errorf("%s is on the machine", name)
		}
	}
	if _, err := os.Lstat(layers[0] + "/bin/twin"); err != nil {
		t.Errorf("the container changed a layer: %v", err)
	}
	made, _ := filepath.Glob(w.dir + "/containerizer/containers/*/image/copy")
	if copies := os.Getenv(backendOfTests) == "copy"; copies != (len(made) == 2) {
		t.Errorf("copies: %v", made)
	}
	w.ends("layers")
	w.ends("pod")
	if left, _ := os.ReadDir(w.dir + "/containerizer/containers"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

func testOwnersOfLayers(t *testing.T) {
	w := usersWorld(t, 2, "always")
	w.reconfigure(t, func(c *linux.Config) { c.Images = imageOf{threeLayers(t)} })
	s := withImage(w.spec("layers", showLayers+`; stat -c %u / /etc /away /bin/busybox`))
	none := ""
	s.Container.Mesos.Image.Docker.Name = &none
	w.expectAll(s, seenOfLayers+"0\n0\n0\n0\n")
}

// reconfigure replaces the containerizer by one of another configuration.
func (w *world) reconfigure(t *testing.T, change func(*linux.Config), known ...containerizer.ID) {
	t.Helper()
	change(&w.config)
	w.restart(known...)
}

// TestBackendMayChangeWhileContainersRun: whatever the agent says now, containers of both
// backends are recovered, entered, measured and removed.
func TestBackendMayChangeWhileContainersRun(t *testing.T) {
	w := newWorld(t, withDisk(false), func(c *linux.Config) { c.Backend = rootfs.Copy })
	fill := `dd if=/dev/zero of=/tmp/f bs=1024 count=2000; echo up; exec sleep 1000`
	var ids []containerizer.ID
	for i, backend := range []rootfs.Backend{rootfs.Copy, rootfs.Overlay} {
		w.reconfigure(t, func(c *linux.Config) { c.Backend = backend }, ids...)
		s := withImage(given(w.spec(string(backend), fill), 100))
		w.mustLaunch(s)
		ids = append(ids, s.ID)
		if i == 0 {
			continue
		}
		w.reconfigure(t, func(c *linux.Config) { c.Backend = rootfs.Copy }, ids...)
	}
	for _, id := range ids {
		w.await(string(id)+" is measured", func() bool { return w.onDisk(id).GetDiskUsedBytes() >= 2000<<10 })
		// Of the image, which is larger, nothing counts.
		if used := w.onDisk(id).GetDiskUsedBytes(); used > 2300<<10 {
			t.Errorf("%s: %d bytes used, want those of one file of 2,000 KiB", id, used)
		}
		session, err := w.Exec(w.ctx, containerizer.Exec{ID: id + ".session", Command: shell("test -f /tmp/f")})
		if err != nil {
			t.Fatal(err)
		}
		if end, err := session.Wait(w.ctx); err != nil || end.Status == nil || *end.Status != 0 {
			t.Errorf("%s: session ended with %+v, %v", id, end, err)
		}
		if err := session.Close(); err != nil {
			t.Error(err)
		}
		w.ends(id)
	}
	if left, _ := os.ReadDir(w.dir + "/containerizer/containers"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
}

// TestHalfACopyIsRemoved: of an agent that was killed while it copied, and of a launch that
// was cancelled.
func TestHalfACopyIsRemoved(t *testing.T) {
	w := newWorld(t, func(c *linux.Config) { c.Backend = rootfs.Copy })
	half := w.dir + "/containerizer/containers/half/image/copy/closed/deep"
	makeLayer(t, os.MkdirAll(half, 0o755), os.WriteFile(half+"/file", nil, 0), os.Symlink("/etc", half+"/link"), os.Chmod(filepath.Dir(half), 0))
	w.restart()
	if left, _ := os.ReadDir(w.dir + "/containerizer/containers"); len(left) != 0 {
		t.Errorf("left %v", left)
	}
	bad := imageOf{[]string{launchertest.Busybox(t), w.dir + "/none"}}
	w.reconfigure(t, func(c *linux.Config) { c.Images = bad })
	w.refuses(withImage(w.spec("bad", "true")), "open layer "+w.dir+"/none")
	if left, _ := os.ReadDir(w.dir + "/containerizer/containers"); len(left) != 0 {
		t.Errorf("a launch that failed left %v", left)
	}
}

// TestTheBackendThatWorksIsChosen: on an overlay, which is no upper directory of another, and
// for images of more layers than a mount takes.
func TestTheBackendThatWorksIsChosen(t *testing.T) {
	w := newWorld(t)
	on := overlayHere(t, w.dir)
	var log bytes.Buffer
	there := w.config
	there.Dir, there.Log, there.Backend = on, slog.New(slog.NewTextHandler(&log, nil)), rootfs.Overlay
	if c, err := linux.New(there); err == nil || !strings.Contains(err.Error(), "--image_provisioner_backend=overlay: ") || !strings.Contains(err.Error(), "use copy") {
		t.Errorf("overlay on overlay: got %v", err)
		if err == nil {
			c.Close()
		}
	}
	w.reconfigure(t, func(c *linux.Config) { c.Dir, c.Log, c.Backend = there.Dir, there.Log, rootfs.Auto })
	w.expectAll(withImage(w.spec("copied", "echo x > /root/file; cat /root/file")), "x\n")
	if !strings.Contains(log.String(), "overlayfs does not work here") || !strings.Contains(log.String(), "as upper directory: ") {
		t.Errorf("log: %q", log.String())
	}
	w.ends("copied")
}

func TestImagesOfManyLayersAreCopied(t *testing.T) {
	layers := []string{launchertest.Busybox(t)}
	long := t.TempDir()
	for i := range 60 {
		dir := filepath.Join(long, fmt.Sprintf("%03d%s", i, strings.Repeat("x", 100)))
		makeLayer(t, write(dir+"/etc/layer", fmt.Sprintln(i), 0o644), os.Chmod(dir, 0o755))
		layers = append(layers, dir)
	}
	var log bytes.Buffer
	w := newWorld(t, func(c *linux.Config) { c.Images, c.Log = imageOf{layers}, slog.New(slog.NewTextHandler(&log, nil)) })
	many := func(id string) containerizer.Spec {
		s := withImage(w.spec(id, "cat /etc/layer"))
		none := ""
		s.Container.Mesos.Image.Docker.Name = &none
		return s
	}
	w.expectAll(many("many"), "59\n")
	if !strings.Contains(log.String(), "a mount takes 4095") {
		t.Errorf("log: %q", log.String())
	}
	w.reconfigure(t, func(c *linux.Config) { c.Backend = rootfs.Overlay }, "many")
	w.refuses(many("overlay"), "61 layers: their paths need")
}

// overlayHere mounts an overlay that ends with the test, and is unmounted when it has ended.
func overlayHere(t *testing.T, base string) string {
	t.Helper()
	for _, dir := range []string{"lower", "upper", "work"} {
		makeLayer(t, os.MkdirAll(filepath.Join(base, "over", dir), 0o755))
	}
	fd, err := unix.Fsopen("overlay", unix.FSOPEN_CLOEXEC)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	for _, dir := range []string{"lower", "upper", "work"} {
		if err := unix.FsconfigSetString(fd, dir+"dir", filepath.Join(base, "over", dir)); err != nil {
			t.Fatal(err)
		}
	}
	if err := unix.FsconfigCreate(fd); err != nil {
		t.Fatal(err)
	}
	root, err := unix.Fsmount(fd, unix.FSMOUNT_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	at := filepath.Join(base, "mounted")
	makeLayer(t, os.Mkdir(at, 0o755), unix.MoveMount(root, "", unix.AT_FDCWD, at, unix.MOVE_MOUNT_F_EMPTY_PATH), unix.Close(root))
	t.Cleanup(func() {
		if err := unix.Unmount(at, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return filepath.Join(at, "containerizer")
}
