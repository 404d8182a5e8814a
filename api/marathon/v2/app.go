// Package marathon holds the JSON documents of Marathon's v2 API, and the pure functions
// that make a document whole (defaults, old spellings) and that find what is wrong with it.
//
// It owns the names, defaults and texts of that API. It promises that a document read, made
// whole and written reads back the same. It refuses behaviour: what an app does is the
// orchestrator's.
package marathon

import (
	"encoding/json"
	"fmt"
)

// App is an app definition, and with its Info what /v2/apps answers.
type App struct {
	ID   string   `json:"id"`
	Cmd  string   `json:"cmd,omitempty"`
	Args []string `json:"args,omitempty"`
	User string   `json:"user,omitempty"`

	Env    map[string]EnvValue `json:"env"`
	Labels map[string]string   `json:"labels"`

	Instances int     `json:"instances"`
	CPUs      float64 `json:"cpus"`
	Mem       float64 `json:"mem"`
	Disk      float64 `json:"disk"`
	GPUs      int     `json:"gpus"`

	Executor              string     `json:"executor"`
	Constraints           [][]string `json:"constraints"`
	AcceptedResourceRoles []string   `json:"acceptedResourceRoles,omitempty"`
	Role                  string     `json:"role,omitempty"`

	Fetch        []Artifact `json:"fetch"`
	URIs         []string   `json:"uris,omitempty"`
	Dependencies []string   `json:"dependencies"`

	Networks        []Network        `json:"networks"`
	Ports           []int            `json:"ports,omitempty"`
	PortDefinitions []PortDefinition `json:"portDefinitions"`
	RequirePorts    bool             `json:"requirePorts"`
	Container       *Container       `json:"container,omitempty"`
	IPAddress       json.RawMessage  `json:"ipAddress,omitempty"`

	HealthChecks    []HealthCheck     `json:"healthChecks"`
	ReadinessChecks []json.RawMessage `json:"readinessChecks"`
	Check           *Check            `json:"check,omitempty"`

	UpgradeStrategy            UpgradeStrategy     `json:"upgradeStrategy"`
	BackoffSeconds             float64             `json:"backoffSeconds"`
	BackoffFactor              float64             `json:"backoffFactor"`
	MaxLaunchDelaySeconds      float64             `json:"maxLaunchDelaySeconds"`
	TaskKillGracePeriodSeconds *float64            `json:"taskKillGracePeriodSeconds,omitempty"`
	UnreachableStrategy        UnreachableStrategy `json:"unreachableStrategy"`
	KillSelection              string              `json:"killSelection"`
	TTY                        bool                `json:"tty,omitempty"`

	Residency      json.RawMessage            `json:"residency,omitempty"`
	Secrets        map[string]Secret          `json:"secrets,omitempty"`
	ResourceLimits map[string]json.RawMessage `json:"resourceLimits,omitempty"`

	Version     string       `json:"version,omitempty"`
	VersionInfo *VersionInfo `json:"versionInfo,omitempty"`
}

// VersionInfo says when the app was last changed, and how.
type VersionInfo struct {
	LastScalingAt      string `json:"lastScalingAt"`
	LastConfigChangeAt string `json:"lastConfigChangeAt"`
}

// Artifact is a URI to fetch into the sandbox.
type Artifact struct {
	URI        string `json:"uri"`
	Extract    bool   `json:"extract"`
	Executable bool   `json:"executable"`
	Cache      bool   `json:"cache"`
	DestPath   string `json:"destPath,omitempty"`
}

// UnmarshalJSON extracts unless told otherwise.
func (a *Artifact) UnmarshalJSON(data []byte) error {
	type plain Artifact
	value := plain{Extract: true}
	err := json.Unmarshal(data, &value)
	*a = Artifact(value)
	return err
}

// Network is what the app is attached to.
type Network struct {
	Mode   string            `json:"mode"`
	Name   string            `json:"name,omitempty"`
	Labels map[string]string `json:"labels,omitempty"`
}

// PortDefinition is a port of the host.
type PortDefinition struct {
	Port     int               `json:"port"`
	Protocol string            `json:"protocol,omitempty"`
	Name     string            `json:"name,omitempty"`
	Labels   map[string]string `json:"labels,omitempty"`
}

