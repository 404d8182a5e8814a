package gpu

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Offered says which GPUs an agent offers. Named are those of --nvidia_gpu_devices, indices
// separated by commas; amount is that of gpus in --resources, nil where they are not named. Mesos
// docs/gpu-support.md: without either all are offered, and neither is given without the other.
func (d *Driver) Offered(named string, amount *float64) ([]int, error) {
	var out []int
	if named == "" {
		if amount != nil && *amount != 0 {
			return nil, fmt.Errorf("gpus in --resources need --nvidia_gpu_devices, which says what they are; without both all %d are offered", len(d.GPUs))
		}
		for _, g := range d.GPUs {
			if amount == nil {
				out = append(out, g.Index)
			}
		}
		return out, nil
	}
	for part := range strings.SplitSeq(named, ",") {
		index, err := strconv.Atoi(strings.TrimSpace(part))
		switch {
		case err != nil || index < 0:
			return nil, fmt.Errorf("--nvidia_gpu_devices: %q is no index; they are as 0,1", part)
		case index >= len(d.GPUs):
			return nil, fmt.Errorf("--nvidia_gpu_devices: there is no GPU %d; this machine has %d", index, len(d.GPUs))
		case slices.Contains(out, index):
			return nil, fmt.Errorf("--nvidia_gpu_devices: %d is named twice", index)
		}
		out = append(out, index)
	}
	if amount == nil {
		return nil, fmt.Errorf("--nvidia_gpu_devices needs gpus:%d in --resources", len(out))
	}
	count, err := Count(*amount)
	if err != nil {
		return nil, fmt.Errorf("--resources: %w", err)
	}
	if count != len(out) {
		return nil, fmt.Errorf("--resources has %d gpus, and --nvidia_gpu_devices names %d", count, len(out))
	}
	return out, nil
}
