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

// firewall is one agent's tables of rules: addresses and ports in the ip family, spoofed
// frames in the bridge family. Containers are elements of maps, so a change costs the
// same however many there are.
type firewall struct {
	name  string // of the bridge and of both tables
	block netip.Prefix
}

// tables are the objects that rules refer to.
type tables struct {
	ip, bridge *nftables.Table
	tcp, udp   *nftables.Set // port of the machine → address and port of the container
	ends       *nftables.Set // veth → chain with what may come from it
}

func (f *firewall) tables() tables {
	t := tables{ip: &nftables.Table{Name: f.name, Family: nftables.TableFamilyIPv4},
		bridge: &nftables.Table{Name: f.name, Family: nftables.TableFamilyBridge}}
	to := nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService)
	t.tcp = &nftables.Set{Table: t.ip, Name: "tcp", ID: 1, IsMap: true, KeyType: nftables.TypeInetService, DataType: to}
	t.udp = &nftables.Set{Table: t.ip, Name: "udp", ID: 2, IsMap: true, KeyType: nftables.TypeInetService, DataType: to}
	t.ends = &nftables.Set{Table: t.bridge, Name: "ends", ID: 3, IsMap: true, KeyType: nftables.TypeIFName, DataType: nftables.TypeVerdict}
	return t
}

// baseRules are how many rules the chains with a hook have.
const baseRules = 13

// whole tells whether all that does not depend on a container is in force.
func (f *firewall) whole() (bool, error) {
	c, err := nftables.New()
	if err != nil {
		return false, fmt.Errorf("read rules: %w", err)
	}
	t := f.tables()
	found := 0
	for _, table := range []*nftables.Table{t.ip, t.bridge} {
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
	return found == baseRules, nil
}

// replace makes all rules anew in one transaction.
func (f *firewall) replace(leases []*lease) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("make rules: %w", err)
	}
	t := f.tables()
	for _, table := range []*nftables.Table{t.ip, t.bridge} {
		c.AddTable(table) // so that there is one to delete
		c.DelTable(table)
		c.AddTable(table)
	}
	for _, set := range []*nftables.Set{t.tcp, t.udp, t.ends} {
		if err := c.AddSet(set, nil); err != nil {
			return fmt.Errorf("make rules: %w", err)
		}
	}
	f.translate(c, t)
	f.filter(c, t)
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

// remove takes both tables away.
func (f *firewall) remove() error {
	t := f.tables()
	for _, table := range []*nftables.Table{t.ip, t.bridge} {
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

// translate makes the chains that change addresses.
func (f *firewall) translate(c *nftables.Conn, t tables) {
	nat := func(name string, hook *nftables.ChainHook, priority *nftables.ChainPriority) *nftables.Chain {
		return c.AddChain(&nftables.Chain{Table: t.ip, Name: name, Type: nftables.ChainTypeNAT, Hooknum: hook, Priority: priority})
	}
	ports := c.AddChain(&nftables.Chain{Table: t.ip, Name: "ports"})
	for _, one := range []struct {
		set      *nftables.Set
		protocol byte
	}{{t.tcp, unix.IPPROTO_TCP}, {t.udp, unix.IPPROTO_UDP}} {
		f.rule(c, t.ip, ports, protocolIs(one.protocol), loadPort(), mapTo(one.set))
	}
	// Only for this machine's addresses: what passes through to others is not ours.
	local := [][]expr.Any{toLocal(), verdict(expr.VerdictJump, "ports")}
	f.rule(c, t.ip, nat("prerouting", nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest), local...)
	f.rule(c, t.ip, nat("output", nftables.ChainHookOutput, nftables.ChainPriorityNATDest), local...)
	out := nat("postrouting", nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource)
	f.rule(c, t.ip, out, within(source, f.block), notWithin(destination, f.block), masquerade())
	// Answers must come back the way the request went: from a container to a mapped port
	// of a neighbour, and from the machine's loopback.
	f.rule(c, t.ip, out, within(source, f.block), within(destination, f.block), translated(), masquerade())
	f.rule(c, t.ip, out, nameIs(expr.MetaKeyOIFNAME, f.name), within(source, loopback), masquerade())
}

var loopback = netip.MustParsePrefix("127.0.0.0/8")

// filter makes the chains that drop.
func (f *firewall) filter(c *nftables.Conn, t tables) {
	raw := c.AddChain(&nftables.Chain{Table: t.ip, Name: "raw", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRaw})
	f.rule(c, t.ip, raw, nameIs(expr.MetaKeyIIFNAME, f.name), within(destination, loopback), verdict(expr.VerdictDrop, ""))
	forward := c.AddChain(&nftables.Chain{Table: t.ip, Name: "forward", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookForward, Priority: nftables.ChainPriorityFilter})
	in := nameIs(expr.MetaKeyOIFNAME, f.name)
	f.rule(c, t.ip, forward, in, established(), verdict(expr.VerdictAccept, ""))
	f.rule(c, t.ip, forward, in, translated(), verdict(expr.VerdictAccept, ""))
	f.rule(c, t.ip, forward, in, nameIs(expr.MetaKeyIIFNAME, f.name), verdict(expr.VerdictAccept, ""))
	f.rule(c, t.ip, forward, in, verdict(expr.VerdictDrop, ""))
	spoof := c.AddChain(&nftables.Chain{Table: t.bridge, Name: "spoof", Type: nftables.ChainTypeFilter, Hooknum: nftables.ChainHookPrerouting, Priority: nftables.ChainPriorityRef(-300)})
	f.rule(c, t.bridge, spoof, []expr.Any{&expr.Meta{Key: expr.MetaKeyIIFNAME, Register: 1},
		&expr.Lookup{SourceRegister: 1, IsDestRegSet: true, DestRegister: 0, SetID: t.ends.ID, SetName: t.ends.Name}})
}

func (f *firewall) rule(c *nftables.Conn, table *nftables.Table, chain *nftables.Chain, parts ...[]expr.Any) {
	var all []expr.Any
	for _, part := range parts {
		all = append(all, part...)
	}
	c.AddRule(&nftables.Rule{Table: table, Chain: chain, Exprs: all})
}

// add puts one container into the tables, del takes it out.
func (f *firewall) add(l *lease) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("add rules: %w", err)
	}
	if err := f.addTo(c, f.tables(), l); err != nil {
		return fmt.Errorf("add rules: %w", err)
	}
	if err := c.Flush(); err != nil {
		return fmt.Errorf("add rules (nftables): %w", err)
	}
	return nil
}

