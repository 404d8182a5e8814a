package bridge_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/isolators/cni"
	"agora.dev/agora/agent/isolators/cni/bridge"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/testkit/netkit"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// ip6 is a container's IPv6 address; empty where it has none.
func ip6(a *cni.Attached) string {
	for _, address := range a.Infos[0].GetIpAddresses() {
		if address.GetProtocol() == mesos.NetworkInfo_IPv6 {
			return address.GetIpAddress()
		}
	}
	return ""
}

// gateway6 is the bridge's own IPv6 address; none where there is no IPv6.
func gateway6(a *cni.Attached) []string {
	if ip6(a) == "" {
		return nil
	}
	out := netip.MustParsePrefix(ip6(a) + "/64").Masked().Addr().As16()
	four := netip.MustParsePrefix(ip(a) + "/22").Masked().Addr().Next().As4()
	copy(out[12:], four[:])
	return []string{netip.AddrFrom16(out).String()}
}

// withIPv6 is a machine, its neighbour and some containers with IPv6.
func withIPv6(t *testing.T, ids ...string) (m *machine, outside string, containers []*cni.Attached) {
	t.Helper()
	m = newMachine(t, t.TempDir())
	t.Cleanup(m.kill)
	if !hasIPv6() {
		t.Skip("SKIP: this kernel has no IPv6")
	}
	outside = neighbour(t)
	for i, id := range ids {
		var ports []*mesos.NetworkInfo_PortMapping
		if i == 0 {
			ports = append(ports, mapping(18080, 80, "tcp"), mapping(18053, 53, "udp"))
		}
		containers = append(containers, m.attach(id, ports...))
	}
	t.Cleanup(func() {
		for _, id := range ids {
			if err := m.Detach(context.Background(), id); err != nil {
				t.Error(err)
			}
		}
		if found := left(t, m.dir); len(found) != 0 {
			t.Errorf("left: %v", found)
		}
	})
	return m, outside, containers
}

func TestIPv6PortIsReachedFromEverywhereAndNothingElseIs(t *testing.T) {
	_, outside, c := withIPv6(t, "a", "b")
	a, b := c[0], c[1]
	machine := gateway6(a)[0]
	serve(t, a.Namespace, 80)
	serve(t, a.Namespace, 79)
	for _, c := range []struct{ from, address, want string }{
		{"", "[" + ip6(a) + "]:80", machine},
		{"", "[2001:db8::1]:18080", ""},
		{outside, "[2001:db8::1]:18080", "2001:db8::2"},
		{b.Namespace, "[" + ip6(a) + "]:80", ip6(b)},
		{b.Namespace, "[" + machine + "]:18080", machine},
		{b.Namespace, "[2001:db8::1]:18080", machine},
		{a.Namespace, "[2001:db8::1]:18080", machine},
	} {
		got, err := ask(c.address)
		if c.from != "" {
			got, err = askFrom(t, c.from, c.address)
		}
		if err != nil || c.want != "" && got != c.want {
			t.Errorf("from %q to %s: answer %q, %v; want %q", c.from, c.address, got, err, c.want)
		}
	}
	if _, err := ask("[::1]:18080"); !errors.Is(err, unix.ECONNREFUSED) {
		t.Errorf("a port of ::1, where nothing is mapped: %v; a client must see at once that it has to try 127.0.0.1", err)
	}
	netkit.Inside(t, outside, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		block := netip.MustParsePrefix(ip6(a) + "/64").Masked()
		return netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: net.ParseIP("2001:db8::1"), Dst: &net.IPNet{IP: block.Addr().AsSlice(), Mask: net.CIDRMask(64, 128)}})
	})
	if _, err := askFrom(t, outside, "["+ip6(a)+"]:79"); err == nil {
		t.Error("a neighbour of the machine reached a port that is not mapped")
	}
	serve(t, outside, 7)
	if got, err := askFrom(t, a.Namespace, "[2001:db8::2]:7"); got != "2001:db8::1" {
		t.Errorf("the neighbour saw %q, %v; want the machine's address", got, err)
	}
	for _, file := range []string{"hosts", "resolv.conf"} {
		text, err := os.ReadFile(a.Files["/etc/"+file])
		if err != nil || file == "hosts" && !strings.Contains(string(text), ip6(a)+"\ta\n") {
			t.Errorf("%s: %q, %v", file, text, err)
		}
	}
}

