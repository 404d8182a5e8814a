package bridge

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// firewall is one agent's tables of rules: addresses and ports in the families ip and ip6,
// spoofed frames in the bridge family. Containers are elements of maps, so a change costs
// the same however many there are.
type firewall struct {
	name string // of the bridge and of all tables
	// block is of IPv4; block6 is invalid where containers have IPv4 alone.
	block, block6 netip.Prefix
}

// tables are the objects that rules refer to.
type tables struct {
	kinds  []kind // IPv4, and IPv6 where it is used
	bridge *nftables.Table
	ends   *nftables.Set // veth → chain with what may come from it
}

// kind is the table for one kind of addresses.
type kind struct {
	*nftables.Table
	tcp, udp *nftables.Set // port of the machine → address and port of the container
	block    netip.Prefix
	loopback netip.Prefix
}

// The kernel has no route out of ::1, so nothing is mapped there, nor on addresses that
// hold on one link only.
var (
	loopback  = netip.MustParsePrefix("127.0.0.0/8")
	loopback6 = netip.MustParsePrefix("::1/128")
	linkLocal = netip.MustParsePrefix("fe80::/10")
)

func (f *firewall) tables() tables {
	t := tables{bridge: &nftables.Table{Name: f.name, Family: nftables.TableFamilyBridge},
		kinds: []kind{newKind(&nftables.Table{Name: f.name, Family: nftables.TableFamilyIPv4}, nftables.TypeIPAddr, 1)}}
	t.kinds[0].block, t.kinds[0].loopback = f.block, loopback
	if f.block6.IsValid() {
		six := newKind(&nftables.Table{Name: f.name, Family: nftables.TableFamilyIPv6}, nftables.TypeIP6Addr, 3)
		six.block, six.loopback = f.block6, loopback6
		t.kinds = append(t.kinds, six)
	}
	t.ends = &nftables.Set{Table: t.bridge, Name: "ends", ID: 5, IsMap: true, KeyType: nftables.TypeIFName, DataType: nftables.TypeVerdict}
	return t
}

func newKind(table *nftables.Table, address nftables.SetDatatype, id uint32) kind {
	to := nftables.MustConcatSetType(address, nftables.TypeInetService)
	set := func(name string, id uint32) *nftables.Set {
		return &nftables.Set{Table: table, Name: name, ID: id, IsMap: true, KeyType: nftables.TypeInetService, DataType: to}
	}
	return kind{Table: table, tcp: set("tcp", id), udp: set("udp", id+1)}
}

func (t tables) all() []*nftables.Table {
	out := []*nftables.Table{t.bridge}
	for _, k := range t.kinds {
		out = append(out, k.Table)
	}
	return out
}

// How many rules the chains with a hook have, and "ports": of one kind of addresses, and of
// the bridge.
const (
	kindRules   = 12
	bridgeRules = 1
)

// whole tells whether all that does not depend on a container is in force.
func (f *firewall) whole() (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("read rules: %w", err)
	}
	t := f.tables()
	found := 0
	for _, table := range t.all() {
		chains, err := c.ListChainsOfTableFamily(table.Family)
		if err != nil {
			return false, fmt.Errorf("read rules: %w", err)
		}
		for _, chain := range chains {
			if chain.Table.Name != f.name || chain.Hooknum == nil && chain.Name != "ports" {
				continue
			}
			rules, err := c.GetRules(table, chain)
			if err != nil {
				return false, fmt.Errorf("read rules: %w", err)
			}
			found += len(rules)
		}
	}
	return found == len(t.kinds)*kindRules+bridgeRules, nil
}

// replace makes all rules anew in one transaction.
func (f *firewall) replace(leases []*lease) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("make rules: %w", err)
	}
	t := f.tables()
	for _, table := range t.all() {
		c.AddTable(table) // so that there is one to delete
		c.DelTable(table)
		c.AddTable(table)
	}
	for _, k := range t.kinds {
		if err := f.rules(c, k); err != nil {
			return fmt.Errorf("make rules: %w", err)
		}
	}
	if err := f.spoofed(c, t); err != nil {
		return fmt.Errorf("make rules: %w", err)
	}
	for _, l := range leases {
		if err := f.addTo(c, t, l); err != nil {
			return fmt.Errorf("make rules: %w", err)
		}
	}
	err = c.Flush()
	if errors.Is(err, unix.ENOENT) {
		return errors.New("make rules: the kernel lacks a part of nftables; modules nft_chain_nat, nft_nat, nft_masq, nft_ct, nft_fib_ipv4 and nft_meta_bridge are needed")
	}
	if err != nil {
		return fmt.Errorf("make rules (nftables): %w", err)
	}
	return nil
}

