package linux_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/isolation"
	"agora.dev/agora/agent/isolators/ports"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// listening gives a container ports and has it listen on one, in the network namespace that
// this program runs in.
func (w *wired) listening(id string, port int, given ...uint64) containerizer.Spec {
	s := withImage(w.spec(id, fmt.Sprintf("exec busybox httpd -f -p %d -h .", port)))
	s.Resources = append(s.Resources, portResource(given...)...)
	return s
}

func portResource(given ...uint64) (out []*mesos.Resource) {
	kind, name := mesos.Value_RANGES, "ports"
	for _, port := range given {
		out = append(out, &mesos.Resource{Name: &name, Type: &kind, Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: &port, End: &port}}}})
	}
	return out
}

// overPorts launches a container and wants it ended for the port.
func (w *wired) overPorts(s containerizer.Spec, port uint64) {
	w.t.Helper()
	w.launch(s)
	w.endedForPort(s.ID, port)
}

func (w *wired) endedForPort(id containerizer.ID, port uint64) {
	w.t.Helper()
	end, err := w.Wait(w.ctx, id)
	if err != nil {
		w.t.Fatal(err)
	}
	want := fmt.Sprintf("Container %s is listening on unallocated port(s): [%d-%d]", id, port, port)
	if end.State != mesos.TaskState_TASK_FAILED || end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION || end.Message != want {
		w.t.Errorf("%s: got %+v, want %q", id, end, want)
	}
	if got := ports.Of(end.Limited); !got.Contains(resources.NewRanges(resources.Range{Begin: port, End: port})) || got.Size() != 1 {
		w.t.Errorf("%s: the limitation's resources are %v", id, end.Limited)
	}
}

// looked has all containers looked at, twice: each time one that breaks the rules ends.
func (w *wired) looked(name string) {
	w.t.Helper()
	for i := range 2 {
		w.overPorts(w.listening(fmt.Sprint(name, i), 18090), 18090)
	}
}

func (w *wired) runs(id containerizer.ID) {
	w.t.Helper()
	list, err := w.launcher.List(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range list {
		if c.ID == string(id) && c.Exit == nil {
			return
		}
	}
	w.t.Errorf("%s has ended: %+v", id, list)
}

// isolatePorts starts the containerizer again with the isolator.
func (w *wired) isolatePorts(rules ports.Rules, log *slog.Logger) {
	w.t.Helper()
	h, err := cgroups.Detect()
	if err != nil {
		w.t.Fatal(err)
	}
	on, err := isolation.Parse("cgroups/cpu,cgroups/mem,network/ports", h)
	if err != nil {
		w.t.Fatal(err)
	}
	w.reopen(func(c *linux.Config) {
		c.Isolation.On, c.Log = on, log
		c.Isolation.Ports = linux.Ports{Rules: rules, Interval: 20 * time.Millisecond}
	})
}

func TestContainersListenOnPortsThatTheyWereGiven(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.isolatePorts(ports.Rules{Enforce: true}, slog.New(slog.DiscardHandler))
		w.launch(w.listening("good", 18081, 18080, 18081))
		own := on(withImage(w.spec("own", server)), 18082)
		w.launch(own)
		w.page(18082)
		w.overPorts(w.listening("bad", 18083, 18080), 18083)
		w.looked("first")
		w.runs("good")
		w.runs("own")
		// What a container was given survives the agent, and can change.
		w.known = []containerizer.ID{"good", "own"}
		w.kill()
		w.open()
		w.looked("second")
		w.runs("good")
		list := append(w.spec("good", "").Resources, portResource(18080)...)
		if err := w.Update(w.ctx, "good", list, nil); err != nil {
			t.Fatal(err)
		}
		w.endedForPort("good", 18081)
		w.runs("own")
	})
}

// receiver is the variable that has this program bind an address for datagrams and wait.
const receiver = "AGORA_TEST_RECEIVE"

func receive(address string) {
	c, err := net.ListenPacket("udp", address)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	_, _, _ = c.ReadFrom(make([]byte, 1))
	os.Exit(0)
}

// receiving gives a container ports and has it wait for datagrams on one.
func (w *wired) receiving(id string, port int, given ...uint64) containerizer.Spec {
	w.t.Helper()
	program, err := os.Executable()
	if err != nil {
		w.t.Fatal(err)
	}
	s := w.spec(id, "exec "+program)
	s.Env[receiver] = fmt.Sprintf("127.0.0.1:%d", port)
	s.Resources = append(s.Resources, portResource(given...)...)
	return s
}

func TestDatagramsAreLookedAtWhenAsked(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.isolatePorts(ports.Rules{Enforce: true}, slog.New(slog.DiscardHandler))
		w.launch(w.receiving("quiet", 18085))
		w.await("a bound socket", func() bool { return bound(18085) })
		w.looked("streams")
		w.runs("quiet")
		w.isolatePorts(ports.Rules{Enforce: true, Datagrams: true}, slog.New(slog.DiscardHandler))
		w.launch(w.receiving("good", 18086, 18086))
		w.await("a bound socket", func() bool { return bound(18086) })
		w.launch(w.receiving("bad", 18087, 18086))
		w.endedForPort("bad", 18087)
		w.looked("both")
		w.runs("good")
	})
}

// bound reports whether somebody has the port. It does not try it, since the container might find it taken then.
func bound(port int) bool {
	sockets, err := os.ReadFile("/proc/thread-self/net/udp")
	return err == nil && strings.Contains(string(sockets), fmt.Sprintf(" 0100007F:%04X ", port))
}

func TestTasksOfAPodListenOnItsPorts(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		w.isolatePorts(ports.Rules{Enforce: true}, slog.New(slog.DiscardHandler))
		root := w.spec("pod", "")
		root.Command, root.Resources = nil, append(root.Resources, portResource(18081, 18082)...)
		w.launch(root)
		for name, share := range map[string]bool{"shared": true, "own": false} {
			port := map[bool]int{true: 18081, false: 18082}[share]
			good, bad := w.listening("pod."+name, port), w.listening("pod.bad-"+name, port+10)
			good.ShareCgroups, bad.ShareCgroups = share, share
			w.launch(good)
			w.overPorts(bad, uint64(port+10))
		}
		w.looked("pod.x")
		for _, id := range []containerizer.ID{"pod", "pod.shared", "pod.own"} {
			w.runs(id)
		}
	})
}

// journal keeps what is logged.
type journal struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (j *journal) Write(p []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.text.Write(p)
}

func (j *journal) count(text string) int {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Count(j.text.String(), text)
}

func TestPortsAreOnlyLoggedUnlessEnforced(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		j := &journal{}
		w.isolatePorts(ports.Rules{Within: resources.NewRanges(resources.Range{Begin: 18000, End: 18100})}, slog.New(slog.NewTextHandler(j, nil)))
		w.launch(w.listening("elsewhere", 19000))
		w.launch(w.listening("logged", 18083))
		w.await("a line", func() bool { return j.count("not given") > 0 })
		w.launch(w.listening("later", 18084))
		w.await("another line", func() bool { return j.count("container=later") > 0 })
		if n := j.count("container=logged"); n != 1 || j.count("container=elsewhere") > 0 {
			t.Errorf("%d lines about one container: %s", n, j.text.String())
		}
		for _, id := range []containerizer.ID{"logged", "later", "elsewhere"} {
			w.runs(id)
		}
	})
}
