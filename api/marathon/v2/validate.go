package marathon

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"
)

var (
	segment   = regexp.MustCompile(`^(([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])\.)*([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])$`)
	scalarish = regexp.MustCompile(`^[a-zA-Z0-9_/.-]*$`)
)

const (
	textID       = "must fully match regular expression '^(([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])\\.)*([a-z0-9]|[a-z0-9][a-z0-9-]*[a-z0-9])|(\\.|\\.\\.)$'"
	textCommand  = "AppDefinition must either contain one of 'cmd' or 'args', and/or a 'container'."
	textNegative = "got %v, expected 0.0 or more"
)

// Validate finds everything that is wrong with a normalised app, what this version cannot do
// included; nil when nothing is.
func (a *App) Validate() *Error {
	d := details{}
	a.validateID(d)
	a.validateNumbers(d)
	a.validateCommand(d)
	a.validateNetworks(d)
	for i, c := range a.Constraints {
		if text := constraintError(c); text != "" {
			d.add(fmt.Sprintf("/constraints(%d)", i), "%s", text)
		}
	}
	a.validateContainer(d)
	a.validateSecrets(d)
	a.validateHealth(d)
	a.refuseUnsupported(d)
	return d.err()
}

func (a *App) validateID(d details) {
	if a.ID == "" || a.ID == "/" {
		d.add("/id", "Path must be absolute and not the root")
		return
	}
	for _, part := range strings.Split(a.ID[1:], "/") {
		if !segment.MatchString(part) {
			d.add("/id", "%s", textID)
			return
		}
	}
	// The task id, which is the path and 53 characters more, is at most 255 long.
	if len(a.ID) > 200 {
		d.add("/id", "is longer than 200 characters")
	}
}

func (a *App) validateNumbers(d details) {
	atLeast := func(path string, value, least float64) {
		if !(value >= least) || math.IsInf(value, 0) {
			d.add(path, "error.min: got %v, expected %v or more", value, least)
		}
	}
	atLeast("/cpus", a.CPUs, 0.001)
	for path, value := range map[string]float64{"/mem": a.Mem, "/disk": a.Disk, "/backoffSeconds": a.BackoffSeconds,
		"/maxLaunchDelaySeconds": a.MaxLaunchDelaySeconds, "/instances": float64(a.Instances), "/gpus": float64(a.GPUs)} {
		if !(value >= 0) || value > 1<<50 {
			d.add(path, textNegative, value)
		}
	}
	atLeast("/backoffFactor", a.BackoffFactor, 1)
	if a.TaskKillGracePeriodSeconds != nil {
		atLeast("/taskKillGracePeriodSeconds", *a.TaskKillGracePeriodSeconds, 0)
	}
	for path, value := range map[string]float64{"minimumHealthCapacity": a.UpgradeStrategy.MinimumHealthCapacity,
		"maximumOverCapacity": a.UpgradeStrategy.MaximumOverCapacity} {
		switch {
		case value > 1:
			d.add("/upgradeStrategy/"+path, "is greater than 1")
		case !(value >= 0):
			d.add("/upgradeStrategy/"+path, "is less than 0")
		}
	}
	if u := a.UnreachableStrategy; !u.Disabled {
		atLeast("/unreachableStrategy/inactiveAfterSeconds", u.InactiveAfterSeconds, 0)
		atLeast("/unreachableStrategy/expungeAfterSeconds", u.ExpungeAfterSeconds, u.InactiveAfterSeconds)
	}
	if a.Instances > 1 && a.Labels["MARATHON_SINGLE_INSTANCE_APP"] == "true" {
		d.add("/instances", "Single instance app may only have one instance")
	}
	if a.KillSelection != "YOUNGEST_FIRST" && a.KillSelection != "OLDEST_FIRST" {
		d.add("/killSelection", "error.unknown.enum.literal: got %q, expected YOUNGEST_FIRST or OLDEST_FIRST", a.KillSelection)
	}
}

func (a *App) validateCommand(d details) {
	hasContainer := a.Container != nil && (a.Image() != "" || a.Container.Type == "MESOS")
	if a.Cmd != "" && len(a.Args) > 0 || a.Cmd == "" && len(a.Args) == 0 && !hasContainer {
		d.add("/", textCommand)
	}
	if len(a.Fetch) > 0 && len(a.URIs) > 0 {
		d.add("/", "may not contain both `fetch` and `uris`")
	}
	for i, artifact := range a.Fetch {
		if artifact.URI == "" || len(artifact.URI) > 1024 {
			d.add(fmt.Sprintf("/fetch(%d)/uri", i), "must have between 1 and 1024 characters")
		}
	}
}

