package bridge

import (
	"fmt"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

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
	drop, accept := verdict(expr.VerdictDrop, ""), verdict(expr.VerdictAccept, "")
	own, hardware := l.Address.AsSlice(), []byte(l.hardware())
	f.rule(c, t.bridge, chain, load(expr.PayloadBaseLLHeader, 6, 6), differs(hardware), drop)
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_IP), load(expr.PayloadBaseNetworkHeader, 12, 4), differs(own), drop)
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_ARP), load(expr.PayloadBaseNetworkHeader, 8, 6), differs(hardware), drop)
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_ARP), load(expr.PayloadBaseNetworkHeader, 14, 4), differs(own), drop)
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_IP), accept)
	f.rule(c, t.bridge, chain, etherType(unix.ETH_P_ARP), accept)
	if l.Address6.IsValid() {
		f.own6(c, t, chain, l)
	}
	f.rule(c, t.bridge, chain, drop)
	jump := &expr.Verdict{Kind: expr.VerdictJump, Chain: l.Veth}
	if err := c.SetAddElements(t.ends, []nftables.SetElement{{Key: interfaceName(l.Veth), VerdictData: jump}}); err != nil {
		return err
	}
	return t.eachPort(l, func(set *nftables.Set, element nftables.SetElement) error {
		return c.SetAddElements(set, []nftables.SetElement{element})
	})
}

// Messages of ICMPv6.
const (
	routerAdvertisement    = 134
	neighbourAdvertisement = 136
	redirect               = 137
	advertised             = 8 // where the address is in an advertisement
)

// own6 lets a container send from its two IPv6 addresses, and advertise these alone: never a
// router (CVE-2020-10749), nor a neighbour.
func (f *firewall) own6(c *nftables.Conn, t tables, chain *nftables.Chain, l *lease) {
	drop, six := verdict(expr.VerdictDrop, ""), etherType(unix.ETH_P_IPV6)
	f.rule(c, t.bridge, chain, six, isNone(expr.PayloadBaseNetworkHeader, source.offset(l.Address6), l.Address6, l.linkLocal()), drop)
	for _, kind := range []byte{routerAdvertisement, redirect} {
		f.rule(c, t.bridge, chain, six, icmp6(kind), drop)
	}
	f.rule(c, t.bridge, chain, six, icmp6(neighbourAdvertisement), isNone(expr.PayloadBaseTransportHeader, advertised, l.Address6, l.linkLocal()), drop)
	f.rule(c, t.bridge, chain, six, verdict(expr.VerdictAccept, ""))
}

// eachPort calls do with what each mapped port of a container is in the maps.
func (t tables) eachPort(l *lease, do func(*nftables.Set, nftables.SetElement) error) error {
	for _, k := range t.kinds {
		address := l.Address
		if k.Family == nftables.TableFamilyIPv6 {
			address = l.Address6
		}
		if !address.IsValid() {
			continue
		}
		for _, p := range l.Ports {
			value := append(append(address.AsSlice(), bigEndian(p.ContainerPort)...), 0, 0)
			if err := do(k.of(p), nftables.SetElement{Key: bigEndian(p.HostPort), Val: value}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (k kind) of(p Port) *nftables.Set {
	if p.Protocol == "udp" {
		return k.udp
	}
	return k.tcp
}

func (f *firewall) del(l *lease) error {
	c, err := nftables.New()
	if err != nil {
		return fmt.Errorf("delete rules: %w", err)
	}
	t := f.tables()
	err = t.eachPort(l, func(set *nftables.Set, element nftables.SetElement) error {
		return c.SetDeleteElements(set, []nftables.SetElement{element})
	})
	if err != nil {
		return err
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
