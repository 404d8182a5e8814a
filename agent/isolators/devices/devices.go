// Package devices owns which devices a container can open: the list that the operator
// adds to the harmless ones (Mesos isolators cgroups/devices and linux/devices), and the
// filter that keeps it on version 2 of control groups.
//
// It promises that what no rule names is refused, to root too and whatever node leads to
// it. It refuses devices that it cannot find, and nodes outside of /dev.
package devices

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Device is one that containers can have, with its node on the host.
type Device struct {
	Path         string
	Type         string // "c" or "b"
	Major, Minor int64
	// Access is made of r, w and m (make a node of it).
	Access string
}

// List are devices in the order in which the operator named them.
type List []Device

const form = `not of the form {"allowed_devices":[{"device":{"path":"/dev/fuse"},"access":{"read":true,"write":true,"mknod":false}}]}`

// Parse reads the value of --allowed_devices, JSON of DeviceWhitelist, and finds the
// devices on this host. An empty text is an empty list. The path decides: a number beside it
// must be the device's own.
func Parse(text string) (List, error) {
	if strings.TrimSpace(text) == "" {
		return nil, nil
	}
	var given struct {
		Allowed []struct {
			Device struct {
				Path   string `json:"path"`
				Number *struct {
					Major int64 `json:"major_number"`
					Minor int64 `json:"minor_number"`
				} `json:"number"`
			} `json:"device"`
			Access struct {
				Read  bool `json:"read"`
				Write bool `json:"write"`
				Mknod bool `json:"mknod"`
			} `json:"access"`
		} `json:"allowed_devices"`
	}
	strict := json.NewDecoder(strings.NewReader(text))
	strict.DisallowUnknownFields()
	if err := strict.Decode(&given); err != nil || strict.More() {
		return nil, errors.New(form)
	}
	var out List
	for i, g := range given.Allowed {
		if g.Device.Path == "" {
			return nil, fmt.Errorf("device %d has no path; a number alone does not say whether it is a block device", i+1)
		}
		d, err := Find(g.Device.Path)
		if err != nil {
			return nil, err
		}
		if n := g.Device.Number; n != nil && (n.Major != d.Major || n.Minor != d.Minor) {
			return nil, fmt.Errorf("device %s is %d:%d, and not %d:%d", d.Path, d.Major, d.Minor, n.Major, n.Minor)
		}
		for _, a := range []struct {
			may    bool
			letter string
		}{{g.Access.Read, "r"}, {g.Access.Write, "w"}, {g.Access.Mknod, "m"}} {
			if a.may {
				d.Access += a.letter
			}
		}
		if d.Access == "" {
			return nil, fmt.Errorf("device %s: no access is given; name read, write or mknod", d.Path)
		}
		if out.has(d) {
			return nil, fmt.Errorf("device %s is named twice", d.Path)
		}
		out = append(out, d)
	}
	return out, nil
}

// Find describes the device at a path of this host, without any access.
func Find(path string) (Device, error) { return FindBelow("/", path) }

// FindBelow is Find for a host whose files are below root.
func FindBelow(root, path string) (Device, error) {
	if clean := filepath.Clean(path); clean != path || !strings.HasPrefix(clean, "/dev/") {
		return Device{}, fmt.Errorf("device %q: its path must be absolute and below /dev", path)
	}
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(root, path), &stat); err != nil {
		return Device{}, &os.PathError{Op: "device", Path: path, Err: err}
	}
	d := Device{Path: path, Major: int64(unix.Major(stat.Rdev)), Minor: int64(unix.Minor(stat.Rdev))}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFCHR:
		d.Type = "c"
	case unix.S_IFBLK:
		d.Type = "b"
	default:
		return Device{}, fmt.Errorf("%s is no device", path)
	}
	return d, nil
}

func (l List) has(d Device) bool {
	for _, other := range l {
		if other.Path == d.Path || other.Type == d.Type && other.Major == d.Major && other.Minor == d.Minor {
			return true
		}
	}
	return false
}

// Rules let a container's groups use the devices. Making a node of one is always part of
// it: the node in the container's /dev is made from within its groups.
func (l List) Rules() (out []specs.LinuxDeviceCgroup) {
	for _, d := range l {
		access := strings.TrimSuffix(d.Access, "m") + "m"
		out = append(out, specs.LinuxDeviceCgroup{Allow: true, Type: d.Type, Major: &d.Major, Minor: &d.Minor, Access: access})
	}
	return out
}

// Nodes are those to make in the /dev of a container that has its own. Their modes are
// what the access allows; a device that can only be made by mknod has none.
func (l List) Nodes() (out []specs.LinuxDevice) {
	for _, d := range l {
		var mode os.FileMode
		if strings.Contains(d.Access, "r") {
			mode |= 0o444
		}
		if strings.Contains(d.Access, "w") {
			mode |= 0o222
		}
		if mode != 0 {
			owner := uint32(0)
			out = append(out, specs.LinuxDevice{Path: d.Path, Type: d.Type, Major: d.Major, Minor: d.Minor, FileMode: &mode, UID: &owner, GID: &owner})
		}
	}
	return out
}
