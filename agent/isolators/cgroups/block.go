package cgroups

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// BlockIO is what a group has read from and written to one device.
type BlockIO struct {
	Major, Minor uint64
	// Bytes and Requests are by operation: "Read", "Write", "Discard"; on v1 also
	// "Sync", "Async" and "Total".
	Bytes, Requests map[string]uint64
}

// blockV1: weights are those of the BFQ scheduler where blkio.weight is gone.
func blockV1(b *specs.LinuxBlockIO) []setting {
	if b == nil {
		return nil
	}
	l := &list{controller: "blkio"}
	if b.Weight != nil {
		value := strconv.Itoa(int(*b.Weight))
		l.out = append(l.out, setting{controller: "blkio", file: "blkio.weight", value: value, or: "blkio.bfq.weight", orValue: value})
	}
	for _, t := range throttles(b) {
		for _, d := range t.devices {
			l.add("blkio.throttle."+t.v1, fmt.Sprintf("%d:%d %d", d.Major, d.Minor, d.Rate))
		}
	}
	return l.out
}

func blockV2(b *specs.LinuxBlockIO) []setting {
	if b == nil {
		return nil
	}
	l := &list{}
	if w := b.Weight; w != nil {
		// 10 to 1000 becomes 1 to 10000, as in runc and crun.
		wide := 1 + (uint64(max(*w, 10))-10)*9999/990
		l.out = append(l.out, setting{file: "io.weight", value: "default " + strconv.FormatUint(wide, 10), or: "io.bfq.weight", orValue: strconv.Itoa(int(*w))})
	}
	for _, t := range throttles(b) {
		for _, d := range t.devices {
			l.add("io.max", fmt.Sprintf("%d:%d %s=%d", d.Major, d.Minor, t.v2, d.Rate))
		}
	}
	return l.out
}

type throttle struct {
	v1, v2  string
	devices []specs.LinuxThrottleDevice
}

func throttles(b *specs.LinuxBlockIO) []throttle {
	return []throttle{
		{"read_bps_device", "rbps", b.ThrottleReadBpsDevice}, {"write_bps_device", "wbps", b.ThrottleWriteBpsDevice},
		{"read_iops_device", "riops", b.ThrottleReadIOPSDevice}, {"write_iops_device", "wiops", b.ThrottleWriteIOPSDevice},
	}
}

// blocks reads the statistics by device; groups without any I/O have none.
func (g Group) blocks() []BlockIO {
	found := map[[2]uint64]*BlockIO{}
	of := func(number string) *BlockIO {
		major, minor, ok := deviceNumber(number)
		if !ok {
			return nil
		}
		key := [2]uint64{major, minor}
		if found[key] == nil {
			found[key] = &BlockIO{Major: major, Minor: minor, Bytes: map[string]uint64{}, Requests: map[string]uint64{}}
		}
		return found[key]
	}
	if g.V2 {
		eachField(g.Paths[""], "io.stat", func(f []string) {
			if d := of(f[0]); d != nil {
				d.unified(f[1:])
			}
		})
	} else {
		suffix := "_recursive"
		if _, err := os.Stat(filepath.Join(g.Paths["blkio"], "blkio.throttle.io_serviced"+suffix)); err != nil {
			suffix = "" // older kernels
		}
		for file, requests := range map[string]bool{"blkio.throttle.io_service_bytes": false, "blkio.throttle.io_serviced": true} {
			eachField(g.Paths["blkio"], file+suffix, func(f []string) {
				if len(f) != 3 {
					return // the grand total
				}
				if d := of(f[0]); d != nil {
					n, _ := strconv.ParseUint(f[2], 10, 64)
					if requests {
						d.Requests[f[1]] = n
					} else {
						d.Bytes[f[1]] = n
					}
				}
			})
		}
	}
	var out []BlockIO
	for _, key := range slices.SortedFunc(maps.Keys(found), func(a, b [2]uint64) int { return slices.Compare(a[:], b[:]) }) {
		out = append(out, *found[key])
	}
	return out
}

// deviceNumber reads "8:0".
func deviceNumber(text string) (major, minor uint64, ok bool) {
	first, second, _ := strings.Cut(text, ":")
	major, err1 := strconv.ParseUint(first, 10, 32)
	minor, err2 := strconv.ParseUint(second, 10, 32)
	return major, minor, err1 == nil && err2 == nil
}

// unified reads "rbytes=1 wbytes=2 rios=3 …".
func (b *BlockIO) unified(fields []string) {
	for _, f := range fields {
		key, value, _ := strings.Cut(f, "=")
		n, err := strconv.ParseUint(value, 10, 64)
		if err != nil || len(key) < 4 {
			continue
		}
		operation := map[byte]string{'r': "Read", 'w': "Write", 'd': "Discard"}[key[0]]
		switch key[1:] {
		case "bytes":
			b.Bytes[operation] = n
		case "ios":
			b.Requests[operation] = n
		}
	}
}

func eachField(dir, file string, do func(fields []string)) {
	b, _ := os.ReadFile(filepath.Join(dir, file))
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 0 {
			do(f)
		}
	}
}