func (a *App) validateDefinitions(d details) {
	names, ports := map[string]bool{}, map[int]bool{}
	for i, p := range a.PortDefinitions {
		path := fmt.Sprintf("/portDefinitions(%d)", i)
		switch {
		case p.Port < 0 || p.Port > 65535:
			d.add(path+"/port", "got %d, expected 0 to 65535", p.Port)
		case p.Port != 0 && ports[p.Port]:
			d.add("/portDefinitions", "Ports must be unique.")
		case p.Name != "" && names[p.Name]:
			d.add("/portDefinitions", "Port names must be unique.")
		}
		if p.Protocol != "tcp" && p.Protocol != "udp" && p.Protocol != "udp,tcp" {
			d.add(path+"/protocol", "error.unknown.enum.literal: got %q, expected tcp, udp or udp,tcp", p.Protocol)
		}
		names[p.Name], ports[p.Port] = true, true
	}
}

func (a *App) validateContainer(d details) {
	c := a.Container
	if c == nil {
		return
	}
	if c.Type != "DOCKER" && c.Type != "MESOS" {
		d.add("/container/type", "error.unknown.enum.literal: got %q, expected MESOS or DOCKER", c.Type)
	}
	if c.Docker == nil && c.Type == "DOCKER" || c.Docker != nil && c.Docker.Image == "" {
		d.add("/container/docker/image", "must not be empty")
	}
	for i, v := range c.Volumes {
		path := fmt.Sprintf("/container/volumes(%d)", i)
		switch {
		case len(v.Persistent) > 0, len(v.External) > 0:
			d.add(path, "only host and secret volumes are supported by this version")
		case v.ContainerPath == "":
			d.add(path+"/containerPath", "must not be empty")
		case v.Secret != "" && v.HostPath != "":
			d.add(path, "may not contain both 'secret' and 'hostPath'")
		case v.Secret != "":
			a.validateSecret(d, path+"/secret", v.Secret)
		case v.HostPath == "":
			d.add(path+"/hostPath", "must not be empty")
		case v.Mode != "RO" && v.Mode != "RW":
			d.add(path+"/mode", "error.unknown.enum.literal: got %q, expected RO or RW", v.Mode)
		}
	}
}

func (a *App) validateSecrets(d details) {
	for name, secret := range a.Secrets {
		if secret.Source == "" {
			d.add("/secrets("+name+")/source", "must not be empty")
		}
	}
	for name, value := range a.Env {
		if value.Secret != "" {
			a.validateSecret(d, "/env("+name+")", value.Secret)
		}
	}
}

func (a *App) validateSecret(d details, path, name string) {
	if _, declared := a.Secrets[name]; !declared {
		d.add(path, "references a secret that is not declared in /secrets: %q", name)
	}
}

// refuseUnsupported names what Marathon has and this version does not, instead of ignoring it.
func (a *App) refuseUnsupported(d details) {
	refuse := func(given bool, path string) {
		if given {
			d.add(path, "is not supported by this version")
		}
	}
	refuse(present(a.Residency), "/residency")
	refuse(present(a.IPAddress), "/ipAddress")
	refuse(len(a.ResourceLimits) > 0, "/resourceLimits")
	refuse(a.TTY, "/tty")
	refuse(a.Executor != "" && a.Executor != "//cmd", "/executor")
	refuse(len(a.Dependencies) > 0, "/dependencies")
	if c := a.Container; c != nil {
		refuse(present(c.LinuxInfo), "/container/linuxInfo")
		if c.Docker != nil {
			refuse(c.Docker.Privileged, "/container/docker/privileged")
			refuse(len(c.Docker.Parameters) > 0, "/container/docker/parameters")
			refuse(present(c.Docker.PullConfig), "/container/docker/pullConfig")
		}
	}
}

func constraintError(c []string) string {
	if len(c) < 2 || len(c) > 3 || c[0] == "" {
		return "Each constraint must have either 2 or 3 fields"
	}
	value, given := "", len(c) == 3
	if given {
		value = c[2]
	}
	switch c[1] {
	case "UNIQUE":
		if given {
			return "Value specified but not used"
		}
	case "CLUSTER":
	case "GROUP_BY", "MAX_PER":
		n, err := strconv.Atoi(value)
		if (given || c[1] == "MAX_PER") && (err != nil || n < 1) {
			return fmt.Sprintf("Value was specified but is not a number: '%s' must be an integer above 0", value)
		}
	case "LIKE", "UNLIKE":
		if !given {
			return "A regular expression value must be provided"
		}
		if _, err := regexp.Compile(value); err != nil {
			return fmt.Sprintf("'%s' is not a valid regular expression: %v", value, err)
		}
	case "IS":
		if !given || !scalarish.MatchString(value) {
			return "IS needs a text or scalar value"
		}
	default:
		return fmt.Sprintf("Constraint operator '%s' must be one of the following UNIQUE, CLUSTER, GROUP_BY, LIKE, UNLIKE, MAX_PER or IS", c[1])
	}
	return ""
}
