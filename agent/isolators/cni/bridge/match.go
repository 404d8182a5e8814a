package bridge

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// side is one of the two addresses of a packet.
type side int

const (
	source side = iota
	destination
)

// offset of an address in the header of its kind.
func (s side) offset(address netip.Addr) uint32 {
	switch {
	case address.Is4() && s == source:
		return 12
	case address.Is4():
		return 16
	case s == source:
		return 8
	}
	return 24
}

func load(base expr.PayloadBase, offset, length uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: length}}
}

func equals(value []byte) []expr.Any {
	return []expr.Any{&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}}
}

func differs(value []byte) []expr.Any {
	return []expr.Any{&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: value}}
}

func inNet(s side, block netip.Prefix) []expr.Any {
	bits := block.Addr().BitLen()
	length := uint32(bits / 8)
	return append(load(expr.PayloadBaseNetworkHeader, s.offset(block.Addr()), length),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: length, Mask: net.CIDRMask(block.Bits(), bits), Xor: make([]byte, length)})
}

// within and notWithin match an address of the header.
func within(s side, block netip.Prefix) []expr.Any {
	return append(inNet(s, block), equals(block.Masked().Addr().AsSlice())...)
}

func notWithin(s side, block netip.Prefix) []expr.Any {
	return append(inNet(s, block), differs(block.Masked().Addr().AsSlice())...)
}

// isNone matches what is at an offset of a header when it is none of the addresses.
func isNone(header expr.PayloadBase, offset uint32, addresses ...netip.Addr) (out []expr.Any) {
	for _, a := range addresses {
		out = append(out, load(header, offset, uint32(a.BitLen()/8))...)
		out = append(out, differs(a.AsSlice())...)
	}
	return out
}

func nameIs(key expr.MetaKey, name string) []expr.Any {
	return append([]expr.Any{&expr.Meta{Key: key, Register: 1}}, equals(interfaceName(name))...)
}

func protocolIs(number byte) []expr.Any {
	return append([]expr.Any{&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: 1}}, equals([]byte{number})...)
}

func etherType(number uint16) []expr.Any {
	return append([]expr.Any{&expr.Meta{Key: expr.MetaKeyPROTOCOL, Register: 1}}, equals(bigEndian(number))...)
}

// icmp6 matches the type of a message of ICMPv6.
func icmp6(kind byte) []expr.Any {
	out := append(protocolIs(unix.IPPROTO_ICMPV6), load(expr.PayloadBaseTransportHeader, 0, 1)...)
	return append(out, equals([]byte{kind})...)
}

func loadPort() []expr.Any { return load(expr.PayloadBaseTransportHeader, 2, 2) }

// toLocal matches packets for an address of this machine.
func toLocal() []expr.Any {
	return append([]expr.Any{&expr.Fib{Register: 1, FlagDADDR: true, ResultADDRTYPE: true}}, equals(native(unix.RTN_LOCAL))...)
}

// Bits of the kernel's connection tracking.
const (
	stateEstablished = 1 << 1
	stateRelated     = 1 << 2
	statusDNAT       = 1 << 5
)

func established() []expr.Any { return tracked(expr.CtKeySTATE, stateEstablished|stateRelated) }

// translated matches connections whose destination we changed.
func translated() []expr.Any { return tracked(expr.CtKeySTATUS, statusDNAT) }

func tracked(key expr.CtKey, bits uint32) []expr.Any {
	return append([]expr.Any{&expr.Ct{Register: 1, Key: key},
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: native(bits), Xor: make([]byte, 4)}}, differs(make([]byte, 4))...)
}

func native(n uint32) []byte { return binary.NativeEndian.AppendUint32(nil, n) }

// mapTo changes the destination to what the map has for the port in register 1. Registers
// from 8 on count four bytes each, those below sixteen: the port is behind the address.
func mapTo(set *nftables.Set) []expr.Any {
	to := &expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: 9}
	if set.Table.Family == nftables.TableFamilyIPv6 {
		to.Family, to.RegProtoMin = unix.NFPROTO_IPV6, 2
	}
	return []expr.Any{&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetID: set.ID, SetName: set.Name}, to}
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}
