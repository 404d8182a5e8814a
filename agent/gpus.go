package agent

import (
	"errors"

	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/gpu"
	"agora.dev/agora/agent/isolators/isolation"
	mesos "agora.dev/agora/api/mesos/v1"
)

// GPUs are those that the agent offers, by index; without the isolator gpu/nvidia there is
// no driver.
func (c *Config) GPUs() (*gpu.Driver, []int, error) {
	h, err := cgroups.Detect()
	if err != nil {
		return nil, nil, err
	}
	on, err := c.Isolators(h)
	if err != nil {
		return nil, nil, err
	}
	if !on.Has(isolation.GPU) {
		if c.NvidiaGPUDevices != "" {
			return nil, nil, errors.New("--nvidia_gpu_devices needs gpu/nvidia in --isolation")
		}
		return nil, nil, nil
	}
	driver, err := gpu.Find(c.gpuRoot)
	if err != nil {
		return nil, nil, errors.New("--isolation: gpu/nvidia: " + err.Error())
	}
	given, err := parseResources(c.Resources, c.DefaultRole)
	if err != nil {
		return nil, nil, err
	}
	offered, err := driver.Offered(c.NvidiaGPUDevices, named(given, "gpus"))
	return driver, offered, err
}

// named is the amount of a resource, nil where it is not named.
func named(list []*mesos.Resource, name string) (amount *float64) {
	for _, r := range list {
		if r.GetName() == name {
			if amount == nil {
				amount = new(float64)
			}
			*amount += r.GetScalar().GetValue()
		}
	}
	return amount
}

// withGPUs adds those that were found to the agent's resources.
func (c *Config) withGPUs(all []*mesos.Resource) ([]*mesos.Resource, error) {
	_, offered, err := c.GPUs()
	if err == nil && len(offered) > 0 && named(all, "gpus") == nil {
		all = append(all, scalar("gpus", float64(len(offered))))
	}
	return all, err
}
