package agent

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
)

// detect completes resources with what the machine has (mesos.md §7): all CPUs, memory
// and disk with some left to the machine, and the usual ports.
func detect(given []*mesos.Resource, workDir string) ([]*mesos.Resource, error) {
	have := map[string]bool{}
	for _, r := range given {
		have[r.GetName()] = true
	}
	out := given
	if !have["cpus"] {
		out = append(out, scalar("cpus", float64(cpus())))
	}
	if !have["mem"] {
		var info unix.Sysinfo_t
		if err := unix.Sysinfo(&info); err != nil {
			return nil, fmt.Errorf("detect memory: %w", err)
		}
		out = append(out, scalar("mem", leave(float64(uint64(info.Totalram)*uint64(info.Unit)>>20), 1024)))
	}
	if !have["disk"] {
		var info unix.Statfs_t
		if err := unix.Statfs(workDir, &info); err != nil {
			return nil, fmt.Errorf("detect disk of %s: %w", workDir, err)
		}
		out = append(out, scalar("disk", leave(float64(info.Blocks*uint64(info.Bsize)>>20), 5*1024)))
	}
	if !have["ports"] {
		out = append(out, usualPorts())
	}
	return out, nil
}

func usualPorts() *mesos.Resource {
	begin, end := uint64(31000), uint64(32000)
	name, kind := "ports", mesos.Value_RANGES
	return &mesos.Resource{Name: &name, Type: &kind, Ranges: &mesos.Value_Ranges{Range: []*mesos.Value_Range{{Begin: &begin, End: &end}}}}
}

// leave keeps a part for the machine: amount, or half where that is most of it.
func leave(total, amount float64) float64 {
	if total > 2*amount {
		return total - amount
	}
	return float64(int64(total / 2))
}

func cpus() int {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil && set.Count() > 0 {
		return set.Count()
	}
	return 1
}

func scalar(name string, value float64) *mesos.Resource {
	return &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &value}}
}

// parseDomain reads the JSON of --domain; nothing is no domain.
func parseDomain(text string) (*mesos.DomainInfo, error) {
	if text == "" {
		return nil, nil
	}
	domain := &mesos.DomainInfo{}
	if err := codec.UnmarshalJSON([]byte(text), domain); err != nil {
		return nil, fmt.Errorf("--domain: %w", err)
	}
	if domain.GetFaultDomain().GetRegion().GetName() == "" || domain.GetFaultDomain().GetZone().GetName() == "" {
		return nil, errors.New("--domain: fault_domain needs the names of a region and a zone")
	}
	return domain, nil
}

// parseAttributes reads "rack:r1;load:[1-5];weight:0.5".
func parseAttributes(text string) ([]*mesos.Attribute, error) {
	var out []*mesos.Attribute
	for part := range strings.SplitSeq(text, ";") {
		part = strings.TrimSpace(part)
		if part == "" {
			continue
		}
		name, value, ok := strings.Cut(part, ":")
		name, value = strings.TrimSpace(name), strings.TrimSpace(value)
		if !ok || name == "" {
			return nil, fmt.Errorf("--attributes: %q is not name:value", part)
		}
		a := &mesos.Attribute{Name: &name}
		if number, err := strconv.ParseFloat(value, 64); err == nil {
			a.Type, a.Scalar = mesos.Value_SCALAR.Enum(), &mesos.Value_Scalar{Value: &number}
		} else if ranges, err := parseRanges(value); err == nil && strings.HasPrefix(value, "[") {
			a.Type, a.Ranges = mesos.Value_RANGES.Enum(), ranges
		} else {
			a.Type, a.Text = mesos.Value_TEXT.Enum(), &mesos.Value_Text{Value: &value}
		}
		out = append(out, a)
	}
	return out, nil
}

func parseRanges(text string) (*mesos.Value_Ranges, error) {
	inner, ok := strings.CutPrefix(strings.TrimSpace(text), "[")
	inner, closed := strings.CutSuffix(inner, "]")
	if !ok || !closed {
		return nil, fmt.Errorf("%q is not [a-b,c-d]", text)
	}
	out := &mesos.Value_Ranges{}
	for part := range strings.SplitSeq(inner, ",") {
		low, high, span := strings.Cut(part, "-")
		if !span {
			high = low
		}
		begin, err := strconv.ParseUint(strings.TrimSpace(low), 10, 64)
		if err != nil {
			return nil, fmt.Errorf("%q is not a range", part)
		}
		end, err := strconv.ParseUint(strings.TrimSpace(high), 10, 64)
		if err != nil || end < begin {
			return nil, fmt.Errorf("%q is not a range", part)
		}
		out.Range = append(out.Range, &mesos.Value_Range{Begin: &begin, End: &end})
	}
	return out, nil
}

func bootID() (string, error) {
	data, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return string(bytes.TrimSpace(data)), err
}
