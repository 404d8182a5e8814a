// Package userns gives containers their ranges of user and group ids: the numbers that the
// machine has for the users of a container that is in a user namespace of its own.
//
// It promises that no two containers hold an id at the same time, and that no id below
// 65,536 is given. It refuses to make namespaces: who asks for a range describes them.
package userns

import (
	"fmt"
	"strconv"
	"strings"
)

// Size is how many ids a container has: those of a 16-bit system, as with Docker and
// Kubernetes.
const Size = 65536

// lowest leaves the ids of the machine's own accounts alone.
const lowest = Size

// highest is the last id: past 31 bits programs take them for negative numbers.
const highest = 1<<31 - 1

// Policy says which containers have a user namespace.
type Policy string

// The policies: those that ask for one, all that do not ask for the machine's, or all.
const (
	Asked   Policy = "asked"
	Default Policy = "default"
	Always  Policy = "always"
)

// Ranges are those that an agent may give. The zero value gives none. It is not safe for
// use from several goroutines at once.
type Ranges struct {
	policy      Policy
	first, last uint32
	used        map[uint32]bool // by first id
}

// Parse reads the range of the machine's ids, as 1000000-2000000, which includes both ends,
// and the policy; empty stands for Asked.
func Parse(span, policy string) (Ranges, error) {
	out := Ranges{policy: Policy(policy), used: map[uint32]bool{}}
	switch out.policy {
	case "":
		out.policy = Asked
	case Asked, Default, Always:
	default:
		return Ranges{}, fmt.Errorf("--userns: %q is unknown; it is %s, %s or %s", policy, Asked, Default, Always)
	}
	if span == "" {
		if out.policy != Asked {
			return Ranges{}, fmt.Errorf("--userns=%s needs ids to give; name them with --userns_range, as 1000000-67108863", policy)
		}
		return out, nil
	}
	from, to, ok := strings.Cut(span, "-")
	first, err1 := strconv.ParseUint(strings.TrimSpace(from), 10, 32)
	last, err2 := strconv.ParseUint(strings.TrimSpace(to), 10, 32)
	switch {
	case !ok || err1 != nil || err2 != nil:
		return Ranges{}, fmt.Errorf("--userns_range: %q is no range; give the first and the last id, as 1000000-67108863", span)
	case first < lowest || last > highest:
		return Ranges{}, fmt.Errorf("--userns_range: %s: ids are from %d, above the machine's own accounts, to %d", span, lowest, highest)
	case first > last || last-first+1 < Size:
		return Ranges{}, fmt.Errorf("--userns_range: %s has no room for one container, which needs %d ids", span, Size)
	}
	out.first, out.last = uint32(first), uint32(last)
	return out, nil
}

// Given reports whether containers can have user namespaces at all.
func (r *Ranges) Given() bool { return r.last != 0 }

// Wanted decides whether a container has a user namespace: asked is "private", "host", or
// empty where nothing is said.
func (r *Ranges) Wanted(asked string) (bool, error) {
	switch asked {
	case "":
		return r.policy == Default || r.policy == Always, nil
	case "private":
		if !r.Given() {
			return false, fmt.Errorf("userns=private: this agent has no ids for user namespaces; start it with --userns_range")
		}
		return true, nil
	case "host":
		if r.policy == Always {
			return false, fmt.Errorf("userns=host: this agent gives every container a user namespace (--userns=%s)", Always)
		}
		return false, nil
	}
	return false, fmt.Errorf("userns=%s: it is private or host", asked)
}

// Allocate takes the lowest free range and returns its first id.
func (r *Ranges) Allocate() (uint32, error) {
	count := 0
	for first := uint64(r.first); r.Given() && first+Size-1 <= uint64(r.last); first += Size {
		if count++; r.free(uint32(first)) {
			r.used[uint32(first)] = true
			return uint32(first), nil
		}
	}
	return 0, fmt.Errorf("no ids are left for a user namespace: all %d ranges of %d-%d are in use; widen --userns_range", count, r.first, r.last)
}

// free reports that nobody has an id of the range; an earlier agent may have cut them
// elsewhere.
func (r *Ranges) free(first uint32) bool {
	for taken := range r.used {
		if taken < first+Size && first < taken+Size {
			return false
		}
	}
	return true
}

// Reserve marks the range of a container that an earlier agent launched; 0 is none.
func (r *Ranges) Reserve(first uint32) {
	if first == 0 {
		return
	}
	if r.used == nil {
		r.used = map[uint32]bool{}
	}
	r.used[first] = true
}

// Free gives a range back.
func (r *Ranges) Free(first uint32) { delete(r.used, first) }
