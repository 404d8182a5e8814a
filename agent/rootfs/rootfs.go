// Package rootfs makes the root file system of a container out of the layers of an
// image: by overlayfs, or by copying them where overlayfs does not work.
//
// It promises that both give the container the same files: owners, modes, times, extended
// attributes, hard links, holes, and nothing that an upper layer hides; that a copy leaves
// the layers as they are; and that no link in a layer leads a copy out of the layer or of its
// target, each path being resolved by descriptors. It refuses to know images: layers
// are directories in overlay's own form. What a copy that fails has made is the caller's to
// remove.
package rootfs

import "fmt"

// Backend is a way to make a root file system.
type Backend string

// Backends under the names of Mesos (--image_provisioner_backend).
const (
	// Auto is overlay where it works, and copy elsewhere.
	Auto    Backend = ""
	Overlay Backend = "overlay"
	Copy    Backend = "copy"
)

// Parse reads --image_provisioner_backend.
func Parse(text string) (Backend, error) {
	switch b := Backend(text); b {
	case Auto, Overlay, Copy:
		return b, nil
	case "aufs", "bind":
		return "", fmt.Errorf("--image_provisioner_backend=%s is not built; use overlay or copy, or leave it out to have the one that works", text)
	}
	return "", fmt.Errorf("--image_provisioner_backend=%s is unknown: it is overlay or copy; left out, the one that works", text)
}