func TestIPv6DatagramsAreMapped(t *testing.T) {
	_, outside, c := withIPv6(t, "a")
	var server net.PacketConn
	netkit.Inside(t, c[0].Namespace, func() (err error) { server, err = net.ListenPacket("udp6", ":53"); return err })
	defer server.Close()
	go func() {
		b := make([]byte, 16)
		if n, from, err := server.ReadFrom(b); err == nil {
			_, _ = server.WriteTo(b[:n], from)
		}
	}()
	netkit.Inside(t, outside, func() error {
		c, err := net.Dial("udp6", "[2001:db8::1]:18053")
		if err != nil {
			return err
		}
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := c.Write([]byte("ping")); err != nil {
			return err
		}
		b := make([]byte, 16)
		if n, err := c.Read(b); err != nil || string(b[:n]) != "ping" {
			t.Errorf("answer %q, %v", b[:n], err)
		}
		return nil
	})
}

// TestContainerIsNoRouterAndNobodyElse holds CVE-2020-10749: what a container sends to others on
// the bridge is its own.
func TestContainerIsNoRouterAndNobodyElse(t *testing.T) {
	m, _, c := withIPv6(t, "a", "b")
	a, b := c[0], c[1]
	var listener net.PacketConn
	netkit.Inside(t, b.Namespace, func() (err error) { listener, err = net.ListenPacket("ip6:ipv6-icmp", "::"); return err })
	defer listener.Close()
	const foreign = "fd00::bad"
	netkit.Inside(t, a.Namespace, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		extra, _ := netlink.ParseAddr(foreign + "/128")
		extra.Flags = unix.IFA_F_NODAD
		if err := netlink.AddrAdd(link, extra); err != nil {
			return err
		}
		// The last one is allowed: when it arrives, the others would have.
		for _, message := range []struct {
			from    string
			content []byte
		}{{ip6(a), append([]byte{134}, make([]byte, 15)...)}, {ip6(a), append([]byte{137}, make([]byte, 39)...)},
			{ip6(a), append([]byte{136, 0, 0, 0, 0x20, 0, 0, 0}, netip.MustParseAddr(foreign).AsSlice()...)},
			{foreign, append([]byte{128}, make([]byte, 7)...)}, {ip6(a), append([]byte{129}, make([]byte, 7)...)}} {
			c, err := net.ListenPacket("ip6:ipv6-icmp", message.from)
			if err != nil {
				return err
			}
			_, err = c.WriteTo(message.content, &net.IPAddr{IP: net.ParseIP(ip6(b))})
			if err = errors.Join(err, c.Close()); err != nil {
				return err
			}
		}
		return nil
	})
	_ = listener.SetReadDeadline(time.Now().Add(10 * time.Second))
	var seen []string
	for last := fmt.Sprint("129 from ", ip6(a)); !slices.Contains(seen, last); {
		packet := make([]byte, 128)
		n, from, err := listener.ReadFrom(packet)
		if err != nil || n == 0 {
			t.Fatalf("what a container may send did not arrive: %v, seen %v", err, seen)
		}
		seen = append(seen, fmt.Sprint(packet[0], " from ", from))
		if kind := packet[0]; kind == 134 || kind == 137 || from.String() == foreign || kind == 136 && bytes.Contains(packet, netip.MustParseAddr(foreign).AsSlice()) {
			t.Errorf("message %d from %s reached another container", kind, from)
		}
	}
	for _, setting := range []string{"accept_ra", "accept_redirects"} {
		if b, err := os.ReadFile("/proc/sys/net/ipv6/conf/" + m.name + "/" + setting); err != nil || strings.TrimSpace(string(b)) != "0" {
			t.Errorf("%s of the bridge is %q, %v", setting, b, err)
		}
	}
}

