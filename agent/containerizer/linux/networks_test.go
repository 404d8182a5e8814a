package linux_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/isolators/cni"
	"agora.dev/agora/agent/isolators/cni/bridge"
	"agora.dev/agora/agent/isolators/secrets"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launcher/launchertest"
	"agora.dev/agora/agent/launcher/native"
	"agora.dev/agora/agent/launcher/oci"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/testkit/netkit"
)

func TestMain(m *testing.M) {
	if address := os.Getenv(receiver); address != "" {
		receive(address)
	}
	if dir := os.Getenv(leaver); dir != "" {
		os.Exit(leaveProject(dir))
	}
	os.Exit(netkit.Main(m))
}

// wired is an agent's containers with networks, on one of the launchers.
type wired struct {
	*world
	kind     string // of the launcher
	image    busybox
	launcher interface {
		launcher.Launcher
		Close() error
	}
	networks *cni.Isolator
	bridge   *bridge.Bridge
	known    []containerizer.ID
	change   func(*linux.Config)
}

// eachLauncher runs a test with every launcher.
func eachLauncher(t *testing.T, run func(t *testing.T, w *wired)) {
	netkit.Need(t)
	for _, kind := range []string{"native", "runc", "crun"} {
		t.Run(kind, func(t *testing.T) {
			if _, err := exec.LookPath(kind); err != nil && kind != "native" {
				t.Skipf("SKIP: %s is missing; apt-get install %s", kind, kind)
			}
			w := &wired{kind: kind, image: busybox{launchertest.Busybox(t)}}
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
			w.world = &world{t: t, ctx: ctx, dir: t.TempDir()}
			w.open()
			t.Cleanup(func() {
				w.removeAll()
				w.kill()
				cancel()
				if found := w.left(); len(found) != 0 {
					t.Errorf("left: %v", found)
				}
			})
			run(t, w)
		})
	}
}

func (w *wired) open() {
	w.t.Helper()
	var errs [4]error
	if w.kind == "native" {
		w.launcher, errs[0] = native.New(native.Config{Dir: filepath.Join(w.dir, "launcher")})
	} else {
		w.launcher, errs[0] = oci.New(oci.Config{Dir: filepath.Join(w.dir, "launcher"), Runtime: w.kind})
	}
	nets := filepath.Join(w.dir, "networks")
	w.bridge, errs[1] = bridge.New(bridge.Config{Dir: filepath.Join(nets, "bridge"), Name: "agora-" + w.kind, Pool6: bridge.DerivePool6("test")})
	w.networks, errs[2] = cni.New(cni.Config{Dir: nets, Builtin: map[string]cni.Plugin{bridge.Type: w.bridge},
		Networks: map[string][]byte{bridge.Network: []byte(bridge.Configuration)}})
	config := linux.Config{Launcher: w.launcher, Images: w.image, Networks: w.networks, Secrets: secrets.Files{},
		Dir: filepath.Join(w.dir, "containerizer"), Cgroups: "/agora-test-" + filepath.Base(filepath.Dir(w.dir))}
	if w.change != nil {
		w.change(&config)
	}
	w.Containerizer, errs[3] = linux.New(config)
	if err := errors.Join(errs[:]...); err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Recover(w.ctx, w.known); err != nil {
		w.t.Fatal(err)
	}
}

// reopen ends all containers, and goes on with other options.
func (w *wired) reopen(change func(*linux.Config)) {
	w.t.Helper()
	w.removeAll()
	w.kill()
	w.change = change
	w.open()
}

// kill ends agent and launcher; containers run on.
func (w *wired) kill() {
	w.launcher.Close()
	w.networks.Close()
	w.bridge.Close()
	w.Containerizer.Close()
}

func (w *wired) removeAll() {
	list, _ := w.launcher.List(w.ctx)
	for _, f := range list {
		if id := containerizer.ID(f.ID); !strings.Contains(f.ID, ".") {
			w.end(id)
		}
	}
}

func (w *wired) end(id containerizer.ID) {
	w.t.Helper()
	if err := w.Destroy(w.ctx, id); err != nil {
		w.t.Error(err)
	}
	if _, err := w.Wait(w.ctx, id); err != nil {
		w.t.Error(err)
	}
	if err := w.Remove(w.ctx, id); err != nil {
		w.t.Error(err)
	}
}

// left is what tests of the bridge look at more closely.
func (w *wired) left() (out []string) {
	links, _ := net.Interfaces()
	for _, l := range links {
		if l.Name != "lo" {
			out = append(out, l.Name)
		}
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, w.dir) {
			out = append(out, line)
		}
	}
	return out
}