// probe6 tells whether the kernel takes the rules for IPv6, by a transaction that leaves nothing.
func (f *firewall) probe6() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	k := f.tables().kinds[1]
	c.AddTable(k.Table)
	c.DelTable(k.Table)
	c.AddTable(k.Table)
	if err := f.rules(c, k); err != nil {
		return err
	}
	c.DelTable(k.Table)
	return c.Flush()
}

// remove takes all tables away.
func (f *firewall) remove() error {
	for _, table := range f.tables().all() {
		c, err := nftables.New()
		if err != nil {
			return fmt.Errorf("remove rules: %w", err)
		}
		c.DelTable(table)
		if err := c.Flush(); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("remove rules: %w", err)
		}
	}
	return nil
}

// rules makes sets and chains for one kind of addresses.
func (f *firewall) rules(c *nftables.Conn, k kind) error {
	for _, set := range []*nftables.Set{k.tcp, k.udp} {
		if err := c.AddSet(set, nil); err != nil {
			return err
		}
	}
	f.translate(c, k)
	f.filter(c, k)
	return nil
}

// translate makes the chains that change addresses.
func (f *firewall) translate(c *nftables.Conn, k kind) {
	nat := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return c.AddChain(&nftables.Chain{Table: k.Table, Name: name, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: priority})
	}
	ports := c.AddChain(&nftables.Chain{Table: k.Table, Name: "ports"})
	for _, one := range []struct {
		set      *nftables.Set
		protocol byte
	}{{k.tcp, unix.IPPROTO_TCP}, {k.udp, unix.IPPROTO_UDP}} {
		f.rule(c, k.Table, ports, protocolIs(one.protocol), loadPort(), mapTo(one.set))
	}
	// Only for this machine's addresses: what passes through to others is not ours.
	local := [][]expr.Any{toLocal(), verdict(expr.VerdictJump, "ports")}
	if k.Family == nftables.TableFamilyIPv6 {
		local = append([][]expr.Any{notWithin(destination, linkLocal), notWithin(destination, loopback6)}, local...)
	}
	f.rule(c, k.Table, nat("prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest), local...)
	f.rule(c, k.Table, nat("output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest), local...)
	out := nat("postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	f.rule(c, k.Table, out, within(source, k.block), notWithin(destination, k.block), masquerade())
	// Answers must come back the way the request went: from a container to a mapped port
	// of a neighbour, and from the machine's loopback.
	f.rule(c, k.Table, out, within(source, k.block), within(destination, k.block), translated(), masquerade())
	f.rule(c, k.Table, out, nameIs(expr.MetaKeyOIFNAME, f.name), within(source, k.loopback), masquerade())
}

// filter makes the chains that drop.
func (f *firewall) filter(c *nftables.Conn, k kind) {
	raw := c.AddChain(&nftables.Chain{Table: k.Table, Name: "raw", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw})
	f.rule(c, k.Table, raw, nameIs(expr.MetaKeyIIFNAME, f.name), within(destination, k.loopback), verdict(expr.VerdictDrop, ""))
	forward := c.AddChain(&nftables.Chain{Table: k.Table, Name: "forward", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter})
	in := nameIs(expr.MetaKeyOIFNAME, f.name)
	f.rule(c, k.Table, forward, in, established(), verdict(expr.VerdictAccept, ""))
	f.rule(c, k.Table, forward, in, translated(), verdict(expr.VerdictAccept, ""))
	f.rule(c, k.Table, forward, in, nameIs(expr.MetaKeyIIFNAME, f.name), verdict(expr.VerdictAccept, ""))
	f.rule(c, k.Table, forward, in, verdict(expr.VerdictDrop, ""))
}

// spoofed makes the chain that leads each frame to what its sender may send.
func (f *firewall) spoofed(c *nftables.Conn, t tables) error {
	if err := c.AddSet(t.ends, nil); err != nil {
		return err
	}
	spoof := c.AddChain(&nftables.Chain{Table: t.bridge, Name: "spoof", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-300)})
	f.rule(c, t.bridge, spoof, []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Lookup{SourceRegister: 1, IsDestRegSet: true, DestRegister: 0, SetID: t.ends.ID, SetName: t.ends.Name}})
	return nil
}

func (f *firewall) rule(c *nftables.Conn, table *nftables.Table, chain *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, part := range parts {
		all = append(all, part...)
	}
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: all})
}

func bigEndian(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// interfaceName is how the kernel compares names of interfaces.
func interfaceName(name string) []byte { return append([]byte(name), make([]byte, 16-len(name))...) }
