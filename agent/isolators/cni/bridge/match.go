package bridge

import (
	"encoding/binary"
	"net"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// Offsets of an IPv4 header.
const (
	source      = 12
	destination = 16
)

// The second registers' numbers count four bytes; 9 is behind the first four of 1.
const secondHalf = 9

func load(base expr.PayloadBase, offset, length uint32) []expr.Any {
	return []expr.Any{&expr.Payload{DestRegister: 1, Base: base, Offset: offset, Len: length}}
}

func equals(value []byte) []expr.Any {
	return []expr.Any{&expr.Cmp{Op: expr.CmpOpEq, Register: 1, Data: value}}
}

func differs(value []byte) []expr.Any {
	return []expr.Any{&expr.Cmp{Op: expr.CmpOpNeq, Register: 1, Data: value}}
}

func inNet(offset uint32, block netip.Prefix) []expr.Any {
	return append(load(expr.PayloadBaseNetworkHeader, offset, 4),
		&expr.Bitwise{SourceRegister: 1, DestRegister: 1, Len: 4, Mask: net.CIDRMask(block.Bits(), 32), Xor: make([]byte, 4)})
}

// within and notWithin match an address of the header.
func within(offset uint32, block netip.Prefix) []expr.Any {
	return append(inNet(offset, block), equals(block.Masked().Addr().AsSlice())...)
}

func notWithin(offset uint32, block netip.Prefix) []expr.Any {
	return append(inNet(offset, block), differs(block.Masked().Addr().AsSlice())...)
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

// mapTo changes the destination to what the map has for the port in register 1.
func mapTo(set *nftables.Set) []expr.Any {
	return []expr.Any{
		&expr.Lookup{SourceRegister: 1, DestRegister: 1, IsDestRegSet: true, SetID: set.ID, SetName: set.Name},
		&expr.NAT{Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4, RegAddrMin: 1, RegProtoMin: secondHalf},
	}
}

func masquerade() []expr.Any { return []expr.Any{&expr.Masq{}} }

func verdict(kind expr.VerdictKind, chain string) []expr.Any {
	return []expr.Any{&expr.Verdict{Kind: kind, Chain: chain}}
}
