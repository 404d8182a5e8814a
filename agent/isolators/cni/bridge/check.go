package bridge

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
	"github.com/vishvananda/netlink"
)

// versions answers VERSION.
func versions() ([]byte, error) {
	var out bytes.Buffer
	err := version.All.Encode(&out)
	return out.Bytes(), err
}

// status tells whether another container can be attached.
func (b *Bridge) status() error {
	if n := len(b.leases.byAddress); n >= capacity {
		return types.NewError(types.ErrPluginNotAvailable, fmt.Sprintf("all %d addresses of %s are in use", n, b.leases.block), "")
	} else if n > 0 {
		return nil
	}
	if _, err := freeBlock(b.config.Pool); err != nil {
		return types.NewError(types.ErrPluginNotAvailable, err.Error(), "")
	}
	return nil
}

// collect takes back what no valid attachment has.
func (b *Bridge) collect(r request) (err error) {
	if r.Valid == nil {
		return fmt.Errorf("%s: GC without a list of valid attachments", Type)
	}
	for _, l := range b.leases.all() {
		if slices.Contains(r.Valid, types.GCAttachment{ContainerID: l.Container, IfName: l.Interface}) {
			continue
		}
		b.log.Info("address of a container that is gone taken back", "container", l.Container, "address", l.Address)
		err = errors.Join(err, b.del(request{container: l.Container, name: l.Interface}))
	}
	return err
}

// check tells what of a container's attachment is not as add made it. Rules are looked at by watch.
func (b *Bridge) check(r request) error {
	l := b.leases.find(r.container, r.name)
	if l == nil {
		return fmt.Errorf("%s: container %s is not attached", Type, r.container)
	}
	bridge, err := netlink.LinkByName(b.config.Name)
	if err != nil {
		return fmt.Errorf("%s: bridge %s: %w", Type, b.config.Name, err)
	}
	veth, err := netlink.LinkByName(l.Veth)
	if err != nil {
		return fmt.Errorf("%s: the machine's end %s: %w", Type, l.Veth, err)
	}
	if veth.Attrs().MasterIndex != bridge.Attrs().Index || !isUp(veth) || !isUp(bridge) {
		return fmt.Errorf("%s: the machine's end %s is down, or not on bridge %s", Type, l.Veth, b.config.Name)
	}
	ns, err := os.Open(r.namespace)
	if err != nil {
		return fmt.Errorf("%s: %w", Type, err)
	}
	defer ns.Close()
	if err := inside(ns, func() error { return hasAddresses(l) }); err != nil {
		return fmt.Errorf("%s: interface %s: %w", Type, l.Interface, err)
	}
	return nil
}

func isUp(link netlink.Link) bool { return link.Attrs().Flags&net.FlagUp != 0 }

// hasAddresses looks from inside.
func hasAddresses(l *lease) error {
	link, err := netlink.LinkByName(l.Interface)
	if err != nil {
		return err
	}
	if !isUp(link) {
		return errors.New("it is down")
	}
	found, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, want := range []netip.Addr{l.Address, l.Address6} {
		has := slices.ContainsFunc(found, func(a netlink.Addr) bool { return a.IP.Equal(want.AsSlice()) })
		if want.IsValid() && !has {
			return fmt.Errorf("it has no address %s", want)
		}
	}
	return nil
}
