package core_test

import (
	"fmt"
	"strconv"
	"strings"

	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/executor/checks"
)

// addChecks gives a task whose name begins with "checked" an HTTP health check and a
// COMMAND check, each every 10 s without a delay.
func addChecks(info *mesos.TaskInfo) {
	info.Command.Environment = &mesos.Environment{Variables: []*mesos.Environment_Variable{{Name: str("OF_TASK"), Value: str("1")}}}
	info.HealthCheck = &mesos.HealthCheck{
		Type: mesos.HealthCheck_HTTP.Enum(), Http: &mesos.HealthCheck_HTTPCheckInfo{Port: proto.Uint32(80)},
		DelaySeconds: proto.Float64(0), GracePeriodSeconds: proto.Float64(0), ConsecutiveFailures: proto.Uint32(2),
	}
	info.Check = &mesos.CheckInfo{
		Type: mesos.CheckInfo_COMMAND.Enum(), DelaySeconds: proto.Float64(0),
		Command: &mesos.CheckInfo_Command{Command: &mesos.CommandInfo{Value: str("look"), User: str("root")}},
	}
}

func probeKind(health bool) string {
	if health {
		return "health"
	}
	return "check"
}

func (w *world) describeProbe(s core.ProbeContainer) string {
	kind := probeKind(s.Probe.Health)
	w.probes[w.name(s.ID)+" "+kind] = s.Probe.Number
	text := fmt.Sprintf("%s %s", w.name(s.ID), kind)
	if s.Exec == nil {
		return text + fmt.Sprintf(" by the network of process %d", s.PID)
	}
	parent, _ := s.Exec.ID.Parent()
	_, nested, _ := strings.Cut(string(s.Exec.ID), string(parent)+".check-")
	return text + fmt.Sprintf(" %q in %s as %s, OF_TASK=%s, own container %v",
		s.Exec.Command.GetValue(), w.name(parent), s.Exec.User, s.Exec.Env["OF_TASK"], nested != "")
}

// probed answers the last probe: "probed t1 health 503", "probed t1 check 1".
func (w *world) probed(task, kind, result string) {
	n, _ := strconv.Atoi(result)
	report := checks.Report{Health: kind == "health", Number: w.probes[task+" "+kind]}
	if report.Health {
		report.Result.StatusCode = proto.Uint32(uint32(n))
	} else {
		report.Result.ExitCode = proto.Int32(int32(n))
	}
	w.step(core.ContainerProbed{ID: w.ids[task], Report: report})
}
