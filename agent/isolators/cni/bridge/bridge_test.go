package bridge_test

import (
	"context"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/isolators/cni/bridge"
	"agora.dev/agora/internal/testkit/netkit"
	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

func TestMappedPortIsReachedFromEverywhereAndNothingElseIs(t *testing.T) {
	m := newMachine(t, t.TempDir())
	defer m.kill()
	outside := neighbour(t)
	if found := left(t, m.dir); len(found) != 0 {
		t.Fatalf("the test began with %v", found)
	}
	a, b := m.attach("a", mapping(18080, 80, "tcp")), m.attach("b", mapping(18081, 81, "tcp"))
	serve(t, a.Namespace, 80)
	serve(t, a.Namespace, 79)
	for _, c := range []struct{ from, address, want string }{
		{"", ip(a) + ":80", "10.63.0.1"},
		{"", "127.0.0.1:18080", "10.63.0.1"},
		{"", "192.0.2.1:18080", ""},
		{outside, "192.0.2.1:18080", "192.0.2.2"},
		{b.Namespace, ip(a) + ":79", ip(b)},
		{b.Namespace, "192.0.2.1:18080", "10.63.0.1"},
		{a.Namespace, "192.0.2.1:18080", "10.63.0.1"},
	} {
		var got string
		var err error
		if c.from == "" {
			got, err = ask(c.address)
		} else {
			got, err = askFrom(t, c.from, c.address)
		}
		if err != nil || (c.want != "" && got != c.want) {
			t.Errorf("from %q to %s: answer %q, %v; want %q", c.from, c.address, got, err, c.want)
		}
	}
	netkit.Inside(t, outside, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: &net.IPNet{IP: net.IPv4(10, 63, 0, 0), Mask: net.CIDRMask(16, 32)}, Gw: net.IPv4(192, 0, 2, 1)})
	})
	if _, err := askFrom(t, outside, ip(a)+":79"); err == nil {
		t.Error("a neighbour of the machine reached a port that is not mapped")
	}
	serve(t, outside, 7)
	if got, err := askFrom(t, a.Namespace, "192.0.2.2:7"); got != "192.0.2.1" {
		t.Errorf("the neighbour saw %q, %v; want the machine's address", got, err)
	}
	for _, id := range []string{"a", "b"} {
		if err := m.Detach(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if found := left(t, m.dir); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
}

func TestPortsOfOthersAreNotTaken(t *testing.T) {
	m := newMachine(t, t.TempDir())
	defer m.kill()
	outside := neighbour(t)
	a := m.attach("a", mapping(18080, 80, "tcp"))
	serve(t, a.Namespace, 80)
	serve(t, outside, 18080)
	b := m.attach("b")
	// What passes through to another machine's port of the same number is not ours.
	if got, err := askFrom(t, b.Namespace, "192.0.2.2:18080"); got != "192.0.2.1" {
		t.Errorf("a connection to the neighbour was answered %q, %v", got, err)
	}
	if _, err := m.try("c", mapping(18080, 80, "tcp")); err == nil || !strings.Contains(err.Error(), "mapped to container a") {
		t.Errorf("a port was mapped twice: %v", err)
	}
	l, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	port := netip.MustParseAddrPort(l.Addr().String()).Port()
	if _, err := m.try("d", mapping(uint32(port), 80, "tcp")); err == nil || !strings.Contains(err.Error(), "in use by another program") {
		t.Errorf("a port in use was mapped: %v", err)
	}
	if _, err := m.try("e", mapping(0, 80, "tcp")); err == nil {
		t.Error("port 0 was mapped")
	}
	if _, err := m.try("f", mapping(18082, 80, "sctp")); err == nil || !strings.Contains(err.Error(), "sctp") {
		t.Errorf("protocol: %v", err)
	}
	for _, id := range []string{"a", "b"} {
		if err := m.Detach(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if found := left(t, m.dir); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
}

func TestUDPIsMapped(t *testing.T) {
	m := newMachine(t, t.TempDir())
	defer m.kill()
	a := m.attach("a", mapping(18053, 53, "udp"))
	defer func() { _ = m.Detach(context.Background(), "a") }()
	var server net.PacketConn
	netkit.Inside(t, a.Namespace, func() (err error) { server, err = net.ListenPacket("udp4", ":53"); return err })
	defer server.Close()
	go func() {
		b := make([]byte, 16)
		if n, from, err := server.ReadFrom(b); err == nil {
			_, _ = server.WriteTo(b[:n], from)
		}
	}()
	c, err := net.Dial("udp4", "127.0.0.1:18053")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second))
	if _, err := c.Write([]byte("ping")); err != nil {
		t.Fatal(err)
	}
	b := make([]byte, 16)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "ping" {
		t.Errorf("answer %q, %v", b[:n], err)
	}
}

func TestContainerCannotReachTheMachinesLoopbackNorUseForeignAddresses(t *testing.T) {
	m := newMachine(t, t.TempDir())
	defer m.kill()
	a, b := m.attach("a"), m.attach("b")
	defer func() {
		for _, id := range []string{"a", "b"} {
			_ = m.Detach(context.Background(), id)
		}
	}()
	serve(t, b.Namespace, 80)
	if _, err := askFrom(t, a.Namespace, ip(b)+":80"); err != nil {
		t.Fatalf("before: %v", err)
	}
	netkit.Inside(t, a.Namespace, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		// 127.0.0.2 of the machine through the bridge, as in CVE-2020-8558.
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/eth0/route_localnet", []byte("1"), 0); err != nil {
			return err
		}
		if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.IPv4(10, 63, 0, 1), Dst: &net.IPNet{IP: net.IPv4(127, 0, 0, 2), Mask: net.CIDRMask(32, 32)}, Table: unix.RT_TABLE_LOCAL}); err != nil {
			return err
		}
		// And an address that is another's, as a container with NET_ADMIN could.
		extra, _ := netlink.ParseAddr("10.63.0.99/22")
		return netlink.AddrAdd(link, extra)
	})
	netkit.Inside(t, a.Namespace, func() error {
		d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP("10.63.0.99")}}
		if c, err := d.Dial("tcp4", ip(b)+":80"); err == nil {
			c.Close()
			t.Error("a container used an address that is not its own")
		}
		return nil
	})
	l, err := net.Listen("tcp4", "127.0.0.2:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	netkit.Inside(t, a.Namespace, func() error {
		d := net.Dialer{Timeout: time.Second, LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip(a))}}
		if c, err := d.Dial("tcp4", l.Addr().String()); err == nil {
			c.Close()
			t.Error("a container reached the machine's loopback")
		}
		return nil
	})
	if b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + m.name + "/accept_ra"); err == nil && strings.TrimSpace(string(b)) != "0" {
		t.Errorf("accept_ra of the bridge is %s", b)
	}
}

