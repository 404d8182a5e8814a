package validation

import (
	"slices"
	"strings"

	"agora.dev/agora/api/mesos/v1"
)

// check checks a CheckInfo.
func check(info *mesos.CheckInfo) error {
	if info.Type == nil {
		return invalid("CheckInfo must specify 'type'")
	}
	switch info.GetType() {
	case mesos.CheckInfo_COMMAND:
		if info.Command == nil {
			return invalid("Expecting 'command' to be set for COMMAND check")
		}
		if err := checkCommand(info.GetCommand().GetCommand(), "check"); err != nil {
			return err
		}
	case mesos.CheckInfo_HTTP:
		if info.Http == nil {
			return invalid("Expecting 'http' to be set for HTTP check")
		}
		if path := info.GetHttp().GetPath(); path != "" && path[0] != '/' {
			return invalidf("The path '%s' of HTTP check must start with '/'", path)
		}
	case mesos.CheckInfo_TCP:
		if info.Tcp == nil {
			return invalid("Expecting 'tcp' to be set for TCP check")
		}
	default:
		return invalidf("'%s' is not a valid check type", info.GetType())
	}
	return notNegative([]timing{
		{"delay_seconds", info.GetDelaySeconds()},
		{"interval_seconds", info.GetIntervalSeconds()},
		{"timeout_seconds", info.GetTimeoutSeconds()},
	})
}

// healthCheck checks a HealthCheck.
func healthCheck(info *mesos.HealthCheck) error {
	if info.Type == nil {
		return invalid("HealthCheck must specify 'type'")
	}
	switch info.GetType() {
	case mesos.HealthCheck_COMMAND:
		if info.Command == nil {
			return invalid("Expecting 'command' to be set for COMMAND health check")
		}
		if err := checkCommand(info.GetCommand(), "health check"); err != nil {
			return err
		}
	case mesos.HealthCheck_HTTP:
		if info.Http == nil {
			return invalid("Expecting 'http' to be set for HTTP health check")
		}
		if err := healthHTTP(info.GetHttp()); err != nil {
			return err
		}
	case mesos.HealthCheck_TCP:
		if info.Tcp == nil {
			return invalid("Expecting 'tcp' to be set for TCP health check")
		}
	default:
		return invalidf("'%s' is not a valid health check type", info.GetType())
	}
	return notNegative([]timing{
		{"delay_seconds", info.GetDelaySeconds()},
		{"grace_period_seconds", info.GetGracePeriodSeconds()},
		{"interval_seconds", info.GetIntervalSeconds()},
		{"timeout_seconds", info.GetTimeoutSeconds()},
	})
}

func healthHTTP(http *mesos.HealthCheck_HTTPCheckInfo) error {
	if http.Scheme != nil && !slices.Contains([]string{"http", "https"}, http.GetScheme()) {
		return invalidf("Unsupported HTTP health check scheme: '%s'", http.GetScheme())
	}
	if path := http.GetPath(); path != "" && path[0] != '/' {
		return invalidf("The path '%s' of HTTP health check must start with '/'", path)
	}
	return nil
}

func checkCommand(info *mesos.CommandInfo, what string) error {
	if info.Value == nil {
		kind := "Command"
		if info.GetShell() {
			kind = "Shell command"
		}
		return invalidf("%s %s must specify 'value'", strings.TrimSpace(kind), what)
	}
	return prefix("Check's `CommandInfo` is invalid: ", command(info))
}

type timing struct {
	name  string
	value float64
}

func notNegative(timings []timing) error {
	for _, t := range timings {
		if !(t.value >= 0) {
			return invalidf("Expecting '%s' to be non-negative", t.name)
		}
	}
	return nil
}

// command checks the environment of a CommandInfo.
func command(info *mesos.CommandInfo) error {
	return environment(info.GetEnvironment())
}

func environment(env *mesos.Environment) error {
	for _, v := range env.GetVariables() {
		switch v.GetType() {
		case mesos.Environment_Variable_SECRET:
			if v.Secret == nil {
				return invalidf("Environment variable '%s' of type 'SECRET' must have a secret set", v.GetName())
			}
			if v.Value != nil {
				return invalidf("Environment variable '%s' of type 'SECRET' must not have a value set", v.GetName())
			}
		case mesos.Environment_Variable_VALUE:
			if v.Value == nil {
				return invalidf("Environment variable '%s' of type 'VALUE' must have a value set", v.GetName())
			}
			if v.Secret != nil {
				return invalidf("Environment variable '%s' of type 'VALUE' must not have a secret set", v.GetName())
			}
		default:
			return invalid("Environment variable of type 'UNKNOWN' is not allowed")
		}
	}
	return nil
}

// container checks the volumes of a ContainerInfo, and that its kind and its details agree.
func container(info *mesos.ContainerInfo) error {
	for _, v := range info.GetVolumes() {
		if err := volume(v); err != nil {
			return err
		}
	}
	if info.GetType() == mesos.ContainerInfo_DOCKER && info.Docker == nil {
		return invalid("DockerInfo 'docker' is not set for DOCKER typed ContainerInfo")
	}
	linux := info.GetLinuxInfo()
	if linux.GetIpcMode() != mesos.LinuxInfo_PRIVATE && linux != nil && linux.ShmSize != nil {
		return invalid("Only set 'shm_size' when the 'ipc_mode' is 'PRIVATE'")
	}
	return nil
}

func volume(v *mesos.Volume) error {
	if v.GetContainerPath() == "" {
		return invalid("Volume specified with an empty 'container_path'")
	}
	sources := 0
	for _, set := range []bool{v.HostPath != nil, v.Image != nil, v.Source != nil} {
		if set {
			sources++
		}
	}
	if sources != 1 {
		return invalid("Only one of them should be set: 'host_path', 'image' and 'source'")
	}
	if v.Source == nil {
		return nil
	}
	return volumeSource(v.GetSource())
}

func volumeSource(source *mesos.Volume_Source) error {
	missing := ""
	switch source.GetType() {
	case mesos.Volume_Source_DOCKER_VOLUME:
		if source.DockerVolume == nil {
			missing = "docker_volume"
		}
	case mesos.Volume_Source_HOST_PATH:
		if source.HostPath == nil {
			missing = "host_path"
		}
	case mesos.Volume_Source_SANDBOX_PATH:
		if source.SandboxPath == nil {
			missing = "sandbox_path"
		}
	case mesos.Volume_Source_SECRET:
		if source.Secret == nil {
			missing = "secret"
		}
	case mesos.Volume_Source_CSI_VOLUME:
		if source.CsiVolume == nil {
			missing = "csi_volume"
		}
	default:
		return invalid("'source.type' is unknown")
	}
	if missing != "" {
		return invalidf("'source.%s' is not set for %s volume", missing, source.GetType())
	}
	return nil
}
