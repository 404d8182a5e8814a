package bridge

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// freeBlock is the first block of the pool that no route of the machine covers.
func freeBlock(pool netip.Prefix) (netip.Prefix, error) {
	taken, err := routed(netlink.FAMILY_V4)
	if err != nil {
		return netip.Prefix{}, err
	}
	for block := netip.PrefixFrom(pool.Addr(), blockBits); pool.Contains(block.Addr()); block = netip.PrefixFrom(lastOf(block).Next(), blockBits) {
		if isFree(block, taken) {
			return block, nil
		}
	}
	return netip.Prefix{}, fmt.Errorf("every block of --bridge_subnet=%s overlaps a route of this machine", pool)
}

// routed are the networks that the machine has routes to, default routes apart.
func routed(family int) (out []netip.Prefix, err error) {
	routes, err := netlink.RouteList(nil, family)
	if err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	for _, r := range routes {
		if r.Dst == nil {
			continue
		}
		ones, _ := r.Dst.Mask.Size()
		if address, ok := netip.AddrFromSlice(r.Dst.IP); ok && ones > 0 {
			out = append(out, netip.PrefixFrom(address.Unmap(), ones))
		}
	}
	return out, nil
}

func isFree(block netip.Prefix, taken []netip.Prefix) bool {
	return !slices.ContainsFunc(taken, block.Overlaps)
}

func bridgeExists(name string) bool {
	_, err := netlink.LinkByName(name)
	return err == nil
}

// makeBridge makes the bridge and lets packets through it, unless it is there. An invalid
// gateway6 means IPv4 alone.
func makeBridge(name string, gateway, gateway6 netip.Prefix) error {
	if bridgeExists(name) {
		return nil
	}
	bridge := &netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: name, MTU: uplinkMTU(), HardwareAddr: hardware(gateway.Addr())}}
	if err := netlink.LinkAdd(bridge); err != nil {
		return fmt.Errorf("make bridge %s: %w", name, err)
	}
	err := func() error {
		if err := addressed(bridge, gateway, gateway6); err != nil {
			return err
		}
		// For mapped ports on 127.0.0.1; the filter keeps containers from that net.
		if err := os.WriteFile("/proc/sys/net/ipv4/conf/"+name+"/route_localnet", []byte("1"), 0); err != nil {
			return err
		}
		return forward(bridge, gateway6.IsValid())
	}()
	if err != nil {
		return errors.Join(fmt.Errorf("make bridge %s: %w", name, err), removeBridge(name))
	}
	return nil
}

// addressed gives an interface its addresses and turns it on.
func addressed(link netlink.Link, address, six netip.Prefix) error {
	name := link.Attrs().Name
	if !six.IsValid() {
		noIPv6(name)
	} else if err := useIPv6(name); err != nil {
		return err
	}
	if err := netlink.AddrAdd(link, &netlink.Addr{IPNet: ipNet(address)}); err != nil {
		return err
	}
	if err := netlink.LinkSetUp(link); err != nil || !six.IsValid() {
		return err
	}
	return netlink.AddrAdd(link, address6(six))
}

func ipNet(p netip.Prefix) *net.IPNet {
	return &net.IPNet{IP: p.Addr().AsSlice(), Mask: net.CIDRMask(p.Bits(), p.Addr().BitLen())}
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
func makeVeth(bridge, namespace string, l *lease, gateway, gateway6 netip.Prefix) error {
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
	err = inside(ns, func() error { return configure(l, gateway, gateway6) })
	if err != nil {
		return fmt.Errorf("configure interface %s: %w", l.Interface, err)
	}
	return nil
}

// configure gives the container's end its addresses and its ways out.
func configure(l *lease, gateway, gateway6 netip.Prefix) error {
	link, err := netlink.LinkByName(l.Interface)
	if err != nil {
		return err
	}
	six := netip.Prefix{}
	if l.Address6.IsValid() {
		six = netip.PrefixFrom(l.Address6, gateway6.Bits())
	}
	if err := addressed(link, netip.PrefixFrom(l.Address, gateway.Bits()), six); err != nil {
		return err
	}
	if err := wayOut(link, gateway.Addr()); err != nil || !six.IsValid() {
		return err
	}
	return wayOut(link, gateway6.Addr())
}

func wayOut(link netlink.Link, gateway netip.Addr) error {
	err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Gw: gateway.AsSlice()})
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