func TestRulesThatSomebodyFlushedComeBack(t *testing.T) {
	m := newMachine(t, t.TempDir())
	defer m.kill()
	a := m.attach("a", mapping(18080, 80, "tcp"))
	defer func() { _ = m.Detach(context.Background(), "a") }()
	serve(t, a.Namespace, 80)
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	c.FlushRuleset()
	if err := c.Flush(); err != nil {
		t.Fatal(err)
	}
	if _, err := ask("127.0.0.1:18080"); err == nil {
		t.Fatal("flushing did nothing")
	}
	if err := m.bridge.Check(); err != nil {
		t.Fatal(err)
	}
	for _, address := range append([]string{"127.0.0.1"}, gateway6(a)...) {
		if _, err := ask(net.JoinHostPort(address, "18080")); err != nil {
			t.Error(err)
		}
	}
}

func TestAgentThatReturnsTakesOver(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, dir)
	a := m.attach("alive", mapping(18080, 80, "tcp"))
	m.attach("dead", mapping(18081, 80, "tcp"))
	serve(t, a.Namespace, 80)
	m.kill()
	m = newMachine(t, dir)
	defer m.kill()
	if err := m.Recover([]string{"alive"}); err != nil {
		t.Fatal(err)
	}
	if found := m.Find("alive"); found == nil || ip(found) != ip(a) || ip6(found) != ip6(a) || found.Hostname != "alive" {
		t.Errorf("the live container was recovered as %+v", found)
	}
	if _, err := ask("127.0.0.1:18080"); err != nil {
		t.Error(err)
	}
	await(t, func() bool { _, err := os.Stat(filepath.Join(dir, "containers/dead")); return err != nil })
	b := m.attach("new", mapping(18081, 80, "tcp"))
	if ip(b) == ip(a) {
		t.Errorf("the address %s was given twice", ip(a))
	}
	for _, id := range []string{"alive", "new"} {
		if err := m.Detach(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if found := left(t, dir); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
}

func TestRebootLeavesNothingBehind(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, dir)
	a := m.attach("before", mapping(18080, 80, "tcp"))
	m.kill()
	// What the machine forgets: mounts, links and rules. The files stay.
	_ = unix.Unmount(a.Namespace, unix.MNT_DETACH)
	_ = unix.Unmount(filepath.Join(dir, "containers"), unix.MNT_DETACH)
	if link, err := netlink.LinkByName(m.name); err == nil {
		_ = netlink.LinkDel(link)
	}
	c, err := nftables.New()
	if err != nil {
		t.Fatal(err)
	}
	c.FlushRuleset()
	_ = c.Flush()
	_ = os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("0"), 0)
	_ = os.WriteFile("/proc/sys/net/ipv6/conf/all/forwarding", []byte("0"), 0)
	m = newMachine(t, dir)
	defer m.kill()
	if err := m.Recover(nil); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { return len(left(t, dir)) == 0 })
}

