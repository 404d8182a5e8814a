package linux_test

import (
	"strconv"
	"strings"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/netcls"
)

// withClasses gives containers the handles 0x0012:0x0001 and 0x0012:0x0002.
func withClasses(t *testing.T) func(*linux.Config) {
	return func(c *linux.Config) {
		classes, err := netcls.Parse("0x0012", "0x0001,0x0002")
		if err != nil {
			t.Fatal(err)
		}
		c.Isolation.On = isolation.Set{isolation.CPU: true, isolation.Memory: true, isolation.NetCls: true}
		c.Isolation.NetClasses = classes
	}
}

// class is that of a container as its status says; 0 for none.
func (w *world) class(id containerizer.ID) uint32 {
	w.t.Helper()
	status, err := w.Status(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return status.GetCgroupInfo().GetNetCls().GetClassid()
}

func TestEachContainerHasANetworkClass(t *testing.T) {
	if !needController(t, "net_cls") {
		return
	}
	const first, second = 0x00120001, 0x00120002
	w := newWorld(t, withClasses(t))
	pod := w.spec("pod", "")
	pod.Command = nil
	w.launch(pod)
	shared, own := withImage(w.spec("pod.shared", "exec sleep 1000")), withImage(w.spec("pod.own", "exec sleep 1000"))
	shared.ShareCgroups = true
	w.launch(shared)
	w.launch(own)
	for id, want := range map[containerizer.ID]uint32{"pod": first, "pod.shared": first, "pod.own": second} {
		if got := w.class(id); got != want {
			t.Errorf("%s: class %#x, want %#x", id, got, want)
		}
	}
	for path, want := range map[string]int{"pod": first, "pod/own": second} {
		if got := w.file(path, "net_cls", "net_cls.classid"); got != strconv.Itoa(want) {
			t.Errorf("group %s: classid %s, want %d", path, got, want)
		}
	}

	full := func(when string) {
		t.Helper()
		_, err := w.Launch(w.ctx, w.spec("third", "exec sleep 1000"))
		if err == nil || !strings.Contains(err.Error(), "isolator cgroups/net_cls: no network class is left: all 2 secondary handles of 0x0012 are in use") {
			t.Errorf("%s: got %v", when, err)
		}
	}
	full("both are taken")
	w.restart("pod", "pod.shared", "pod.own")
	full("both were taken before the restart")
	if got := w.class("pod.own"); got != second {
		t.Errorf("class %#x after the restart", got)
	}

	if err := w.Destroy(w.ctx, "pod.own"); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Wait(w.ctx, "pod.own"); err != nil {
		t.Fatal(err)
	}
	if err := w.Remove(w.ctx, "pod.own"); err != nil {
		t.Fatal(err)
	}
	missing := w.spec("missing", "")
	missing.Command = shell("true")
	program := "/nowhere/program"
	missing.Command.Value, missing.Command.Shell = &program, new(bool)
	if _, err := w.Launch(w.ctx, missing); err == nil {
		t.Error("a program that does not exist was launched")
	}
	last := w.spec("last", "exec sleep 1000")
	w.launch(last)
	if got := w.class("last"); got != second {
		t.Errorf("class %#x, want the one that was freed, once by an end and once by a launch that failed", got)
	}
}

func TestWithoutHandlesThereIsNoClass(t *testing.T) {
	if !needController(t, "net_cls") {
		return
	}
	w := newWorld(t, withClasses(t), func(c *linux.Config) { c.Isolation.NetClasses = netcls.Handles{} })
	s := w.spec("plain", "exec sleep 1000")
	w.launch(s)
	if got, file := w.class(s.ID), w.file("plain", "net_cls", "net_cls.classid"); got != 0 || file != "0" {
		t.Errorf("class %#x, file %s", got, file)
	}
}
