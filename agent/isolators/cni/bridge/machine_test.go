package bridge_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/isolators/cni"
	"agora.dev/agora/agent/isolators/cni/bridge"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/testkit/netkit"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(netkit.Main(m)) }

// machine is an agent's networks on a machine with a neighbour.
type machine struct {
	*cni.Isolator
	bridge *bridge.Bridge
	t      testing.TB
	dir    string
	name   string
}

func newMachine(t testing.TB, dir string, change ...func(*bridge.Config)) *machine {
	t.Helper()
	netkit.Need(t)
	sum := 0
	for _, c := range dir {
		sum = sum*31 + int(c)
	}
	m := &machine{t: t, dir: dir, name: fmt.Sprintf("agora-%08x", uint32(sum))}
	var err error
	config := bridge.Config{Dir: filepath.Join(dir, "bridge"), Name: m.name, Pool6: bridge.DerivePool6("test")}
	for _, f := range change {
		f(&config)
	}
	if m.bridge, err = bridge.New(config); err != nil {
		t.Fatal(err)
	}
	m.Isolator, err = cni.New(cni.Config{Dir: dir, Builtin: map[string]cni.Plugin{bridge.Type: m.bridge},
		Networks: map[string][]byte{bridge.Network: []byte(bridge.Configuration)}, Told: cni.Told{Sockets: true, RoundTrips: true, SNMP: true}})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// kill ends the agent without a word.
func (m *machine) kill() {
	m.Isolator.Close()
	m.bridge.Close()
}

func (m *machine) attach(id string, ports ...*mesos.NetworkInfo_PortMapping) *cni.Attached {
	m.t.Helper()
	a, err := m.try(id, ports...)
	if err != nil {
		m.t.Fatal(err)
	}
	return a
}

func (m *machine) try(id string, ports ...*mesos.NetworkInfo_PortMapping) (*cni.Attached, error) {
	name := bridge.Network
	return m.Attach(m.t.Context(), cni.Request{Container: id, Hostname: id, Networks: []*mesos.NetworkInfo{{Name: &name, PortMappings: ports}}})
}

func mapping(host, container uint32, protocol string) *mesos.NetworkInfo_PortMapping {
	return &mesos.NetworkInfo_PortMapping{HostPort: &host, ContainerPort: &container, Protocol: &protocol}
}

func ip(a *cni.Attached) string { return a.Infos[0].GetIpAddresses()[0].GetIpAddress() }

// serve answers every connection in the namespace with its peer's address.
func serve(t *testing.T, namespace string, port int) {
	t.Helper()
	var l net.Listener
	netkit.Inside(t, namespace, func() (err error) {
		l, err = net.Listen("tcp", fmt.Sprintf(":%d", port))
		return err
	})
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
			fmt.Fprint(c, host)
			c.Close()
		}
	}()
}

// ask connects and returns the answer.
func ask(address string) (string, error) {
	c, err := net.DialTimeout("tcp", address, 2*time.Second)
	if err != nil {
		return "", err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

func askFrom(t *testing.T, namespace, address string) (answer string, err error) {
	t.Helper()
	netkit.Inside(t, namespace, func() error {
		answer, err = ask(address)
		return nil
	})
	return answer, err
}

// neighbour is another machine: 192.0.2.2 and 2001:db8::2, where ours is 192.0.2.1 and
// 2001:db8::1.
func neighbour(t *testing.T) (namespace string) {
	t.Helper()
	other, err := cni.New(cni.Config{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	a, err := other.Attach(t.Context(), cni.Request{Container: "neighbour", Hostname: "neighbour"})
	if err != nil {
		t.Fatal(err)
	}
	fd, err := os.Open(a.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	defer fd.Close()
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "uplink"}, PeerName: "eth0", PeerNamespace: netlink.NsFd(int(fd.Fd()))}
	if err := netlink.LinkAdd(link); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = netlink.LinkDel(link)
		if err := other.Detach(context.Background(), "neighbour"); err != nil {
			t.Error(err)
		}
		other.Close()
	})
	address(t, "uplink", "192.0.2.1/24", "2001:db8::1/64")
	netkit.Inside(t, a.Namespace, func() error { address(t, "eth0", "192.0.2.2/24", "2001:db8::2/64"); return nil })
	return a.Namespace
}

func address(t *testing.T, name string, prefixes ...string) {
	link, err := netlink.LinkByName(name)
	for _, prefix := range prefixes {
		if err != nil {
			break
		}
		parsed, _ := netlink.ParseAddr(prefix)
		if parsed.IP.To4() == nil {
			if !hasIPv6() {
				continue
			}
			parsed.Flags = unix.IFA_F_NODAD
		}
		err = netlink.AddrAdd(link, parsed)
	}
	if err == nil {
		err = netlink.LinkSetUp(link)
	}
	if err != nil {
		t.Error(err)
	}
}

func hasIPv6() bool {
	_, err := os.Stat("/proc/net/if_inet6")
	return err == nil
}

// left lists what the network of the machine has beyond loopback.
func left(t *testing.T, dir string) (out []string) {
	t.Helper()
	links, err := netlink.LinkList()
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range links {
		if l.Attrs().Name != "lo" && l.Attrs().Name != "uplink" {
			out = append(out, "link "+l.Attrs().Name)
		}
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range []nftables.TableFamily{nftables.TableFamilyIPv4, nftables.TableFamilyIPv6, nftables.TableFamilyBridge} {
		tables, err := c.ListTablesOfFamily(family)
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			out = append(out, "table "+table.Name)
		}
	}
	if b, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); strings.TrimSpace(string(b)) != "0" {
		out = append(out, "ip_forward")
	}
	if b, err := os.ReadFile("/proc/sys/net/ipv6/conf/all/forwarding"); err == nil && strings.TrimSpace(string(b)) != "0" {
		out = append(out, "forwarding of IPv6")
	}
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	if strings.Contains(string(mounts), dir) {
		out = append(out, "mount")
	}
	for _, sub := range []string{"containers", "bridge/leases"} {
		entries, _ := os.ReadDir(filepath.Join(dir, sub))
		for _, e := range entries {
			out = append(out, "file "+e.Name())
		}
	}
	return out
}
