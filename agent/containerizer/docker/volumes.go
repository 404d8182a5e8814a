package docker

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/moby/moby/api/types/mount"

	mesos "agora.dev/agora/api/mesos/v1"
)

// volumes: the sandbox, persistent volumes, directories of the host, and volumes of the Engine. A
// relative path of the host is in the sandbox, and a relative one of the container below its sandbox.
func (d *description) volumes() error {
	d.driver = d.spec.Container.GetDocker().GetVolumeDriver()
	d.host.Mounts = []mount.Mount{{Type: mount.TypeBind, Source: d.spec.Sandbox, Target: d.rules.Sandbox}}
	for _, v := range d.spec.Persistent {
		if err := d.bind(v.Source, v.ContainerPath, v.ReadOnly); err != nil {
			return fmt.Errorf("persistent volume %s: %w", v.ID, err)
		}
	}
	for _, v := range d.spec.Container.GetVolumes() {
		if err := d.volume(v); err != nil {
			return fmt.Errorf("volume %q: %w", v.GetContainerPath(), err)
		}
	}
	return nil
}

func (d *description) volume(v *mesos.Volume) error {
	host, readOnly := v.GetHostPath(), v.GetMode() == mesos.Volume_RO
	if s := v.GetSource(); s != nil {
		switch s.GetType() {
		case mesos.Volume_Source_HOST_PATH:
			host = s.GetHostPath().GetPath()
		case mesos.Volume_Source_DOCKER_VOLUME:
			return d.dockerVolume(s.GetDockerVolume(), v.GetContainerPath(), readOnly)
		default:
			return fmt.Errorf("source %s is not supported by the Docker containerizer; use a container of type MESOS", s.GetType())
		}
	}
	switch {
	case host == "":
		return errors.New("it has no source")
	case filepath.IsAbs(host):
		host = filepath.Clean(host)
		if err := d.rules.hostPath(host); err != nil {
			return err
		}
	case !filepath.IsLocal(host):
		return fmt.Errorf("host path %q leaves the sandbox", host)
	default:
		host = filepath.Join(d.spec.Sandbox, host)
	}
	return d.bind(host, v.GetContainerPath(), readOnly)
}

// dockerVolume is a volume of the Engine by its name. The Engine makes it, with the driver and its
// options, unless it has one of that name: then the options say nothing.
func (d *description) dockerVolume(v *mesos.Volume_Source_DockerVolume, inside string, readOnly bool) error {
	if name := v.GetName(); name == "" || strings.ContainsAny(name, "/:,") {
		return fmt.Errorf("volume name %q: letters, digits, '_', '.' and '-' make a name", name)
	}
	if err := d.bind(v.GetName(), inside, readOnly); err != nil {
		return err
	}
	options := map[string]string{}
	for _, o := range v.GetDriverOptions().GetParameter() {
		if _, twice := options[o.GetKey()]; twice {
			return fmt.Errorf("driver option %q is given twice", o.GetKey())
		}
		options[o.GetKey()] = o.GetValue()
	}
	if v.GetDriver() != "" || len(options) > 0 {
		last := &d.host.Mounts[len(d.host.Mounts)-1]
		last.VolumeOptions = &mount.VolumeOptions{DriverConfig: &mount.Driver{Name: v.GetDriver(), Options: options}}
	}
	return nil
}

// drivers gives volumes that name no driver that of the container, and checks what the Engine's own
// driver is asked for.
func (d *description) drivers() error {
	for i := range d.host.Mounts {
		m := &d.host.Mounts[i]
		if m.Type != mount.TypeVolume {
			continue
		}
		if m.VolumeOptions == nil {
			if d.driver == "" {
				continue
			}
			m.VolumeOptions = &mount.VolumeOptions{DriverConfig: &mount.Driver{}}
		}
		config := m.VolumeOptions.DriverConfig
		if config.Name == "" {
			config.Name = d.driver
		}
		if config.Name == "" || config.Name == "local" {
			if err := d.rules.localVolume(config.Options); err != nil {
				return fmt.Errorf("volume %q: %w", m.Target, err)
			}
		}
	}
	return nil
}

// localVolume checks the options of the driver local, which are those of mount: type, o and device.
func (r Rules) localVolume(options map[string]string) error {
	for name := range maps.Keys(options) {
		if !slices.Contains([]string{"type", "o", "device", "size"}, name) {
			return fmt.Errorf("driver option %q: the driver local knows type, o, device and size", name)
		}
	}
	kind, flags, device := options["type"], strings.Split(options["o"], ","), options["device"]
	switch {
	case slices.Contains(flags, "bind") || slices.Contains(flags, "rbind"):
		if !filepath.IsAbs(device) {
			return fmt.Errorf("driver option device=%s: an absolute path of the host is expected", device)
		}
		return r.hostPath(filepath.Clean(device))
	case device == "" && kind == "", slices.Contains([]string{"tmpfs", "nfs", "nfs4", "cifs"}, kind):
		return nil
	}
	return r.dangerous(fmt.Sprintf("a volume of type %q from %q", kind, device))
}

func (d *description) bind(source, inside string, readOnly bool) error {
	if inside == "" || slices.Contains(strings.Split(inside, "/"), "..") || path.Clean(inside) == "/" {
		return errors.New("its container path must not be empty, '/', or contain '..'")
	}
	if strings.Contains(source+inside, "\x00") {
		return errors.New("a path holds no zero byte")
	}
	if !path.IsAbs(inside) {
		inside = path.Join(d.rules.Sandbox, inside)
	}
	kind := mount.TypeVolume // of the Engine, by its name
	if filepath.IsAbs(source) {
		kind = mount.TypeBind
	}
	d.host.Mounts = append(d.host.Mounts, mount.Mount{Type: kind, Source: source, Target: path.Clean(inside), ReadOnly: readOnly})
	return nil
}
