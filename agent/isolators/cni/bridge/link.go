package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// bridgePrefix is the start of every agent's bridge; restoreMark in one's alias says that
// the last of them has to turn forwarding off again.
const (
	bridgePrefix = "agora-"
	restoreMark  = "agora: turn net.ipv4.ip_forward off with the last bridge"
	forwardFile  = "/proc/sys/net/ipv4/ip_forward"
)

// freeBlock is the first block of the pool that no route of the machine covers.
func freeBlock(pool netip.Prefix) (netip.Prefix, error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("read routes: %w", err)
	}
	var taken []netip.Prefix
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		ones, _ := r.Dst.Mask.Size()
		if address, ok := netip.AddrFromSlice(r.Dst.IP.To4()); ok && ones > 0 {
			taken = append(taken, netip.PrefixFrom(address, ones))
		}
	}
	for block := netip.PrefixFrom(pool.Addr(), blockBits); pool.Contains(block.Addr()); block = netip.PrefixFrom(lastOf(block).Next(), blockBits) {
		free := true
		for _, t := range taken {
			free = free && !t.Overlaps(block)
		}
		if free {
			return block, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("every block of --bridge_subnet=%s overlaps a route of this machine", pool)
}

func bridgeExists(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// makeBridge makes the bridge and lets packets through it, unless it is there.
func makeBridge(name string, gateway netip.Prefix) error {
	if bridgeExists(name) {
		return nil
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: uplinkMTU(), HardwareAddr: hardware(gateway.Addr())}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make bridge %s: %w", name, err)
	}
	err := func() error {
		noIPv6(name)
		if err := netlink.AddrAdd(bridge, &netlink.Addr{IPNet: ipNet(gateway)}); err != nil {
			return err
		}
		if err := netlink.LinkSetUp(bridge); err != nil {
			return err
		}
		// For mapped ports on 127.0.0.1; the filter keeps containers from that net.
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/route_localnet", []byte("1"), 0); err != nil {
			return err
		}
		return forward(bridge)
	}()
	if err != nil {
		return errors.Join(fmt.Errorf("make bridge %s: %w", name, err), removeBridge(name))
	}
	return nil
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), 32)}
}

// uplinkMTU is that of the way out, or Ethernet's.
func uplinkMTU() int {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V4)
	if err != nil {
		return 1500
	}
	for _, r := range routes {
		if r.Dst != nil && !r.Dst.IP.IsUnspecified() {
			continue
		}
		if link, err := netlink.LinkByIndex(r.LinkIndex); err == nil && link.Attrs().MTU >= 576 {
			return link.Attrs().MTU
		}
	}
	return 1500
}

// noIPv6 keeps router advertisements and link-local traffic off an interface
// (CVE-2020-10749). A kernel without IPv6 has nothing to turn off.
func noIPv6(name string) {
	for file, value := range map[string]string{"accept_ra": "0", "disable_ipv6": "1"} {
		_ = os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/"+file, []byte(value), 0)
	}
}

// forward turns forwarding on, and has the bridge remember that it was off.
func forward(bridge netlink.Link) error {
	now, err := os.ReadFile(forwardFile)
	if err != nil {
		return err
	}
	mark := strings.TrimSpace(string(now)) == "0"
	others, err := bridges(bridge.Attrs().Name)
	if err != nil {
		return err
	}
	for _, other := range others {
		mark = mark || other.Attrs().Alias == restoreMark
	}
	if mark {
		if err := netlink.LinkSetAlias(bridge, restoreMark); err != nil {
			return err
		}
	}
	return os.WriteFile(forwardFile, []byte("1"), 0)
}

// bridges are those of other agents on this machine.
func bridges(but string) (out []netlink.Link, err error) {
	links, err := netlink.LinkList()
	if err != nil {
		return nil, err
	}
	for _, l := range links {
		if l.Type() == "bridge" && strings.HasPrefix(l.Attrs().Name, bridgePrefix) && l.Attrs().Name != but {
			out = append(out, l)
		}
	}
	return out, nil
}

// removeBridge takes the bridge down, and forwarding with the last that wants so.
func removeBridge(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return gone(err)
	}
	mark := link.Attrs().Alias == restoreMark
	if err := gone(netlink.LinkDel(link)); err != nil || !mark {
		return err
	}
	others, err := bridges(name)
	if err != nil {
		return err
	}
	if len(others) == 0 {
		return os.WriteFile(forwardFile, []byte("0"), 0)
	}
	for _, other := range others {
		err = errors.Join(err, gone(netlink.LinkSetAlias(other, restoreMark)))
	}
	return err
}

// gone takes the absence of a link for success.
func gone(err error) error {
	var missing netlink.LinkNotFoundError
	if errors.As(err, &missing) || errors.Is(err, unix.ENODEV) {
		return nil
	}
	return err
}

// removeLink removes a link, and so its other end.
func removeLink(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return gone(err)
	}
	return gone(netlink.LinkDel(link))
}

// makeVeth connects the namespace to the bridge.
func makeVeth(bridge, namespace string, l *lease, gateway netip.Prefix) error {
	master, err := netlink.LinkByName(bridge)
	if err != nil {
		return fmt.Errorf("bridge %s: %w", bridge, err)
	}
	ns, err := os.Open(namespace)
	if err != nil {
		return err
	}
	defer ns.Close()
	// A namespace that went away with its processes leaves no end behind, but an agent
	// that died in between may.
	if err := removeLink(l.Veth); err != nil {
		return err
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: l.Veth, MTU: master.Attrs().MTU, MasterIndex: master.Attrs().Index},
		PeerName: l.Interface, PeerNamespace: netlink.NsFd(int(ns.Fd())), PeerHardwareAddr: l.hardware()}
	if err := netlink.LinkAdd(veth); err != nil {
		return fmt.Errorf("make interface %s: %w", l.Interface, err)
	}
	noIPv6(l.Veth)
	// Where bridged packets pass the ip rules (net.bridge.bridge-nf-call-iptables) a
	// container's own mapped port leads back out of the end it came in.
	if err := netlink.LinkSetHairpin(veth, true); err != nil {
		return fmt.Errorf("make interface %s: %w", l.Interface, err)
	}
	if err := netlink.LinkSetUp(veth); err != nil {
		return fmt.Errorf("make interface %s: %w", l.Interface, err)
	}
	err = inside(ns, func() error { return configure(l, gateway) })
	if err != nil {
		return fmt.Errorf("configure interface %s: %w", l.Interface, err)
	}
	return nil
}

// configure gives the container's end its address and its way out.
func configure(l *lease, gateway netip.Prefix) error {
	link, err := netlink.LinkByName(l.Interface)
	if err != nil {
		return err
	}
	noIPv6(l.Interface)
	address := &netlink.Addr{IPNet: ipNet(netip.PrefixFrom(l.Address, gateway.Bits()))}
	if err := netlink.AddrAdd(link, address); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return err
	}
	err = netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.Addr().AsSlice()})
	if errors.Is(err, unix.EEXIST) { // the container's first network has the way out
		return nil
	}
	return err
}

// inside runs do on a thread in the namespace, which is never used again.
func inside(namespace *os.File, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		if err := unix.Setns(int(namespace.Fd()), unix.CLONE_NEWNET); err != nil {
			done <- err
			return
		}
		done <- do()
	}()
	return <-done
}
