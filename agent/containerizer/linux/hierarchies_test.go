package linux_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/internal/testkit/cgroupkit"
)

// inside is set in a process that needController has made.
const inside = "AGORA_TEST_OWN_MOUNTS"

// needController runs the rest of the test where containers have a controller. Where this
// machine has version 1 and nobody has mounted a hierarchy of it, that is another process,
// with a mount namespace of its own in which there is one; then it returns false.
func needController(t *testing.T, controller string) bool {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
	h, err := cgroups.Detect()
	if err != nil {
		t.Fatal(err)
	}
	switch {
	case h.Has(controller):
		return true
	case h.V2:
		t.Skipf("controller %s: %s", controller, h.Lacks(controller))
	case state(t, controller)[2] != "1":
		t.Skipf("controller %s: %s", controller, h.Lacks(controller))
	case os.Getenv(inside) == "":
		elsewhere(t)
		return false
	}
	mount(t, controller)
	t.Cleanup(func() { forgotten(t, controller) })
	return true
}

// mount puts a hierarchy beside the others, where runtimes look for it. The directory is a copy:
// that of the machine is left alone. All of it goes with the process's mount namespace.
func mount(t *testing.T, controller string) {
	t.Helper()
	const usual = "/sys/fs/cgroup"
	at := t.TempDir()
	entries, err := os.ReadDir(usual)
	if err != nil {
		t.Fatal(err)
	}
	check := func(what string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	check("tmpfs", syscall.Mount("tmpfs", at, "tmpfs", 0, ""))
	for _, e := range entries {
		if e.IsDir() {
			to := filepath.Join(at, e.Name())
			check(e.Name(), os.Mkdir(to, 0o700))
			check(e.Name(), syscall.Mount(filepath.Join(usual, e.Name()), to, "", syscall.MS_BIND, ""))
		}
	}
	check(controller, os.Mkdir(filepath.Join(at, controller), 0o700))
	check(controller, syscall.Mount(controller, filepath.Join(at, controller), "cgroup", 0, controller))
	check(usual, syscall.Unmount(usual, syscall.MNT_DETACH))
	check(usual, syscall.Mount(at, usual, "", syscall.MS_MOVE, ""))
}

// elsewhere runs the test once more, in a process with mounts of its own.
func elsewhere(t *testing.T) {
	t.Helper()
	cgroupkit.ChangeHierarchies(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	again := exec.Command(self, "-test.run", "^"+strings.ReplaceAll(t.Name(), "/", "$/^")+"$", "-test.v", "-test.timeout", "60s")
	again.Env = append(os.Environ(), inside+"=1")
	again.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	out, err := again.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Errorf("in a mount namespace of its own: %v\n%s", err, out)
	}
}

// forgotten waits until the kernel has forgotten the groups that were below a hierarchy: one that
// is unmounted before stays for ever.
func forgotten(t *testing.T, controller string) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(10 * time.Second); state(t, controller)[1] != strconv.Itoa(directories("/sys/fs/cgroup/"+controller)); <-tick.C {
		if time.Now().After(end) {
			t.Errorf("groups of %s stay", controller)
			return
		}
	}
}

// directories counts the groups of a hierarchy that can be seen. Others may use it, too.
func directories(at string) (count int) {
	_ = filepath.WalkDir(at, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			count++
		}
		return nil
	})
	return count
}

// state is what /proc/cgroups says of a controller: its hierarchy, the number of its groups
// (the root is one), and whether it is on.
func state(t *testing.T, controller string) [3]string {
	t.Helper()
	b, err := os.ReadFile("/proc/cgroups")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) == 4 && f[0] == controller {
			return [3]string{f[1], f[2], f[3]}
		}
	}
	return [3]string{}
}