// Container describes image and volumes.
type Container struct {
	Type    string   `json:"type"`
	Docker  *Docker  `json:"docker,omitempty"`
	Volumes []Volume `json:"volumes"`
	// PortMappings that are absent get a default; an empty list means none.
	PortMappings []PortMapping   `json:"portMappings,omitzero"`
	LinuxInfo    json.RawMessage `json:"linuxInfo,omitempty"`
}

// Docker names an image.
type Docker struct {
	Image          string          `json:"image"`
	ForcePullImage bool            `json:"forcePullImage"`
	Privileged     bool            `json:"privileged"`
	Network        string          `json:"network,omitempty"`
	Parameters     []Parameter     `json:"parameters"`
	PortMappings   []PortMapping   `json:"portMappings,omitempty"`
	PullConfig     json.RawMessage `json:"pullConfig,omitempty"`
}

// Parameter is an argument of the Docker Engine.
type Parameter struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// PortMapping maps a port of a container to one of the host.
type PortMapping struct {
	ContainerPort int               `json:"containerPort"`
	HostPort      *int              `json:"hostPort,omitempty"`
	ServicePort   int               `json:"servicePort"`
	Protocol      string            `json:"protocol,omitempty"`
	Name          string            `json:"name,omitempty"`
	Labels        map[string]string `json:"labels,omitempty"`
	NetworkNames  []string          `json:"networkNames,omitempty"`
}

// Volume is mounted into the container.
type Volume struct {
	ContainerPath string          `json:"containerPath"`
	HostPath      string          `json:"hostPath,omitempty"`
	Mode          string          `json:"mode,omitempty"`
	Persistent    json.RawMessage `json:"persistent,omitempty"`
	External      json.RawMessage `json:"external,omitempty"`
	Secret        string          `json:"secret,omitempty"`
}

// UpgradeStrategy bounds how many instances a deployment stops and adds.
type UpgradeStrategy struct {
	MinimumHealthCapacity float64 `json:"minimumHealthCapacity"`
	MaximumOverCapacity   float64 `json:"maximumOverCapacity"`
}

// UnreachableStrategy says when an unreachable instance is replaced and when forgotten.
type UnreachableStrategy struct {
	Disabled             bool    `json:"-"`
	InactiveAfterSeconds float64 `json:"inactiveAfterSeconds"`
	ExpungeAfterSeconds  float64 `json:"expungeAfterSeconds"`
}

// MarshalJSON writes "disabled" or the times.
func (u UnreachableStrategy) MarshalJSON() ([]byte, error) {
	if u.Disabled {
		return []byte(`"disabled"`), nil
	}
	type plain UnreachableStrategy
	return json.Marshal(plain(u))
}

// UnmarshalJSON reads either form.
func (u *UnreachableStrategy) UnmarshalJSON(data []byte) error {
	if string(data) == `"disabled"` {
		*u = UnreachableStrategy{Disabled: true}
		return nil
	}
	type plain UnreachableStrategy
	var value plain
	err := json.Unmarshal(data, &value)
	*u = UnreachableStrategy(value)
	return err
}

// Secret names what an agent's resolver of secrets knows.
type Secret struct {
	Source string `json:"source"`
}

// EnvValue is a string, or the name of a secret.
type EnvValue struct {
	Value  string
	Secret string
}

// MarshalJSON writes a string or {"secret":name}.
func (e EnvValue) MarshalJSON() ([]byte, error) {
	if e.Secret != "" {
		return json.Marshal(map[string]string{"secret": e.Secret})
	}
	return json.Marshal(e.Value)
}

// UnmarshalJSON reads either form.
func (e *EnvValue) UnmarshalJSON(data []byte) error {
	*e = EnvValue{}
	if len(data) > 0 && data[0] == '{' {
		var secret struct {
			Secret string `json:"secret"`
		}
		err := json.Unmarshal(data, &secret)
		e.Secret = secret.Secret
		return err
	}
	if err := json.Unmarshal(data, &e.Value); err != nil {
		return fmt.Errorf("an environment value is a string or {\"secret\": name}: %w", err)
	}
	return nil
}

// Image is the image of the app, or "".
func (a *App) Image() string {
	if a.Container == nil || a.Container.Docker == nil {
		return ""
	}
	return a.Container.Docker.Image
}
