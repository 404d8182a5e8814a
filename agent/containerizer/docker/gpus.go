package docker

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"github.com/moby/moby/client"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/gpu"
	mesos "agora.dev/agora/api/mesos/v1"
)

// labelGPUs says which GPUs a container has, by index: the Engine remembers it for the next agent.
const labelGPUs = "agora.gpus"

var errNoGPUs = errors.New("this agent gives no GPUs: it needs gpu/nvidia in --isolation")

// giveGPUs gives a container whole GPUs, as devices, and the driver's files where its image asks for
// them. Mesos docker.cpp, allocateNvidiaGpus.
func (c *Containerizer) giveGPUs(ctx context.Context, spec containerizer.Spec, to *client.ContainerCreateOptions) error {
	count, err := gpu.Count(containerizer.Scalar(spec.Resources, "gpus"))
	if err != nil || count == 0 {
		return err
	}
	if c.config.GPUs.Driver == nil {
		return errNoGPUs
	}
	if err := c.config.GPUs.Pool.Resize(string(spec.ID), count); err != nil {
		return err
	}
	has := c.config.GPUs.Pool.Of(string(spec.ID))
	to.Config.Labels[labelGPUs] = indices(has)
	for _, d := range c.config.GPUs.Driver.Devices(has) {
		to.HostConfig.Devices = append(to.HostConfig.Devices,
			container.DeviceMapping{PathOnHost: c.config.GPUs.Driver.Source(d), PathInContainer: d.Path, CgroupPermissions: "rw"})
	}
	image, err := c.engine.ImageInspect(ctx, to.Config.Image)
	if err != nil || image.Config == nil || image.Config.Labels[gpu.VolumeLabel] != gpu.VolumeName {
		return err
	}
	files, err := c.config.GPUs.Driver.Files()
	for _, f := range files {
		to.HostConfig.Mounts = append(to.HostConfig.Mounts, mount.Mount{Type: mount.TypeBind, Source: f.Source, Target: f.Destination, ReadOnly: true})
	}
	return err
}

// keepGPUs refuses more than a container was made with. Fewer stay its own until it ends: the Engine
// takes no device from a container.
func (c *Containerizer) keepGPUs(id containerizer.ID, list []*mesos.Resource) error {
	count, err := gpu.Count(containerizer.Scalar(list, "gpus"))
	if err != nil || count == 0 {
		return err
	}
	if c.config.GPUs.Driver == nil {
		return errNoGPUs
	}
	if has := len(c.config.GPUs.Pool.Of(string(id))); count > has {
		return fmt.Errorf("it was made with %d gpus and cannot get %d: the Docker Engine gives devices to new containers only; use a container of type MESOS", has, count)
	}
	return nil
}

// adoptGPUs notes what a container has that another agent has made.
func (c *Containerizer) adoptGPUs(id containerizer.ID, labels map[string]string) {
	text, given := labels[labelGPUs]
	if !given || c.config.GPUs.Pool == nil {
		return
	}
	var has []int
	for field := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ',' }) {
		if index, err := strconv.Atoi(field); err == nil {
			has = append(has, index)
		}
	}
	if err := c.config.GPUs.Pool.Adopt(string(id), has); err != nil {
		c.log.Warn("a container has a GPU that this agent does not offer", "container", id, "error", err)
	}
}

func (c *Containerizer) releaseGPUs(id containerizer.ID) {
	if _, nested := id.Parent(); !nested && c.config.GPUs.Pool != nil {
		c.config.GPUs.Pool.Release(string(id))
	}
}

func indices(list []int) string {
	var out []string
	for _, index := range list {
		out = append(out, strconv.Itoa(index))
	}
	return strings.Join(out, ",")
}
