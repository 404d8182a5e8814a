package bridge

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
)

// Sizes of a bridge's blocks: a bridge carries 1,023 interfaces. IPv6 hosts expect 64 bits.
const (
	blockBits  = 22
	blockBits6 = 64
	// capacity leaves out network, gateway and broadcast.
	capacity = 1<<(32-blockBits) - 3
)

// lease is an address in use. Its file is named after the address.
type lease struct {
	Address netip.Addr
	// Address6 is invalid where there is no IPv6.
	Address6  netip.Addr `json:",omitzero"`
	Container string
	Interface string
	// Veth is the machine's end.
	Veth  string
	Ports []Port
}

// hardware follows from the address, so that no neighbour's table is ever stale.
func (l *lease) hardware() net.HardwareAddr { return hardware(l.Address) }

func hardware(address netip.Addr) net.HardwareAddr {
	ip := address.As4()
	return net.HardwareAddr{0x0a, 0x58, ip[0], ip[1], ip[2], ip[3]}
}

// linkLocal is what the kernel makes of the hardware address (EUI-64).
func (l *lease) linkLocal() netip.Addr {
	h := l.hardware()
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: h[0] ^ 2, 9: h[1], 10: h[2], 11: 0xff, 12: 0xfe, 13: h[3], 14: h[4], 15: h[5]})
}

// leases are the addresses of one bridge, in memory and on disk. Not for concurrent use.
type leases struct {
	dir       string
	block     netip.Prefix // invalid until the first is taken, and after the last
	block6    netip.Prefix // so, too, and where there is no IPv6
	byAddress map[netip.Addr]*lease
	last      netip.Addr
}

func openLeases(dir string) (*leases, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	out := &leases{dir: dir, byAddress: map[netip.Addr]*lease{}}
	for _, e := range entries {
		l := &lease{}
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err == nil {
			err = json.Unmarshal(b, l)
		}
		if err != nil || l.Address.String() != e.Name() {
			// Half written when the machine went down: its container is gone too.
			if err := removeFile(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
			continue
		}
		out.byAddress[l.Address] = l
		out.block = netip.PrefixFrom(l.Address, blockBits).Masked()
		if l.Address6.IsValid() {
			out.block6 = netip.PrefixFrom(l.Address6, blockBits6).Masked()
		}
	}
	return out, nil
}

// gateway is the bridge's own address, the first of the block.
func (s *leases) gateway() netip.Prefix {
	return netip.PrefixFrom(s.block.Addr().Next(), s.block.Bits())
}

// paired is the IPv6 address that goes with one of IPv4: the block, and the other in its
// last bits. Invalid where there is no IPv6.
func (s *leases) paired(address netip.Addr) netip.Addr {
	if !s.block6.IsValid() {
		return netip.Addr{}
	}
	out, four := s.block6.Addr().As16(), address.As4()
	copy(out[12:], four[:])
	return netip.AddrFrom16(out)
}

// gateway6 is the bridge's own; invalid where there is no IPv6.
func (s *leases) gateway6() netip.Prefix {
	if !s.block6.IsValid() {
		return netip.Prefix{}
	}
	return netip.PrefixFrom(s.paired(s.gateway().Addr()), blockBits6)
}

// take leases the next free address: one that was given back rests as long as possible.
func (s *leases) take(r request) (*lease, error) {
	first, last := s.gateway().Addr().Next(), lastOf(s.block)
	at := first
	if s.block.Contains(s.last) && s.last.Next().Less(last) {
		at = s.last.Next()
	}
	for range 1 << (32 - blockBits) {
		if !at.Less(last) {
			at = first
		}
		if s.byAddress[at] == nil {
			return s.write(&lease{Address: at, Address6: s.paired(at), Container: r.container, Interface: r.name, Veth: vethName(r), Ports: r.RuntimeConfig.PortMappings})
		}
		at = at.Next()
	}
	return nil, fmt.Errorf("all %d addresses of %s are in use", len(s.byAddress), s.block)
}

func (s *leases) write(l *lease) (*lease, error) {
	b, err := json.Marshal(l)
	if err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(s.dir, l.Address.String()), b, 0o600); err != nil {
		return nil, fmt.Errorf("lease %s: %w", l.Address, err)
	}
	s.byAddress[l.Address], s.last = l, l.Address
	return l, nil
}

// lastOf is the block's broadcast address.
func lastOf(block netip.Prefix) netip.Addr {
	ip := block.Addr().As4()
	for bit := block.Bits(); bit < 32; bit++ {
		ip[bit/8] |= 0x80 >> (bit % 8)
	}
	return netip.AddrFrom4(ip)
}

// give ends a lease. With the last one the block is free.
func (s *leases) give(l *lease) error {
	if err := removeFile(filepath.Join(s.dir, l.Address.String())); err != nil {
		return fmt.Errorf("give back %s: %w", l.Address, err)
	}
	delete(s.byAddress, l.Address)
	if len(s.byAddress) == 0 {
		s.block, s.block6 = netip.Prefix{}, netip.Prefix{}
	}
	return nil
}

func (s *leases) find(container, name string) *lease {
	for _, l := range s.byAddress {
		if l.Container == container && l.Interface == name {
			return l
		}
	}
	return nil
}

func (s *leases) all() []*lease { return s.allBut(nil) }

func (s *leases) allBut(without *lease) (out []*lease) {
	for _, l := range s.byAddress {
		if l != without {
			out = append(out, l)
		}
	}
	slices.SortFunc(out, func(a, b *lease) int { return a.Address.Compare(b.Address) })
	return out
}

// vethName fits the kernel's 15 bytes.
func vethName(r request) string {
	sum := sha256.Sum256([]byte(r.container + "\x00" + r.name))
	return "agv" + hex.EncodeToString(sum[:6])
}
