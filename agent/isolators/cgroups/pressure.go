package cgroups

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Pressure is the content of a file of pressure stall information: the part of the last ten
// seconds in which some of the threads, and all of them at once, had to wait, in percent.
type Pressure struct{ Some, Full float64 }

// ReadPressure reads such a file. A kernel that does not count gives an error.
func ReadPressure(path string) (p Pressure, err error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return p, err
	}
	found := false
	for line := range strings.Lines(string(data)) {
		var kind string
		var value float64
		if n, _ := fmt.Sscanf(line, "%s avg10=%f", &kind, &value); n != 2 {
			continue
		}
		switch kind {
		case "some":
			p.Some, found = value, true
		case "full":
			p.Full = value
		}
	}
	if !found {
		return p, fmt.Errorf("read %s: no pressure in it", path)
	}
	return p, nil
}

// WaitsForCPU is how much the threads of the group wait for a CPU. Version 1 has no such figure.
func (g Group) WaitsForCPU() (p Pressure, ok bool) {
	if !g.V2 {
		return p, false
	}
	p, err := ReadPressure(filepath.Join(g.Paths[""], "cpu.pressure"))
	return p, err == nil
}
