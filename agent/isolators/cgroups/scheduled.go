package cgroups

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Scheduled is what the I/O scheduler of a device did for a group. Only CFQ (Linux before 5.0)
// and its successor BFQ keep it, and only on version 1; a figure that the kernel at hand does
// not keep is nil. Those by operation have keys as those of BlockIO.
type Scheduled struct {
	Major, Minor uint64
	// Sectors are of 512 bytes. Time is how long the device was the group's, in milliseconds;
	// ServiceTime and WaitTime are in nanoseconds.
	Sectors, Time                       *uint64
	Serviced, ServiceBytes, ServiceTime map[string]uint64
	WaitTime, Merged, Queued            map[string]uint64
}

// Scheduled returns the figures of the schedulers by device: the group's own, and those with
// the groups below it.
func (g Group) Scheduled() (own, recursive []Scheduled) {
	dir := g.Paths["blkio"]
	if g.V2 || dir == "" {
		return nil, nil
	}
	prefix := "blkio.bfq."
	if _, err := os.Stat(filepath.Join(dir, "blkio.io_serviced")); err == nil {
		prefix = "blkio."
	}
	used := false // most groups have nothing: one file says so
	eachField(dir, prefix+"io_serviced_recursive", func(f []string) {
		_, _, device := deviceNumber(f[0])
		used = used || device
	})
	if !used {
		return nil, nil
	}
	return scheduled(dir, prefix, ""), scheduled(dir, prefix, "_recursive")
}

func scheduled(dir, prefix, suffix string) (out []Scheduled) {
	of := func(number string) *Scheduled {
		major, minor, ok := deviceNumber(number)
		if !ok {
			return nil // a grand total
		}
		at := slices.IndexFunc(out, func(s Scheduled) bool { return s.Major == major && s.Minor == minor })
		if at < 0 {
			at = len(out)
			out = append(out, Scheduled{Major: major, Minor: minor})
		}
		return &out[at]
	}
	single := func(name string, field func(*Scheduled) **uint64) {
		eachField(dir, prefix+name+suffix, func(f []string) {
			n, err := strconv.ParseUint(f[len(f)-1], 10, 64)
			if s := of(f[0]); s != nil && len(f) == 2 && err == nil {
				*field(s) = &n
			}
		})
	}
	byOperation := func(name string, field func(*Scheduled) *map[string]uint64) {
		eachField(dir, prefix+name+suffix, func(f []string) {
			n, err := strconv.ParseUint(f[len(f)-1], 10, 64)
			s := of(f[0])
			if s == nil || len(f) != 3 || err != nil {
				return
			}
			if values := field(s); *values == nil {
				*values = map[string]uint64{f[1]: n}
			} else {
				(*values)[f[1]] = n
			}
		})
	}
	single("sectors", func(s *Scheduled) **uint64 { return &s.Sectors })
	single("time", func(s *Scheduled) **uint64 { return &s.Time })
	byOperation("io_serviced", func(s *Scheduled) *map[string]uint64 { return &s.Serviced })
	byOperation("io_service_bytes", func(s *Scheduled) *map[string]uint64 { return &s.ServiceBytes })
	byOperation("io_service_time", func(s *Scheduled) *map[string]uint64 { return &s.ServiceTime })
	byOperation("io_wait_time", func(s *Scheduled) *map[string]uint64 { return &s.WaitTime })
	byOperation("io_merged", func(s *Scheduled) *map[string]uint64 { return &s.Merged })
	byOperation("io_queued", func(s *Scheduled) *map[string]uint64 { return &s.Queued })
	return out
}