// on puts a container into the bridge's network and maps port 80.
func on(s containerizer.Spec, port uint64) containerizer.Spec {
	if s.Container == nil {
		kind := mesos.ContainerInfo_MESOS
		s.Container = &mesos.ContainerInfo{Type: &kind}
	}
	name, host, inside := bridge.Network, uint32(port), uint32(80)
	s.Container.NetworkInfos = []*mesos.NetworkInfo{{Name: &name, PortMappings: []*mesos.NetworkInfo_PortMapping{{HostPort: &host, ContainerPort: &inside}}}}
	ranges, ports := mesos.Value_RANGES, "ports"
	s.Resources = append(s.Resources, &mesos.Resource{Name: &ports, Type: &ranges, Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: &port, End: &port}}}})
	return s
}

// addresses are how many a container has on the bridge: one of IPv6 where there is such.
func addresses() int {
	if _, err := os.Stat("/proc/net/if_inet6"); err != nil {
		return 1
	}
	return 2
}

// page asks for /page until the server is up.
func (w *wired) page(port int) string {
	w.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/page", port))
		if err == nil {
			b, _ := io.ReadAll(response.Body)
			response.Body.Close()
			return string(b)
		}
		select {
		case <-tick.C:
		case <-w.ctx.Done():
			w.t.Fatal(err)
		}
	}
}

const server = `echo $MESOS_CONTAINER_IP > page; exec busybox httpd -f -p 80 -h .`

func TestContainerIsReachedThroughItsMappedPort(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		s := on(withImage(w.spec("web", server)), 18080)
		s.Env["MESOS_CONTAINER_IP"], s.Env["LIBPROCESS_IP"] = "192.0.2.9", "192.0.2.9"
		if _, err := w.Launch(w.ctx, s); err != nil {
			t.Fatal(err)
		}
		status, err := w.Status(w.ctx, "web")
		if err != nil || len(status.GetNetworkInfos()) != 1 {
			t.Fatalf("status %v, %v", status, err)
		}
		info := status.GetNetworkInfos()[0]
		if info.GetName() != bridge.Network || info.GetPortMappings()[0].GetHostPort() != 18080 || len(info.GetIpAddresses()) != addresses() {
			t.Errorf("network info %v", info)
		}
		if got := strings.TrimSpace(w.page(18080)); got != info.GetIpAddresses()[0].GetIpAddress() {
			t.Errorf("the container takes %q for its address, the status says %v", got, info.GetIpAddresses())
		}
		usage, err := w.Usage(w.ctx, "web")
		if err != nil || usage.GetNetRxBytes() == 0 || usage.GetNetTxPackets() == 0 || usage.GetNetRxErrors() != 0 {
			t.Errorf("usage %v, %v", usage, err)
		}
		w.known = []containerizer.ID{"web"}
		w.kill()
		w.open()
		if again, err := w.Status(w.ctx, "web"); err != nil || again.GetNetworkInfos()[0].GetIpAddresses()[0].GetIpAddress() != info.GetIpAddresses()[0].GetIpAddress() {
			t.Errorf("after the restart of agent and launcher: %v, %v", again, err)
		}
		w.page(18080)
	})
}

func TestContainerHasNamesOfItsOwn(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		s := on(withImage(w.spec("names", `hostname; cat /etc/hostname; grep -c names.example /etc/hosts; ls /sys/class/net; cat /proc/sys/net/ipv4/ip_unprivileged_port_start`)), 18080)
		name := "names.example"
		s.Container.Hostname = &name
		code, out := w.run(s)
		if want := fmt.Sprintf("names.example\nnames.example\n%d\neth0\nlo\n0\n", addresses()); code != 0 || out != want {
			t.Errorf("code %d, output %q, want %q", code, out, want)
		}
	})
}

func TestPodSharesItsNetworkAndANestedContainerMayHaveItsOwn(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		root := on(w.spec("pod", ""), 18080)
		root.Command = nil
		if _, err := w.Launch(w.ctx, root); err != nil {
			t.Fatal(err)
		}
		web := withImage(w.spec("pod.web", server))
		web.Env["MESOS_CONTAINER_IP"] = "192.0.2.9"
		if _, err := w.Launch(w.ctx, web); err != nil {
			t.Fatal(err)
		}
		address := strings.TrimSpace(w.page(18080))
		status, err := w.Status(w.ctx, "pod.web")
		if err != nil || status.GetNetworkInfos()[0].GetIpAddresses()[0].GetIpAddress() != address {
			t.Errorf("status %v, %v; the container has %s", status, err, address)
		}
		client := withImage(w.spec("pod.client", "busybox wget -q -O - http://127.0.0.1/page; cat /etc/hostname; hostname"))
		if code, out := w.run(client); code != 0 || out != address+"\npod\npod\n" {
			t.Errorf("code %d, output %q", code, out)
		}
		own := on(withImage(w.spec("pod.own", "busybox nc -w 2 127.0.0.1 80 2>/dev/null </dev/null || echo alone; hostname")), 18081)
		if _, out := w.run(own); out != "alone\nown\n" {
			t.Errorf("output %q", out)
		}
	})
}