func TestMachineWithoutIPv6HasIPv4Alone(t *testing.T) {
	netkit.Need(t)
	if !hasIPv6() {
		t.Skip("SKIP: this kernel has no IPv6")
	}
	set := func(name, value string) {
		t.Helper()
		if err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name, []byte(value), 0); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		prepare, undo func()
		pool          netip.Prefix
		want          string
	}{
		"disabled":   {func() { set("all/disable_ipv6", "1") }, func() { set("all/disable_ipv6", "0") }, bridge.DerivePool6("x"), "net.ipv6.conf.all.disable_ipv6 is set"},
		"not wanted": {func() {}, func() {}, netip.Prefix{}, "--bridge_subnet6=none"},
		"way out advertised": {func() {
			set("uplink/accept_ra", "1")
			link, _ := netlink.LinkByName("uplink")
			if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Protocol: unix.RTPROT_RA, Gw: net.ParseIP("2001:db8::2")}); err != nil {
				t.Fatal(err)
			}
		}, func() {}, bridge.DerivePool6("x"), "set net.ipv6.conf.uplink.accept_ra to 2"},
		"address advertised": {func() {
			set("uplink/accept_ra", "1")
			link, _ := netlink.LinkByName("uplink")
			if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP("2001:db8::77"), Mask: net.CIDRMask(64, 128)}, ValidLft: 3600, PreferedLft: 1800}); err != nil {
				t.Fatal(err)
			}
		}, func() {}, bridge.DerivePool6("x"), "set net.ipv6.conf.uplink.accept_ra to 2"},
	} {
		t.Run(name, func(t *testing.T) {
			var log bytes.Buffer
			m := newMachine(t, t.TempDir(), func(config *bridge.Config) {
				config.Pool6, config.Log = c.pool, slog.New(slog.NewTextHandler(&log, nil))
			})
			defer m.kill()
			neighbour(t)
			c.prepare()
			defer c.undo()
			for range 2 {
				a := m.attach("a", mapping(18080, 80, "tcp"))
				if got := a.Infos[0].GetIpAddresses(); len(got) != 1 {
					t.Errorf("addresses %v", got)
				}
				serve(t, a.Namespace, 80)
				if _, err := ask("192.0.2.1:18080"); err != nil {
					t.Error(err)
				}
				if err := m.Detach(t.Context(), "a"); err != nil {
					t.Error(err)
				}
			}
			if got := strings.Count(log.String(), c.want); got != 1 {
				t.Errorf("the reason was logged %d times, want once: %s", got, log.String())
			}
			if found := left(t, m.dir); len(found) != 0 {
				t.Errorf("left: %v", found)
			}
		})
	}
}

func TestNetworkForIPv6IsCheckedAndDerived(t *testing.T) {
	if a, b := bridge.DerivePool6("one"), bridge.DerivePool6("two"); a == b || a.Bits() != 48 || !a.Addr().IsPrivate() || a != bridge.DerivePool6("one") {
		t.Errorf("derived %s and %s", a, b)
	}
	for text, ok := range map[string]bool{"fd00:1::/48": true, "2001:db8::/64": true, "fd00::/65": false, "10.0.0.0/8": false, "fe80::/64": false, "ff00::/16": false, "::/0": false} {
		b, err := bridge.New(bridge.Config{Dir: t.TempDir(), Name: "agora-test", Pool6: netip.MustParsePrefix(text)})
		if (err == nil) != ok || err != nil && !strings.Contains(err.Error(), "--bridge_subnet6="+netip.MustParsePrefix(text).String()) {
			t.Errorf("%s: %v", text, err)
		}
		if err == nil {
			b.Close()
		}
	}
}
