// Package gpu gives whole NVIDIA GPUs to containers (Mesos isolator gpu/nvidia): it finds
// them, says which container has which, and names the files of the driver that an image
// needs.
//
// It promises that a GPU has one owner at a time, also after a restart of the agent. It
// refuses parts of a GPU, and asks neither a library nor a program: this binary is static
// and cannot load NVML, and the driver tells the same in /proc.
package gpu

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"agora.dev/agora/agent/isolators/devices"
)

// Driver is what the kernel's driver says.
type Driver struct {
	Version string
	// GPUs are in the order of their addresses on the bus, which is that of NVML and of
	// nvidia-smi.
	GPUs []GPU
	// Control are the devices that every user of a GPU needs.
	Control devices.List
	root    string
}

// GPU is one device.
type GPU struct {
	Index       int
	UUID, Model string
	Node        devices.Device
}

var version = regexp.MustCompile(`\b\d+\.\d+(\.\d+)?\b`)

// Find reads what there is below root, which is / but in tests. Without a driver the error
// says so.
func Find(root string) (*Driver, error) {
	base := filepath.Join(root, "proc/driver/nvidia")
	text, err := os.ReadFile(filepath.Join(base, "version"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("no NVIDIA driver is loaded: there is no /proc/driver/nvidia")
	} else if err != nil {
		return nil, fmt.Errorf("find GPUs: %w", err)
	}
	d := &Driver{Version: version.FindString(string(text)), root: root}
	if d.Version == "" {
		return nil, fmt.Errorf("find GPUs: /proc/driver/nvidia/version names no version: %.80q", text)
	}
	buses, err := os.ReadDir(filepath.Join(base, "gpus")) // sorted by name
	if err != nil {
		return nil, fmt.Errorf("find GPUs: %w", err)
	}
	for i, bus := range buses {
		g, err := d.read(filepath.Join(base, "gpus", bus.Name(), "information"))
		if err != nil {
			return nil, fmt.Errorf("find GPU %s: %w", bus.Name(), err)
		}
		g.Index = i
		d.GPUs = append(d.GPUs, g)
	}
	return d, d.findControl()
}

func (d *Driver) read(file string) (g GPU, err error) {
	f, err := os.Open(file)
	if err != nil {
		return g, err
	}
	defer f.Close()
	minor := -1
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		key, value, _ := strings.Cut(lines.Text(), ":")
		switch value = strings.TrimSpace(value); strings.TrimSpace(key) {
		case "Model":
			g.Model = value
		case "GPU UUID":
			g.UUID = value
		case "Device Minor":
			if minor, err = strconv.Atoi(value); err != nil || minor < 0 {
				return g, fmt.Errorf("device minor %q is no number", value)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return g, err
	}
	if minor < 0 {
		return g, errors.New("the driver names no device minor")
	}
	g.Node, err = d.node("nvidia" + strconv.Itoa(minor))
	return g, err
}

// findControl: the tools of unified memory are for debuggers, and not everywhere.
func (d *Driver) findControl() error {
	for _, c := range []struct {
		name     string
		optional bool
	}{{"nvidiactl", false}, {"nvidia-uvm", false}, {"nvidia-uvm-tools", true}} {
		n, err := d.node(c.name)
		if c.optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("find GPUs: %w", err)
		}
		d.Control = append(d.Control, n)
	}
	return nil
}

// Devices are those of some GPUs: with one come those that control them all.
func (d *Driver) Devices(indices []int) (out devices.List) {
	for _, index := range indices {
		if index < len(d.GPUs) {
			node := d.GPUs[index].Node
			node.Access = "rw"
			out = append(out, node)
		}
	}
	if len(out) > 0 {
		out = append(out, d.Control...)
	}
	return out
}

// Source is where a device's node is on this host.
func (d *Driver) Source(device devices.Device) string { return filepath.Join(d.root, device.Path) }

// node is a device of the host, under the name that it has there.
func (d *Driver) node(name string) (devices.Device, error) {
	n, err := devices.FindBelow(d.root, "/dev/"+name)
	if errors.Is(err, fs.ErrNotExist) {
		return n, fmt.Errorf("%w; nvidia-modprobe -u -c 0 makes it", err)
	}
	n.Access = "rw"
	return n, err
}