func TestLastOfSeveralAgentsTurnsForwardingOff(t *testing.T) {
	first, second := newMachine(t, t.TempDir()), newMachine(t, t.TempDir())
	defer first.kill()
	defer second.kill()
	a, b := first.attach("a"), second.attach("b")
	if netip.MustParsePrefix(ip(a)+"/22").Masked() == netip.MustParsePrefix(ip(b)+"/22").Masked() {
		t.Errorf("two agents share a block: %s and %s", ip(a), ip(b))
	}
	if hasIPv6() && netip.MustParsePrefix(ip6(a)+"/64").Masked() == netip.MustParsePrefix(ip6(b)+"/64").Masked() {
		t.Errorf("two agents share a block: %s and %s", ip6(a), ip6(b))
	}
	if err := first.Detach(t.Context(), "a"); err != nil {
		t.Error(err)
	}
	for _, file := range []string{"/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"} {
		if b, err := os.ReadFile(file); err == nil && strings.TrimSpace(string(b)) != "1" {
			t.Errorf("%s was turned off under an agent that needs it", file)
		}
	}
	if err := second.Detach(t.Context(), "b"); err != nil {
		t.Error(err)
	}
	if found := left(t, second.dir); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
	t.Fatal("waited in vain")
}

// BenchmarkAttach is what a network costs the start and the end of a container: namespace,
// interface, addresses, rules.
func BenchmarkAttach(b *testing.B) {
	netkit.Need(b)
	for name, pool := range map[string]netip.Prefix{"IPv4 alone": {}, "IPv4 and IPv6": bridge.DerivePool6("test")} {
		b.Run(name, func(b *testing.B) {
			m := newMachine(b, b.TempDir(), func(c *bridge.Config) { c.Pool6 = pool })
			defer m.kill()
			m.attach("first") // the bridge is there
			defer func() { _ = m.Detach(context.Background(), "first") }()
			var attached time.Duration
			for b.Loop() {
				began := time.Now()
				m.attach("c", mapping(18080, 80, "tcp"))
				attached += time.Since(began)
				if err := m.Detach(b.Context(), "c"); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(attached.Microseconds())/float64(b.N), "µs/attach")
		})
	}
}
