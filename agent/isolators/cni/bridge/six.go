package bridge

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// DerivePool6 is a unique local network (RFC 4193) that follows from what names a machine:
// two machines hardly ever have the same.
func DerivePool6(machine string) netip.Prefix {
	sum := sha256.Sum256([]byte("agora/bridge " + machine))
	out := [16]byte{0: 0xfd}
	copy(out[1:6], sum[:5])
	return netip.PrefixFrom(netip.AddrFrom16(out), 48)
}

// checkPool6 refuses what no bridge can take a /64 from.
func checkPool6(pool netip.Prefix) (netip.Prefix, error) {
	pool = pool.Masked()
	if !pool.IsValid() {
		return pool, nil
	}
	if pool.Addr().Is4() || pool.Addr().Is4In6() || pool.Bits() > blockBits6 || pool.Addr().IsMulticast() || pool.Overlaps(linkLocal) || pool.Contains(loopback6.Addr()) {
		return pool, fmt.Errorf("--bridge_subnet6=%s: must be an IPv6 network of /%d or larger, such as fd12:3456:789a::/48", pool, blockBits6)
	}
	return pool, nil
}

// maxBlocks6 bounds the search in a pool of any size.
const maxBlocks6 = 1 << 12

// freeBlock6 is the first /64 of the pool that no route of the machine covers.
func freeBlock6(pool netip.Prefix) (netip.Prefix, error) {
	taken, err := routed(netlink.FAMILY_V6)
	if err != nil {
		return netip.Prefix{}, err
	}
	block := netip.PrefixFrom(pool.Addr(), blockBits6)
	for n := 0; n < maxBlocks6 && pool.Contains(block.Addr()); n++ {
		if isFree(block, taken) {
			return block, nil
		}
		block = nextBlock6(block)
	}
	return netip.Prefix{}, fmt.Errorf("every /%d of --bridge_subnet6=%s overlaps a route of this machine", blockBits6, pool)
}

// nextBlock6 adds one to the first 64 bits.
func nextBlock6(block netip.Prefix) netip.Prefix {
	out := block.Addr().As16()
	for i := 7; i >= 0; i-- {
		if out[i]++; out[i] != 0 {
			break
		}
	}
	return netip.PrefixFrom(netip.AddrFrom16(out), blockBits6)
}

const settings6 = "/proc/sys/net/ipv6/conf/"

// leastMTU6 is the least of a link that may carry IPv6 (RFC 8200).
const leastMTU6 = 1280

// pick6 is the block for IPv6, or why containers have IPv4 alone.
func (b *Bridge) pick6() (netip.Prefix, error) {
	if !b.config.Pool6.IsValid() {
		return netip.Prefix{}, errors.New("--bridge_subnet6=none")
	}
	disabled, err := os.ReadFile(settings6 + "all/disable_ipv6")
	switch {
	case err != nil:
		return netip.Prefix{}, errors.New("this kernel has no IPv6")
	case strings.TrimSpace(string(disabled)) != "0":
		return netip.Prefix{}, errors.New("net.ipv6.conf.all.disable_ipv6 is set")
	case uplinkMTU() < leastMTU6:
		return netip.Prefix{}, fmt.Errorf("the way out has an MTU below %d", leastMTU6)
	}
	if err := mayForward6(); err != nil {
		return netip.Prefix{}, err
	}
	block, err := freeBlock6(b.config.Pool6)
	if err != nil {
		return netip.Prefix{}, err
	}
	f := &firewall{name: b.config.Name, block: b.leases.block, block6: block}
	if err := f.probe6(); err != nil {
		return netip.Prefix{}, fmt.Errorf("the kernel does not take rules for IPv6, modules nft_chain_nat, nft_nat, nft_masq and nft_fib_ipv6 are needed: %w", err)
	}
	return block, nil
}

// mayForward6 refuses where forwarding would cut the machine off: a kernel that forwards no longer
// listens to the routers from which an interface with accept_ra 1 has its way out or an
// address, and forgets that way at once.
func mayForward6() error {
	if on, err := os.ReadFile(forward6File); err == nil && strings.TrimSpace(string(on)) != "0" {
		return nil
	}
	advertised, err := advertisedOn()
	if err != nil {
		return err
	}
	for _, index := range advertised {
		link, err := netlink.LinkByIndex(index)
		if err != nil {
			continue
		}
		name := link.Attrs().Name
		if accept, err := os.ReadFile(settings6 + name + "/accept_ra"); err == nil && strings.TrimSpace(string(accept)) == "1" {
			return fmt.Errorf("forwarding would take from the machine what a router advertises on %s: set net.ipv6.conf.%s.accept_ra to 2, or net.ipv6.conf.all.forwarding to 1", name, name)
		}
	}
	return nil
}

// advertisedOn are the interfaces with a default route that a router advertised, or an address
// that lasts for some time only.
func advertisedOn() (indexes []int, err error) {
	routes, err := netlink.RouteList(nil, netlink.FAMILY_V6)
	if err != nil {
		return nil, fmt.Errorf("read routes: %w", err)
	}
	for _, r := range routes {
		if r.Protocol == unix.RTPROT_RA && (r.Dst == nil || r.Dst.IP.IsUnspecified()) {
			indexes = append(indexes, r.LinkIndex)
		}
	}
	addresses, err := netlink.AddrList(nil, netlink.FAMILY_V6)
	if err != nil {
		return nil, fmt.Errorf("read addresses: %w", err)
	}
	for _, a := range addresses {
		if a.Flags&unix.IFA_F_PERMANENT == 0 && !a.IP.IsLinkLocalUnicast() {
			indexes = append(indexes, a.LinkIndex)
		}
	}
	return indexes, nil
}

// useIPv6 prepares an interface whose addresses we give: no router is listened to, nobody is
// asked whether an address is free, and the link's own address follows from the hardware's.
func useIPv6(name string) error {
	for _, setting := range [][2]string{{"accept_ra", "0"}, {"autoconf", "0"}, {"accept_dad", "0"}, {"accept_redirects", "0"}, {"addr_gen_mode", "0"}, {"disable_ipv6", "0"}} {
		if err := os.WriteFile(settings6+name+"/"+setting[0], []byte(setting[1]), 0); err != nil {
			return err
		}
	}
	return nil
}

// address6 is one that is used at once.
func address6(p netip.Prefix) *netlink.Addr {
	return &netlink.Addr{IPNet: ipNet(p), Flags: unix.IFA_F_NODAD}
}
