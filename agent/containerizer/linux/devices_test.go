package linux_test

import (
	"io"
	"testing"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/devices"
	mesos "agora.dev/agora/api/mesos/v1"
)

// useLog tells what becomes of the kernel's log, a device that nobody needs and every
// machine has: it is opened to write, and nothing is written.
const useLog = `if [ ! -c /dev/kmsg ]; then echo none; elif (: > /dev/kmsg) 2>/dev/null; then echo opened; else echo refused; fi`

// makeLog makes another node of it.
const makeLog = `cd /tmp; rm -f log-$$; { mknod log-$$ c 1 11 || busybox mknod log-$$ c 1 11; } 2>/dev/null && (: > log-$$) 2>/dev/null && echo opened || echo refused; rm -f log-$$`

// session runs a script in a container that runs.
func (w *wired) session(id, script string) string {
	w.t.Helper()
	session, err := w.Exec(w.ctx, containerizer.Exec{ID: containerizer.ID(id), Command: shell(script)})
	if err != nil {
		w.t.Fatal(err)
	}
	out, _ := io.ReadAll(session.Stdout())
	if _, err := session.Wait(w.ctx); err != nil {
		w.t.Error(err)
	}
	if err := session.Close(); err != nil {
		w.t.Error(err)
	}
	return string(out)
}

// pod launches a container that others can be nested in.
func (w *wired) pod(id string) {
	w.t.Helper()
	root := w.spec(id, "")
	root.Command = nil
	w.launch(root)
}

// nestedOutput runs a script in a container of the pod.
func (w *wired) nestedOutput(s containerizer.Spec, share bool) string {
	w.t.Helper()
	s.ShareCgroups = share
	_, out := w.run(s)
	return out
}

func TestOnlyListedDevicesCanBeOpened(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.expect(w.spec("host", useLog), "refused\n")
		w.expect(withImage(w.spec("image", useLog)), "none\n")
		maker := &mesos.LinuxInfo{EffectiveCapabilities: capable(mesos.CapabilityInfo_MKNOD)}
		w.expect(as(w.spec("host-maker", makeLog), maker), "refused\n")
		w.expect(as(withImage(w.spec("maker", makeLog)), maker), "refused\n")
		w.pod("pod")
		for name, share := range map[string]bool{"shared": true, "own": false} {
			if out := w.nestedOutput(w.spec("pod."+name, useLog), share); out != "refused\n" {
				t.Errorf("nested, groups %s: %q", name, out)
			}
			if out := w.nestedOutput(as(withImage(w.spec("pod.maker-"+name, makeLog)), maker), share); out != "refused\n" {
				t.Errorf("nested with mknod, groups %s: %q", name, out)
			}
		}
		w.launch(w.spec("entered", "sleep 1000"))
		if out := w.session("entered.session", useLog); out != "refused\n" {
			t.Errorf("session: %q", out)
		}
	})
}

func TestAllowedDevicesCanBeOpenedEverywhere(t *testing.T) {
	const show = `; ls -l /dev/kmsg | cut -c1-10`
	eachLauncher(t, func(t *testing.T, w *wired) {
		list, err := devices.Parse(`{"allowed_devices":[{"device":{"path":"/dev/kmsg"},"access":{"write":true}}]}`)
		if err != nil {
			t.Fatal(err)
		}
		w.reopen(func(c *linux.Config) { c.Isolation.Devices = list })
		w.expect(w.spec("host", useLog), "opened\n")
		w.expect(withImage(w.spec("image", useLog+show)), "opened\nc-w--w--w-\n")
		nobody := withImage(w.spec("nobody", useLog))
		nobody.User = "nobody"
		w.expect(nobody, "opened\n")
		w.pod("pod")
		for name, share := range map[string]bool{"shared": true, "own": false} {
			if out := w.nestedOutput(withImage(w.spec("pod."+name, useLog)), share); out != "opened\n" {
				t.Errorf("nested, groups %s: %q", name, out)
			}
		}
		w.launch(withImage(w.spec("entered", "sleep 1000")))
		if out := w.session("entered.session", useLog); out != "opened\n" {
			t.Errorf("session: %q", out)
		}
	})
}
