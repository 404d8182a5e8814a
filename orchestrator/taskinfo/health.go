package taskinfo

import (
	"math"
	"strings"

	marathon "agora.dev/agora/api/marathon/v2"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/orchestrator/instance"
	"google.golang.org/protobuf/proto"
)

// healthCheck is the app's, made by the agent. A limit of 0 means never, as it does for the
// checks that Marathon makes itself; Mesos would kill at the first failure.
func healthCheck(app *marathon.App, i *instance.Instance) *mesos.HealthCheck {
	if len(app.HealthChecks) == 0 {
		return nil
	}
	h := &app.HealthChecks[0]
	out := &mesos.HealthCheck{
		GracePeriodSeconds: &h.GracePeriodSeconds, IntervalSeconds: &h.IntervalSeconds, TimeoutSeconds: &h.TimeoutSeconds,
		DelaySeconds: &h.DelaySeconds, ConsecutiveFailures: proto.Uint32(uint32(min(h.MaxConsecutiveFailures, math.MaxInt32))),
	}
	if h.MaxConsecutiveFailures == 0 {
		out.ConsecutiveFailures = proto.Uint32(math.MaxUint32)
	}
	own := strings.HasPrefix(h.Protocol, "MESOS_") || h.Protocol == "COMMAND"
	if !own {
		out.DelaySeconds = proto.Float64(0) // what Marathon checks itself has no delay
	}
	protocol := mesos.NetworkInfo_IPv4
	if h.IPProtocol == "IPv6" {
		protocol = mesos.NetworkInfo_IPv6
	}
	switch kind := strings.TrimPrefix(h.Protocol, "MESOS_"); kind {
	case "COMMAND":
		out.Type, out.Command = mesos.HealthCheck_COMMAND.Enum(), &mesos.CommandInfo{Value: &h.Command.Value}
	case "TCP":
		out.Type = mesos.HealthCheck_TCP.Enum()
		out.Tcp = &mesos.HealthCheck_TCPCheckInfo{Port: checkPort(app, i, h.Port, h.PortIndex), Protocol: &protocol}
	default:
		out.Type = mesos.HealthCheck_HTTP.Enum()
		out.Http = &mesos.HealthCheck_HTTPCheckInfo{Port: checkPort(app, i, h.Port, h.PortIndex), Protocol: &protocol,
			Scheme: proto.String(strings.ToLower(kind)), Path: proto.String(checkPath(h.Path))}
	}
	return out
}

func check(app *marathon.App, i *instance.Instance) *mesos.CheckInfo {
	c := app.Check
	if c == nil {
		return nil
	}
	out := &mesos.CheckInfo{IntervalSeconds: &c.IntervalSeconds, TimeoutSeconds: &c.TimeoutSeconds, DelaySeconds: &c.DelaySeconds}
	switch {
	case c.Exec != nil:
		command := &mesos.CommandInfo{Value: &c.Exec.Command.Shell}
		if argv := c.Exec.Command.Argv; len(argv) > 0 {
			command = &mesos.CommandInfo{Shell: proto.Bool(false), Value: &argv[0], Arguments: argv}
		}
		out.Type, out.Command = mesos.CheckInfo_COMMAND.Enum(), &mesos.CheckInfo_Command{Command: command}
	case c.HTTP != nil:
		out.Type = mesos.CheckInfo_HTTP.Enum()
		out.Http = &mesos.CheckInfo_Http{Port: checkPort(app, i, c.HTTP.Port, c.HTTP.PortIndex), Path: proto.String(checkPath(c.HTTP.Path))}
	case c.TCP != nil:
		out.Type, out.Tcp = mesos.CheckInfo_TCP.Enum(), &mesos.CheckInfo_Tcp{Port: checkPort(app, i, c.TCP.Port, c.TCP.PortIndex)}
	}
	return out
}

// checkPort is the port as the task has it: of the host, or of its container's own network.
func checkPort(app *marathon.App, i *instance.Instance, port, index *int) *uint32 {
	if port != nil {
		return proto.Uint32(uint32(*port))
	}
	n := 0
	if index != nil {
		n = *index
	}
	all := endpoints(app, i)
	if n >= len(all) {
		return proto.Uint32(0) // validation refuses an index without a port
	}
	if all[n].container != 0 {
		return proto.Uint32(uint32(all[n].container))
	}
	return proto.Uint32(uint32(all[n].host))
}

func checkPath(given string) string {
	if given == "" {
		return "/"
	}
	return given
}
