package marathon

import (
	"bytes"
	"encoding/json"
	"path"
	"strings"
)

// Defaults is an app with every field that has a default.
func Defaults() App {
	return App{Instances: 1, CPUs: 1, Mem: 128, UpgradeStrategy: UpgradeStrategy{1, 1},
		BackoffSeconds: 1, BackoffFactor: 1.15, MaxLaunchDelaySeconds: 300, KillSelection: "YOUNGEST_FIRST"}
}

// ParseApp reads an app, fills the defaults and translates old spellings. It does not validate.
func ParseApp(data []byte) (*App, *Error) {
	app := Defaults()
	if err := json.Unmarshal(data, &app); err != nil {
		return nil, Malformed(err)
	}
	app.Normalize()
	return &app, nil
}

// ParsePatch lays the fields of a patch over an app, each field as a whole, as PATCH does
// and PUT by default.
func ParsePatch(base *App, patch []byte) (*App, *Error) {
	fields := map[string]json.RawMessage{}
	if err := json.Unmarshal(patch, &fields); err != nil {
		return nil, Malformed(err)
	}
	merged := map[string]json.RawMessage{}
	whole, err := json.Marshal(base)
	if err == nil {
		err = json.Unmarshal(whole, &merged)
	}
	if err != nil {
		return nil, Malformed(err)
	}
	// Of each pair, the new one displaces the old.
	for _, pair := range [][2]string{{"cmd", "args"}, {"args", "cmd"}, {"uris", "fetch"}, {"ports", "portDefinitions"}} {
		if present(fields[pair[0]]) && !present(fields[pair[1]]) {
			delete(merged, pair[1])
		}
	}
	for name, value := range fields {
		if present(value) {
			merged[name] = value
		}
	}
	for _, name := range []string{"version", "versionInfo"} {
		delete(merged, name)
	}
	if whole, err = json.Marshal(merged); err != nil {
		return nil, Malformed(err)
	}
	return ParseApp(whole)
}

func present(value json.RawMessage) bool {
	return len(value) > 0 && !bytes.Equal(value, []byte("null"))
}

// AbsoluteID makes an id absolute and cleans it: "a//b/" becomes "/a/b".
func AbsoluteID(id string) string {
	if id == "" {
		return ""
	}
	return path.Clean("/" + id)
}

// Normalize fills what depends on other fields and translates old spellings.
func (a *App) Normalize() {
	a.ID = AbsoluteID(a.ID)
	for i, id := range a.Dependencies {
		if !strings.HasPrefix(id, "/") {
			id = path.Join(path.Dir(a.ID), id)
		}
		a.Dependencies[i] = AbsoluteID(id)
	}
	if len(a.Fetch) == 0 {
		for _, uri := range a.URIs {
			a.Fetch = append(a.Fetch, Artifact{URI: uri, Extract: true})
		}
		a.URIs = nil
	}
	a.normalizeContainer()
	a.normalizePorts()
	a.fillEmpty()
}

func (a *App) normalizeContainer() {
	if a.Container == nil {
		return
	}
	c := a.Container
	if c.Type == "" {
		c.Type = "DOCKER"
	}
	if c.Volumes == nil {
		c.Volumes = []Volume{}
	}
	if c.Docker == nil {
		return
	}
	if c.Docker.Parameters == nil {
		c.Docker.Parameters = []Parameter{}
	}
	if len(c.PortMappings) == 0 {
		c.PortMappings, c.Docker.PortMappings = c.Docker.PortMappings, nil
	}
	switch c.Docker.Network {
	case "HOST":
		a.Networks = []Network{{Mode: HostNetwork}}
	case "BRIDGE":
		a.Networks = []Network{{Mode: BridgeNetwork}}
	case "USER":
		a.Networks = []Network{{Mode: ContainerNetwork, Name: a.legacyNetwork()}}
		a.IPAddress = nil
	}
	c.Docker.Network = ""
}

// legacyNetwork is the name in an ipAddress that says nothing else.
func (a *App) legacyNetwork() string {
	var old struct{ NetworkName string }
	decoder := json.NewDecoder(bytes.NewReader(a.IPAddress))
	decoder.DisallowUnknownFields()
	if !present(a.IPAddress) || decoder.Decode(&old) != nil {
		return ""
	}
	return old.NetworkName
}

func (a *App) normalizePorts() {
	if name := a.legacyNetwork(); len(a.Networks) == 0 && name != "" {
		a.Networks, a.IPAddress = []Network{{Mode: ContainerNetwork, Name: name}}, nil
	}
	if len(a.Networks) == 0 {
		a.Networks = []Network{{Mode: HostNetwork}}
	}
	if !a.OnHost() {
		a.normalizeMappings()
		return
	}
	if a.PortDefinitions == nil {
		for _, port := range a.Ports {
			a.PortDefinitions = append(a.PortDefinitions, PortDefinition{Port: port})
		}
		if a.Ports == nil {
			a.PortDefinitions = []PortDefinition{{Name: "default"}}
		}
	}
	a.Ports = nil
	for i := range a.PortDefinitions {
		if a.PortDefinitions[i].Protocol == "" {
			a.PortDefinitions[i].Protocol = "tcp"
		}
	}
}

func (a *App) fillEmpty() {
	if a.Env == nil {
		a.Env = map[string]EnvValue{}
	}
	if a.Labels == nil {
		a.Labels = map[string]string{}
	}
	if a.Constraints == nil {
		a.Constraints = [][]string{}
	}
	if a.Fetch == nil {
		a.Fetch = []Artifact{}
	}
	if a.Dependencies == nil {
		a.Dependencies = []string{}
	}
	if a.HealthChecks == nil {
		a.HealthChecks = []HealthCheck{}
	}
	if a.ReadinessChecks == nil {
		a.ReadinessChecks = []json.RawMessage{}
	}
}
