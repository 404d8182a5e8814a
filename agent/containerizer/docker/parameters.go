package docker

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	units "github.com/docker/go-units"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
)

// parameter is one of DockerInfo.parameters: an option of `docker run`, which Mesos passes on
// unread. Here each is known or refused.
type parameter struct {
	// host says that the value gives a task the host; nil: never.
	host func(value string) bool
	set  func(d *description, value string) error
}

func always(string) bool       { return true }
func isHost(value string) bool { return value == "host" || strings.HasPrefix(value, "container:") }
func list(to func(*description) *[]string) func(*description, string) error {
	return func(d *description, value string) error {
		all := to(d)
		*all = append(*all, value)
		return nil
	}
}

func text(to func(*description) *string) func(*description, string) error {
	return func(d *description, value string) error {
		*to(d) = value
		return nil
	}
}

func flag(set func(*description, bool)) func(*description, string) error {
	return func(d *description, value string) error {
		on, err := strconv.ParseBool(value)
		if value == "" {
			on, err = true, nil
		}
		if err != nil {
			return errors.New("true or false is expected")
		}
		set(d, on)
		return nil
	}
}

func size(to func(*description) *int64) func(*description, string) error {
	return func(d *description, value string) error {
		n, err := units.RAMInBytes(value)
		if err != nil {
			return err
		}
		*to(d) = n
		return nil
	}
}

// pair is NAME=VALUE into a map.
func pair(to func(*description) *map[string]string) func(*description, string) error {
	return func(d *description, value string) error {
		name, content, _ := strings.Cut(value, "=")
		if name == "" {
			return errors.New("NAME=VALUE is expected")
		}
		all := to(d)
		if *all == nil {
			*all = map[string]string{}
		}
		(*all)[name] = content
		return nil
	}
}

var known = map[string]parameter{
	"add-host":          {set: list(func(d *description) *[]string { return &d.host.ExtraHosts })},
	"cap-add":           {host: always, set: list(func(d *description) *[]string { return &d.host.CapAdd })},
	"cap-drop":          {set: list(func(d *description) *[]string { return &d.host.CapDrop })},
	"cpuset-cpus":       {set: text(func(d *description) *string { return &d.host.CpusetCpus })},
	"cpuset-mems":       {set: text(func(d *description) *string { return &d.host.CpusetMems })},
	"device":            {host: always, set: device},
	"dns":               {set: nameServer},
	"dns-option":        {set: list(func(d *description) *[]string { return &d.host.DNSOptions })},
	"dns-opt":           {set: list(func(d *description) *[]string { return &d.host.DNSOptions })},
	"dns-search":        {set: list(func(d *description) *[]string { return &d.host.DNSSearch })},
	"entrypoint":        {set: func(d *description, v string) error { d.config.Entrypoint = []string{v}; return nil }},
	"env":               {set: list(func(d *description) *[]string { return &d.config.Env })},
	"expose":            {set: expose},
	"group-add":         {set: list(func(d *description) *[]string { return &d.host.GroupAdd })},
	"hostname":          {set: text(func(d *description) *string { return &d.config.Hostname })},
	"init":              {set: flag(func(d *description, on bool) { d.host.Init = &on })},
	"ip":                {set: address},
	"ipc":               {host: isHost, set: func(d *description, v string) error { d.host.IpcMode = container.IpcMode(v); return nil }},
	"label":             {set: label},
	"log-driver":        {set: logDriver},
	"log-opt":           {set: pair(func(d *description) *map[string]string { return &d.host.LogConfig.Config })},
	"memory-swap":       {set: size(func(d *description) *int64 { return &d.host.MemorySwap })},
	"memory-swappiness": {set: func(d *description, v string) error { return number(v, func(n int64) { d.host.MemorySwappiness = &n }) }},
	"net-alias":         {set: list(func(d *description) *[]string { return &d.nets.Aliases })},
	"network-alias":     {set: list(func(d *description) *[]string { return &d.nets.Aliases })},
	"oom-kill-disable":  {host: always, set: flag(func(d *description, on bool) { d.host.OomKillDisable = &on })},
	"pid":               {host: isHost, set: func(d *description, v string) error { d.host.PidMode = container.PidMode(v); return nil }},
	"pids-limit":        {set: func(d *description, v string) error { return number(v, func(n int64) { d.host.PidsLimit = &n }) }},
	"privileged":        {host: always, set: flag(func(d *description, on bool) { d.host.Privileged = on })},
	"read-only":         {set: flag(func(d *description, on bool) { d.host.ReadonlyRootfs = on })},
	"runtime":           {host: always, set: text(func(d *description) *string { return &d.host.Runtime })},
	"security-opt":      {host: func(v string) bool { return v != "no-new-privileges" && v != "no-new-privileges=true" }, set: list(func(d *description) *[]string { return &d.host.SecurityOpt })},
	"shm-size":          {set: size(func(d *description) *int64 { return &d.host.ShmSize })},
	"stop-signal":       {set: text(func(d *description) *string { return &d.config.StopSignal })},
	"sysctl":            {set: pair(func(d *description) *map[string]string { return &d.host.Sysctls })},
	"tmpfs":             {set: temporary},
	"ulimit":            {set: ulimit},
	"user":              {set: text(func(d *description) *string { return &d.config.User })},
	"userns":            {host: isHost, set: func(d *description, v string) error { d.host.UsernsMode = container.UsernsMode(v); return nil }},
	"uts":               {host: isHost, set: func(d *description, v string) error { d.host.UTSMode = container.UTSMode(v); return nil }},
	"volume":            {set: volume},
	"volume-driver":     {set: text(func(d *description) *string { return &d.driver })},
	"workdir":           {set: text(func(d *description) *string { return &d.config.WorkingDir })},
}

