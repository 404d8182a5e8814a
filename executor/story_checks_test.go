package executor_test

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor"
	"agora.dev/agora/executor/checks"
)

// Words of the stories about checks: a task "t1,health=http/delay:5/failures:2,check=command",
// and the answer to its last probe "> probe t1 health 200", "> probe t1 check exit:1",
// "> probe t1 health refused", "> probe t1 health timeout".

// settings reads "kind/name:value/…".
func settings(text string) (kind string, values map[string]float64) {
	parts := strings.Split(text, "/")
	values = map[string]float64{}
	for _, part := range parts[1:] {
		name, number, _ := strings.Cut(part, ":")
		values[name], _ = strconv.ParseFloat(number, 64)
	}
	return parts[0], values
}

func set(values map[string]float64, name string, otherwise float64) *float64 {
	if v, ok := values[name]; ok {
		return &v
	}
	return &otherwise
}

func health(text string) *mesos.HealthCheck {
	kind, values := settings(text)
	failures := uint32(*set(values, "failures", 3))
	info := &mesos.HealthCheck{
		DelaySeconds: set(values, "delay", 0), IntervalSeconds: set(values, "interval", 10),
		TimeoutSeconds: set(values, "timeout", 20), GracePeriodSeconds: set(values, "grace", 10),
		ConsecutiveFailures: &failures,
	}
	switch kind {
	case "http":
		info.Type = mesos.HealthCheck_HTTP.Enum()
		info.Http = &mesos.HealthCheck_HTTPCheckInfo{Port: proto.Uint32(8080), Path: proto.String("/health")}
		if status, ok := values["status"]; ok {
			info.Http.Statuses = []uint32{uint32(status)}
		}
	case "tcp":
		info.Type = mesos.HealthCheck_TCP.Enum()
		info.Tcp = &mesos.HealthCheck_TCPCheckInfo{Port: proto.Uint32(8080)}
	case "command":
		info.Type = mesos.HealthCheck_COMMAND.Enum()
		info.Command = &mesos.CommandInfo{Value: proto.String("true")}
	}
	return info
}

func check(text string) *mesos.CheckInfo {
	kind, values := settings(text)
	info := &mesos.CheckInfo{
		DelaySeconds: set(values, "delay", 0), IntervalSeconds: set(values, "interval", 10), TimeoutSeconds: set(values, "timeout", 20),
	}
	switch kind {
	case "http":
		info.Type = mesos.CheckInfo_HTTP.Enum()
		info.Http = &mesos.CheckInfo_Http{Port: proto.Uint32(8080)}
	case "tcp":
		info.Type = mesos.CheckInfo_TCP.Enum()
		info.Tcp = &mesos.CheckInfo_Tcp{Port: proto.Uint32(8080)}
	case "command":
		info.Type = mesos.CheckInfo_COMMAND.Enum()
		info.Command = &mesos.CheckInfo_Command{Command: &mesos.CommandInfo{Value: proto.String("true")}}
	}
	return info
}

func kindOf(health bool) string {
	if health {
		return "health"
	}
	return "check"
}

func (s *stage) noteProbe(c executor.Probe) string {
	kind := kindOf(c.Probe.Health)
	s.probes[c.Task.GetTaskId().GetValue()+" "+kind] = c.Probe.Number
	switch {
	case c.Probe.HTTP != nil:
		return fmt.Sprintf(" %s %s://:%d%s", kind, c.Probe.HTTP.Scheme, c.Probe.HTTP.Port, c.Probe.HTTP.Path)
	case c.Probe.TCP != nil:
		return fmt.Sprintf(" %s tcp:%d", kind, c.Probe.TCP.Port)
	}
	return fmt.Sprintf(" %s %q", kind, c.Probe.Command.GetValue())
}

// probe answers the last probe of a task.
func (s *stage) probe(task, kind, result string) {
	report := checks.Report{Health: kind == "health", Number: s.probes[task+" "+kind]}
	code, isExit := strings.CutPrefix(result, "exit:")
	n, _ := strconv.Atoi(code)
	switch {
	case isExit:
		report.Result.ExitCode = proto.Int32(int32(n))
	case result == "connected" || result == "refused":
		report.Result.Connected = proto.Bool(result == "connected")
	case n > 0:
		report.Result.StatusCode = proto.Uint32(uint32(n))
	}
	s.input(executor.Probed{Container: s.live[task], Report: report})
}

func checkStatus(info *mesos.CheckStatusInfo) string {
	switch {
	case info.GetCommand() != nil && info.GetCommand().ExitCode != nil:
		return fmt.Sprintf("exit:%d", info.GetCommand().GetExitCode())
	case info.GetHttp() != nil && info.GetHttp().StatusCode != nil:
		return fmt.Sprint(info.GetHttp().GetStatusCode())
	case info.GetTcp() != nil && info.GetTcp().Succeeded != nil:
		return map[bool]string{true: "connected", false: "refused"}[info.GetTcp().GetSucceeded()]
	}
	return "none"
}