func TestContainerWithoutImageHasNetworkToo(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		s, want := on(w.spec("plain", `grep -c eth0 /proc/net/dev; grep -c plain /etc/hosts`), 18080), fmt.Sprintf("1\n%d\n", addresses())
		if _, err := os.Stat("/etc/hosts"); err != nil { // then none is made on the host
			s.Command, want = shell("grep -c eth0 /proc/net/dev; test ! -e /etc/hosts"), "1\n"
		}
		if code, out := w.run(s); code != 0 || out != want {
			t.Errorf("code %d, output %q", code, out)
		}
		if b, err := os.ReadFile("/etc/hosts"); err == nil && strings.Contains(string(b), "plain") {
			t.Error("the host's file of names was changed")
		}
	})
}

func TestPortIsFreeWhenTheEndIsKnown(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		for range 3 {
			s := on(withImage(w.spec("turn", "true")), 18080)
			if code, out := w.run(s); code != 0 {
				t.Fatalf("code %d, output %q", code, out)
			}
			if entries, _ := os.ReadDir(filepath.Join(w.dir, "networks/bridge/leases")); len(entries) != 0 {
				t.Fatalf("an ended container has an address: %v", entries)
			}
			if err := w.Remove(w.ctx, s.ID); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func TestNetworksThatCannotBeAreRefused(t *testing.T) {
	netkit.Need(t)
	w := newWorld(t)
	docker := func(mode mesos.ContainerInfo_DockerInfo_Network, named int) containerizer.Spec {
		s := w.spec("refused", "true")
		kind, image := mesos.ContainerInfo_DOCKER, "busybox"
		s.Container = &mesos.ContainerInfo{Type: &kind, Docker: &mesos.ContainerInfo_DockerInfo{Image: &image, Network: &mode}}
		for i := range named {
			name := fmt.Sprint("net", i)
			s.Container.NetworkInfos = append(s.Container.NetworkInfos, &mesos.NetworkInfo{Name: &name})
		}
		return s
	}
	notOffered, unnamed, twice := on(w.spec("refused", "true"), 18080), on(w.spec("refused", "true"), 18080), on(w.spec("refused", "true"), 18080)
	notOffered.Resources = nil
	unnamed.Container.NetworkInfos[0].Name = nil
	twice.Container.NetworkInfos = slices.Repeat(twice.Container.NetworkInfos, 2)
	for want, s := range map[string]containerizer.Spec{
		"host port 18080 is not among the ports of the task's resources": notOffered,
		"port mappings need a named network, such as agora/bridge":       unnamed,
		`network "agora/bridge" is asked for twice`:                      twice,
		"network mode USER needs one named network, not 2":               docker(mesos.ContainerInfo_DockerInfo_USER, 2),
		`network "net0": a named network needs network mode USER`:        docker(mesos.ContainerInfo_DockerInfo_HOST, 1),
		"this agent has no networks of containers":                       docker(mesos.ContainerInfo_DockerInfo_BRIDGE, 0),
	} {
		if _, err := w.Launch(w.ctx, s); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q in it", err, want)
		}
	}
}

func TestHostNameCannotCarryALineIntoFiles(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		s := on(w.spec("refused", "true"), 18080)
		evil := "a\n127.0.0.1 registry"
		s.Container.Hostname = &evil
		if _, err := w.Launch(w.ctx, s); err == nil || !strings.Contains(err.Error(), "host name") {
			t.Errorf("got %v", err)
		}
	})
}

func TestNetworkOfNoneHasLoopbackAlone(t *testing.T) {
	eachLauncher(t, func(t *testing.T, w *wired) {
		s := w.spec("none", "ls /sys/class/net")
		kind, image, mode := mesos.ContainerInfo_DOCKER, "busybox", mesos.ContainerInfo_DockerInfo_NONE
		s.Container = &mesos.ContainerInfo{Type: &kind, Docker: &mesos.ContainerInfo_DockerInfo{Image: &image, Network: &mode}}
		if code, out := w.run(s); code != 0 || out != "lo\n" {
			t.Errorf("code %d, output %q", code, out)
		}
	})
}

// poll is a moment to look again.
func (w *wired) poll() <-chan time.Time { return time.After(2 * time.Millisecond) }

func ptr[T any](v T) *T { return &v }

func errorOf(errs ...error) error { return errors.Join(errs...) }