// short are the one-letter spellings.
var short = map[string]string{"e": "env", "h": "hostname", "l": "label", "u": "user", "v": "volume", "w": "workdir"}

func (d *description) parameters() error {
	for _, given := range d.spec.Container.GetDocker().GetParameters() {
		key, value := given.GetKey(), given.GetValue()
		if long, ok := short[key]; ok {
			key = long
		}
		p, ok := known[key]
		if !ok {
			return fmt.Errorf("docker parameter %q is not supported; supported are %s", given.GetKey(), strings.Join(slices.Sorted(maps.Keys(known)), ", "))
		}
		if p.host != nil && p.host(value) {
			if err := d.rules.dangerous(fmt.Sprintf("docker parameter %s=%s", key, value)); err != nil {
				return err
			}
		}
		if err := p.set(d, value); err != nil {
			return fmt.Errorf("docker parameter %s=%s: %w", key, value, err)
		}
	}
	return nil
}

// logDriver leaves the bound of the Engine's own log, unless another keeps it.
func logDriver(d *description, value string) error {
	if value != d.host.LogConfig.Type {
		d.host.LogConfig = container.LogConfig{Type: value, Config: map[string]string{}}
	}
	return nil
}

func number(value string, set func(int64)) error {
	n, err := strconv.ParseInt(value, 10, 64)
	if err != nil {
		return errors.New("a whole number is expected")
	}
	set(n)
	return nil
}

func device(d *description, value string) error {
	parts := strings.Split(value, ":")
	one := container.DeviceMapping{PathOnHost: parts[0], PathInContainer: parts[0], CgroupPermissions: "rwm"}
	switch len(parts) {
	case 3:
		one.CgroupPermissions = parts[2]
		fallthrough
	case 2:
		one.PathInContainer = parts[1]
	case 1:
	default:
		return errors.New("HOST[:CONTAINER[:rwm]] is expected")
	}
	d.host.Devices = append(d.host.Devices, one)
	return nil
}

func nameServer(d *description, value string) error {
	address, err := netip.ParseAddr(value)
	d.host.DNS = append(d.host.DNS, address)
	return err
}

func address(d *description, value string) error {
	one, err := netip.ParseAddr(value)
	if err != nil {
		return err
	}
	if d.nets.IPAMConfig = (&network.EndpointIPAMConfig{IPv4Address: one}); one.Is6() {
		d.nets.IPAMConfig = &network.EndpointIPAMConfig{IPv6Address: one}
	}
	return nil
}

func expose(d *description, value string) error {
	port, err := network.ParsePort(value)
	if err == nil {
		d.config.ExposedPorts[port] = struct{}{}
	}
	return err
}

// label keeps ours: they say whose the container is.
func label(d *description, value string) error {
	if strings.HasPrefix(value, "agora.") {
		return errors.New("labels that begin with agora. are the agent's")
	}
	return pair(func(d *description) *map[string]string { return &d.config.Labels })(d, value)
}

func temporary(d *description, value string) error {
	at, options, _ := strings.Cut(value, ":")
	if !strings.HasPrefix(at, "/") {
		return errors.New("an absolute path is expected")
	}
	if d.host.Tmpfs == nil {
		d.host.Tmpfs = map[string]string{}
	}
	d.host.Tmpfs[at] = options
	return nil
}

func ulimit(d *description, value string) error {
	one, err := units.ParseUlimit(value)
	if err == nil {
		d.host.Ulimits = append(d.host.Ulimits, one)
	}
	return err
}

// volume is HOST:CONTAINER[:ro]; a name instead of the first path is a volume of the Engine.
func volume(d *description, value string) error {
	parts := strings.Split(value, ":")
	if len(parts) < 2 || len(parts) > 3 || len(parts) == 3 && parts[2] != "ro" && parts[2] != "rw" {
		return errors.New("HOST:CONTAINER[:ro] is expected")
	}
	if strings.HasPrefix(parts[0], "/") {
		if err := d.rules.hostPath(parts[0]); err != nil {
			return err
		}
	} else if strings.Contains(parts[0], "/") || parts[0] == "" || strings.HasPrefix(parts[0], ".") {
		return errors.New("an absolute path or the name of a volume is expected")
	}
	return d.bind(parts[0], parts[1], len(parts) == 3 && parts[2] == "ro")
}
