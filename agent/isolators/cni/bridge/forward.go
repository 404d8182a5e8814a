package bridge

import (
	"errors"
	"os"
	"slices"
	"strings"

	"github.com/vishvananda/netlink"
)

// bridgePrefix is the start of every agent's bridge.
const bridgePrefix = "agora-"

// A mark in a bridge's alias says that the last of all bridges has to turn forwarding off
// again.
const (
	forwardFile  = "/proc/sys/net/ipv4/ip_forward"
	forward6File = "/proc/sys/net/ipv6/conf/all/forwarding"
	restoreMark  = "agora: turn net.ipv4.ip_forward off with the last bridge"
	restoreMark6 = "agora: turn net.ipv6.conf.all.forwarding off with the last bridge"
)

// forwardings are the settings by their marks.
var forwardings = []struct{ mark, file string }{{restoreMark, forwardFile}, {restoreMark6, forward6File}}

const markSeparator = "; "

// marks of a bridge.
func marks(link netlink.Link) (out []string) {
	for mark := range strings.SplitSeq(link.Attrs().Alias, markSeparator) {
		if mark == restoreMark || mark == restoreMark6 {
			out = append(out, mark)
		}
	}
	return out
}

// remember adds marks to those of a bridge.
func remember(bridge netlink.Link, more []string) error {
	all := marks(bridge)
	for _, mark := range more {
		if !slices.Contains(all, mark) {
			all = append(all, mark)
		}
	}
	if len(all) == 0 {
		return nil
	}
	alias := strings.Join(all, markSeparator)
	if err := netlink.LinkSetAlias(bridge, alias); err != nil {
		return err
	}
	bridge.Attrs().Alias = alias
	return nil
}

// forward turns forwarding on, and has the bridge remember what was off.
func forward(bridge netlink.Link, six bool) error {
	others, err := bridges(bridge.Attrs().Name)
	if err != nil {
		return err
	}
	for _, f := range forwardings {
		if f.mark == restoreMark6 && !six {
			continue
		}
		on, err := os.ReadFile(f.file)
		if err != nil {
			return err
		}
		off := strings.TrimSpace(string(on)) == "0"
		for _, other := range others {
			off = off || slices.Contains(marks(other), f.mark)
		}
		if off {
			if err := remember(bridge, []string{f.mark}); err != nil {
				return err
			}
		}
		if err := os.WriteFile(f.file, []byte("1"), 0); err != nil {
			return err
		}
	}
	return nil
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

// removeBridge takes the bridge down, and forwarding with the last of all.
func removeBridge(name string) error {
	link, err := netlink.LinkByName(name)
	if err != nil {
		return gone(err)
	}
	mine := marks(link)
	if err := gone(netlink.LinkDel(link)); err != nil || len(mine) == 0 {
		return err
	}
	others, err := bridges(name)
	if err != nil {
		return err
	}
	for _, other := range others {
		err = errors.Join(err, gone(remember(other, mine)))
	}
	for _, f := range forwardings {
		if len(others) == 0 && slices.Contains(mine, f.mark) {
			err = errors.Join(err, os.WriteFile(f.file, []byte("0"), 0))
		}
	}
	return err
}
