package marathon

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// HealthCheck is one check of each instance. The agent makes it, whatever the protocol.
type HealthCheck struct {
	Protocol               string         `json:"protocol"`
	Path                   string         `json:"path,omitempty"`
	Port                   *int           `json:"port,omitempty"`
	PortIndex              *int           `json:"portIndex,omitempty"`
	Command                *HealthCommand `json:"command,omitempty"`
	GracePeriodSeconds     float64        `json:"gracePeriodSeconds"`
	IntervalSeconds        float64        `json:"intervalSeconds"`
	TimeoutSeconds         float64        `json:"timeoutSeconds"`
	DelaySeconds           float64        `json:"delaySeconds"`
	MaxConsecutiveFailures int            `json:"maxConsecutiveFailures"`
	IgnoreHTTP1xx          bool           `json:"ignoreHttp1xx,omitempty"`
	IPProtocol             string         `json:"ipProtocol,omitempty"`
}

// HealthCommand is the shell command of a COMMAND health check.
type HealthCommand struct {
	Value string `json:"value"`
}

// UnmarshalJSON fills the defaults.
func (h *HealthCheck) UnmarshalJSON(data []byte) error {
	type plain HealthCheck
	value := plain{Protocol: "HTTP", GracePeriodSeconds: 300, IntervalSeconds: 60, TimeoutSeconds: 20,
		DelaySeconds: 15, MaxConsecutiveFailures: 3}
	err := json.Unmarshal(data, &value)
	*h = HealthCheck(value)
	return err
}

// Check is a check whose result is reported and has no consequence. One of Exec, HTTP and
// TCP is set.
type Check struct {
	Exec            *ExecCheck `json:"exec,omitempty"`
	HTTP            *PortCheck `json:"http,omitempty"`
	TCP             *PortCheck `json:"tcp,omitempty"`
	IntervalSeconds float64    `json:"intervalSeconds"`
	TimeoutSeconds  float64    `json:"timeoutSeconds"`
	DelaySeconds    float64    `json:"delaySeconds"`
}

// ExecCheck runs a command in the container: a shell's, or one with its arguments.
type ExecCheck struct {
	Command struct {
		Shell string   `json:"shell,omitempty"`
		Argv  []string `json:"argv,omitempty"`
	} `json:"command"`
}

// PortCheck looks at a port of the task; Path and Scheme are for HTTP.
type PortCheck struct {
	Port      *int   `json:"port,omitempty"`
	PortIndex *int   `json:"portIndex,omitempty"`
	Path      string `json:"path,omitempty"`
	Scheme    string `json:"scheme,omitempty"`
}

// UnmarshalJSON fills the defaults.
func (c *Check) UnmarshalJSON(data []byte) error {
	type plain Check
	value := plain{IntervalSeconds: 60, TimeoutSeconds: 20, DelaySeconds: 15}
	err := json.Unmarshal(data, &value)
	*c = Check(value)
	return err
}

var healthProtocols = []string{"HTTP", "HTTPS", "TCP", "COMMAND", "MESOS_HTTP", "MESOS_HTTPS", "MESOS_TCP"}

func (a *App) validateHealth(d details) {
	if len(a.HealthChecks) > 1 {
		d.add("/healthChecks", "this version makes one health check for each instance, by its agent")
	}
	for i := range a.HealthChecks {
		a.validateHealthCheck(d, fmt.Sprintf("/healthChecks(%d)", i), &a.HealthChecks[i])
	}
	if a.Check != nil {
		a.validateCheck(d)
	}
	if len(a.ReadinessChecks) > 0 {
		d.add("/readinessChecks", "is not supported by this version")
	}
}

func (a *App) validateHealthCheck(d details, path string, h *HealthCheck) {
	if !slices.Contains(healthProtocols, h.Protocol) {
		d.add(path+"/protocol", "error.unknown.enum.literal: got %q, expected %s", h.Protocol, strings.Join(healthProtocols, ", "))
		return
	}
	if h.IPProtocol != "" && h.IPProtocol != "IPv4" && h.IPProtocol != "IPv6" {
		d.add(path+"/ipProtocol", "error.unknown.enum.literal: got %q, expected IPv4 or IPv6", h.IPProtocol)
	}
	if h.MaxConsecutiveFailures < 0 {
		d.add(path+"/maxConsecutiveFailures", textNegative, h.MaxConsecutiveFailures)
	}
	notNegative(d, path, map[string]float64{"gracePeriodSeconds": h.GracePeriodSeconds, "intervalSeconds": h.IntervalSeconds,
		"timeoutSeconds": h.TimeoutSeconds, "delaySeconds": h.DelaySeconds})
	if h.Protocol == "COMMAND" {
		if h.Command == nil || h.Command.Value == "" {
			d.add(path+"/command", "must not be empty")
		}
		return
	}
	if h.Command != nil {
		d.add(path+"/command", "is for the protocol COMMAND only")
	}
	if h.Path != "" && (h.Path[0] != '/' || strings.HasSuffix(h.Protocol, "TCP")) {
		d.add(path+"/path", "must begin with / and is for HTTP only")
	}
	a.validateCheckPort(d, path, h.Port, h.PortIndex)
}

func (a *App) validateCheck(d details) {
	c, kinds := a.Check, 0
	notNegative(d, "/check", map[string]float64{"intervalSeconds": c.IntervalSeconds, "timeoutSeconds": c.TimeoutSeconds,
		"delaySeconds": c.DelaySeconds})
	if c.Exec != nil {
		kinds++
		if (c.Exec.Command.Shell == "") == (len(c.Exec.Command.Argv) == 0) {
			d.add("/check/exec/command", "must contain one of 'shell' or 'argv'")
		}
	}
	for path, port := range map[string]*PortCheck{"/check/http": c.HTTP, "/check/tcp": c.TCP} {
		if port == nil {
			continue
		}
		kinds++
		a.validateCheckPort(d, path, port.Port, port.PortIndex)
		if port.Path != "" && (port.Path[0] != '/' || port == c.TCP) {
			d.add(path+"/path", "must begin with / and is for HTTP only")
		}
		if port.Scheme != "" && strings.ToLower(port.Scheme) != "http" {
			d.add(path+"/scheme", "got %q, expected HTTP: Mesos has no check by HTTPS", port.Scheme)
		}
	}
	if kinds != 1 {
		d.add("/check", "must contain one of 'exec', 'http' or 'tcp'")
	}
}

func (a *App) validateCheckPort(d details, path string, port, index *int) {
	switch {
	case port != nil && index != nil:
		d.add(path, "may not contain both 'port' and 'portIndex'")
	case port != nil && (*port < 1 || *port > 65535):
		d.add(path+"/port", "got %d, expected 1 to 65535", *port)
	case port == nil:
		n := 0
		if index != nil {
			n = *index
		}
		if n < 0 || n >= a.portCount() {
			d.add(path+"/portIndex", "must address an existing port definition: got %d of %d", n, a.portCount())
		}
	}
}

// portCount is how many ports an index can address.
func (a *App) portCount() int {
	return len(a.ServicePorts())
}

func notNegative(d details, path string, values map[string]float64) {
	for name, value := range values {
		if !(value >= 0) || value > 1<<30 {
			d.add(path+"/"+name, textNegative, value)
		}
	}
}
