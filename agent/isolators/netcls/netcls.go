// Package netcls gives containers their handles of network classes: the number by which a
// machine's traffic control and firewall tell the packets of one container from those of
// another (isolator cgroups/net_cls).
//
// It promises that no two containers hold one handle at a time. It refuses to touch control
// groups: who asks for a handle writes it there.
package netcls

import (
	"fmt"
	"strconv"
	"strings"
)

// Handles are those that an agent may give. The zero value gives none. It is not safe for
// use from several goroutines at once.
type Handles struct {
	primary      uint16
	lower, upper uint16
	used         map[uint32]bool
}

// Parse reads the options of Mesos: a primary handle, as 0x0012, and a range of secondary
// ones, as 0xAAAA,0xBBBB, which includes both ends. Without a range it is 0x0001,0xffff;
// without a primary handle nothing is given out.
func Parse(primary, secondaries string) (Handles, error) {
	if primary == "" {
		if secondaries != "" {
			return Handles{}, fmt.Errorf("--cgroups_net_cls_secondary_handles needs --cgroups_net_cls_primary_handle, too")
		}
		return Handles{}, nil
	}
	out := Handles{lower: 1, upper: 0xffff, used: map[uint32]bool{}}
	var err error
	if out.primary, err = handle(primary); err != nil {
		return Handles{}, fmt.Errorf("--cgroups_net_cls_primary_handle: %w", err)
	}
	if secondaries == "" {
		return out, nil
	}
	lower, upper, ok := strings.Cut(secondaries, ",")
	if !ok {
		return Handles{}, fmt.Errorf("--cgroups_net_cls_secondary_handles: %q is no range; give the first and the last, as 0x0001,0x00ff", secondaries)
	}
	if out.lower, err = handle(lower); err != nil {
		return Handles{}, fmt.Errorf("--cgroups_net_cls_secondary_handles: %w", err)
	}
	if out.upper, err = handle(upper); err != nil {
		return Handles{}, fmt.Errorf("--cgroups_net_cls_secondary_handles: %w", err)
	}
	if out.lower > out.upper {
		return Handles{}, fmt.Errorf("--cgroups_net_cls_secondary_handles: %s is empty: the first is above the last", secondaries)
	}
	return out, nil
}

// handle reads a 16-bit number other than 0, which the kernel takes for none.
func handle(text string) (uint16, error) {
	text = strings.TrimSpace(text)
	n, err := strconv.ParseUint(text, 0, 16)
	if err != nil || n == 0 {
		return 0, fmt.Errorf("%q is no handle; give a number from 0x0001 to 0xffff", text)
	}
	return uint16(n), nil
}

// Given reports whether containers get handles at all.
func (h *Handles) Given() bool { return h.primary != 0 }

// Allocate takes the lowest free handle and returns the class of it: primary<<16 | secondary
// (kernel's admin-guide/cgroup-v1/net_cls.rst).
func (h *Handles) Allocate() (uint32, error) {
	for secondary := uint32(h.lower); secondary <= uint32(h.upper); secondary++ {
		class := uint32(h.primary)<<16 | secondary
		if !h.used[class] {
			h.used[class] = true
			return class, nil
		}
	}
	return 0, fmt.Errorf("no network class is left: all %d secondary handles of 0x%04x are in use; widen --cgroups_net_cls_secondary_handles",
		int(h.upper)-int(h.lower)+1, h.primary)
}

// Reserve marks the class of a container that an earlier agent launched. A class outside
// the handles of this agent needs no mark: it is never given.
func (h *Handles) Reserve(class uint32) {
	if h.Given() {
		h.used[class] = true
	}
}

// Free gives a class back.
func (h *Handles) Free(class uint32) { delete(h.used, class) }
