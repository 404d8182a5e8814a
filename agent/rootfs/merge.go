package rootfs

import "golang.org/x/sys/unix"

// entry is a name in a directory of one layer.
type entry struct {
	name string
	stat unix.Stat_t
	// opaque is set for a directory that hides those of its name in lower layers.
	opaque bool
}

// pick is a name as the container sees it.
type pick struct {
	entry
	// layers are those that it comes from: one for a file, and for a directory each that adds
	// to it, the uppermost first.
	layers []int
}

// merge lays listings of one directory over each other, the uppermost first. Linux
// Documentation/filesystems/overlayfs.rst: the uppermost name wins, a device 0:0 hides it,
// and a directory takes up those below it until a file, a hidden name or an opaque one.
func merge(layers []int, listings [][]entry) (out []pick) {
	at := map[string]int{}      // place in out
	closed := map[string]bool{} // names that lower layers have no say in
	for i, list := range listings {
		for _, e := range list {
			isDir := e.stat.Mode&unix.S_IFMT == unix.S_IFDIR
			place, seen := at[e.name]
			switch {
			case closed[e.name]:
				continue
			case !isDir:
				closed[e.name] = true
				if !seen && !hides(e.stat) {
					out = append(out, pick{entry: e, layers: []int{layers[i]}})
				}
				continue
			case seen:
				out[place].layers = append(out[place].layers, layers[i])
			default:
				at[e.name] = len(out)
				out = append(out, pick{entry: e, layers: []int{layers[i]}})
			}
			closed[e.name] = e.opaque
		}
	}
	return out
}

// hides reports whether a file is a whiteout.
func hides(stat unix.Stat_t) bool {
	return stat.Mode&unix.S_IFMT == unix.S_IFCHR && stat.Rdev == 0
}