func (f *firewall) addTo(c *nftables.Conn, t tables, l *lease) error {
	chain := c.AddChain(&nftables.Chain{Table: t.bridge, Name: l.Veth})
	drop := verdict(expr.VerdictDrop, "")
	own, hardware := l.Address.AsSlice(), []byte(l.hardware())
	f.rule(c, t.bridge, chain, load(expr.PayloadBaseLLHeader, 6, 6), differs(hardware), drop)
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_IP), load(expr.PayloadBaseNetworkHeader, 12, 4), differs(own), drop)
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_ARP), load(expr.PayloadBaseNetworkHeader, 8, 6), differs(hardware), drop)
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_ARP), load(expr.PayloadBaseNetworkHeader, 14, 4), differs(own), drop)
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_IP), verdict(expr.VerdictAccept, ""))
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_ARP), verdict(expr.VerdictAccept, ""))
	f.rule(c, t.bridge, chain, drop)
	jump := &expr.Verdict{Kind: expr.VerdictJump, Chain: l.Veth}
	if err := c.SetAddElements(t.ends, []nftables.SetElement{{Key: interfaceName(l.Veth), VerdictData: jump}}); err != nil {
		return err
	}
	for _, p := range l.Ports {
		value := append(append(l.Address.AsSlice(), bigEndian(p.ContainerPort)...), 0, 0)
		if err := c.SetAddElements(t.of(p), []nftables.SetElement{{Key: bigEndian(p.HostPort), Val: value}}); err != nil {
			return err
		}
	}
	return nil
}

func (t tables) of(p Port) *nftables.Set {
	if p.Protocol == "udp" {
		return t.udp
	}
	return t.tcp
}

func (f *firewall) del(l *lease) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("delete rules: %w", err)
	}
	t := f.tables()
	for _, p := range l.Ports {
		value := append(append(l.Address.AsSlice(), bigEndian(p.ContainerPort)...), 0, 0)
		if err := c.SetDeleteElements(t.of(p), []nftables.SetElement{{Key: bigEndian(p.HostPort), Val: value}}); err != nil {
			return err
		}
	}
	jump := &expr.Verdict{Kind: expr.VerdictJump, Chain: l.Veth}
	if err := c.SetDeleteElements(t.ends, []nftables.SetElement{{Key: interfaceName(l.Veth), VerdictData: jump}}); err != nil {
		return err
	}
	chain := &nftables.Chain{Table: t.bridge, Name: l.Veth}
	c.FlushChain(chain)
	c.DelChain(chain)
	return c.Flush()
}

func bigEndian(n uint16) []byte { return binary.BigEndian.AppendUint16(nil, n) }

// interfaceName is how the kernel compares names of interfaces.
func interfaceName(name string) []byte { return append([]byte(name), make([]byte, 16-len(name))...) }
