package oci_test

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/launcher/template"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

func each(t *testing.T, run func(*testing.T, *launchertest.Rig)) {
	for _, runtime := range runtimes {
		t.Run(runtime, func(t *testing.T) { run(t, launchertest.NewRig(t, opener(runtime))) })
	}
}

func enter(t *testing.T, r *launchertest.Rig, id, parent, script string) (launcher.Exit, string) {
	t.Helper()
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	null, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	defer null.Close()
	process := template.Spec("/", "sh", "-c", script).Process
	_, err = r.Enter(r.Context(), launcher.Enter{ID: id, Parent: parent, Process: process, Files: [3]*os.File{null, write, write}})
	write.Close()
	if err != nil {
		t.Fatal(err)
	}
	out, _ := io.ReadAll(read)
	exit, err := r.Wait(r.Context(), id)
	if err != nil {
		t.Fatal(err)
	}
	return exit, string(out)
}

func TestEnteringProcessHasItsOwnStatusAndEnd(t *testing.T) {
	each(t, func(t *testing.T, r *launchertest.Rig) {
		request := r.Request("home", "echo up; sleep 1000")
		if _, err := r.Start(r.Context(), request); err != nil {
			t.Fatal(err)
		}
		r.Await(request, "up")
		exit, out := enter(t, r, "visit", "home", "hostname >/dev/null; sleep 500 >/dev/null 2>&1 & echo in $(ls -d /proc/[0-9]* | wc -l); exit 9")
		if !exit.Known || exit.Status>>8 != 9 || !strings.HasPrefix(out, "in ") {
			t.Errorf("got %+v, output %q; want 9", exit, out)
		}
		if err := r.Remove(r.Context(), "visit"); err != nil {
			t.Error(err)
		}
		if exit, out := enter(t, r, "count", "home", "grep -l sleep /proc/[0-9]*/comm | wc -l"); strings.TrimSpace(out) != "1" {
			t.Errorf("sleeping processes: %q (%+v); want only the container's own", out, exit)
		}
		if err := r.Destroy(r.Context(), "home"); err != nil {
			t.Error(err)
		}
	})
}

func TestDestroyEndsWhatEntered(t *testing.T) {
	each(t, func(t *testing.T, r *launchertest.Rig) {
		request := r.Request("home", "echo up; sleep 1000")
		if _, err := r.Start(r.Context(), request); err != nil {
			t.Fatal(err)
		}
		null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer null.Close()
		process := template.Spec("/", "sleep", "1000").Process
		if _, err := r.Enter(r.Context(), launcher.Enter{ID: "visit", Parent: "home", Process: process, Files: [3]*os.File{null, null, null}}); err != nil {
			t.Fatal(err)
		}
		if err := r.Destroy(r.Context(), "home"); err != nil {
			t.Fatal(err)
		}
		if exit, err := r.Wait(r.Context(), "visit"); err != nil || exit.Status != 9 {
			t.Errorf("got %+v, %v; want death by signal 9", exit, err)
		}
	})
}

func TestPauseHoldsNamespacesForOthers(t *testing.T) {
	each(t, func(t *testing.T, r *launchertest.Rig) {
		pause := r.Request("pause", "")
		pause.Pause, pause.Spec.Process, pause.Spec.Hostname = true, nil, "held"
		pid, err := r.Start(r.Context(), pause)
		if err != nil {
			t.Fatal(err)
		}
		nested := r.Request("pause.inner", "hostname")
		join(nested.Spec, specs.UTSNamespace, fmt.Sprintf("/proc/%d/ns/uts", pid))
		if exit, out := r.Run(nested); strings.TrimSpace(out) != "held" {
			t.Errorf("hostname %q (%+v), want that of the pause container", out, exit)
		}
		if err := r.Destroy(r.Context(), "pause"); err != nil {
			t.Error(err)
		}
		if exit, err := r.Wait(r.Context(), "pause"); err != nil || exit.Status != 9 {
			t.Errorf("got %+v, %v", exit, err)
		}
	})
}

func TestHostRootAndSharedProcessNamespaceLeaveNoOrphan(t *testing.T) {
	each(t, func(t *testing.T, r *launchertest.Rig) {
		request := r.Request("host", "(sleep 1000 &) ; test -d "+r.Scratch+" && echo seen; exit 4")
		request.Overlay, request.Spec.Root.Path = nil, "/"
		request.Spec.Mounts, request.Spec.Linux.MaskedPaths, request.Spec.Linux.ReadonlyPaths = nil, nil, nil
		request.Spec.Linux.Namespaces = []specs.LinuxNamespace{{Type: specs.MountNamespace}, {Type: specs.CgroupNamespace}}
		exit, out := r.Run(request)
		if exit.Status>>8 != 4 || !strings.Contains(out, "seen") {
			t.Errorf("got %+v, %q", exit, out)
		}
		if err := r.Remove(r.Context(), "host"); err != nil {
			t.Error(err)
		}
	})
}

func TestMountWithinADirectoryDoesNotLeadOut(t *testing.T) {
	each(t, func(t *testing.T, r *launchertest.Rig) {
		dir := t.TempDir()
		if err := errors.Join(os.Mkdir(dir+"/etc", 0o755), os.WriteFile(dir+"/etc/passwd", []byte("inside"), 0o644), os.Symlink("/etc/passwd", dir+"/link")); err != nil {
			t.Fatal(err)
		}
		request := r.Request("within", "cat /mnt/file")
		request.Spec.Mounts = append(request.Spec.Mounts, specs.Mount{Destination: "/mnt/file", Source: "etc/passwd", Type: "bind", Options: []string{"rbind", "ro", native.Within + dir}})
		if exit, out := r.Run(request); out != "inside" {
			t.Errorf("got %q (%+v), want the file below the directory", out, exit)
		}
	})
}

func join(spec *specs.Spec, kind specs.LinuxNamespaceType, path string) {
	for i := range spec.Linux.Namespaces {
		if spec.Linux.Namespaces[i].Type == kind {
			spec.Linux.Namespaces[i].Path = path
		}
	}
}
