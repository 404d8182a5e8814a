package checks

import (
	"slices"
	"time"

	"google.golang.org/protobuf/proto"

	mesos "agora.dev/agora/api/mesos/v1"
)

// good says whether a result means health. Unlike Mesos we honour the statuses that a
// health check lists.
func (c *checker) good(r Result) bool {
	switch {
	case r.ExitCode != nil:
		return *r.ExitCode == 0
	case r.StatusCode != nil && len(c.statuses) > 0:
		return slices.Contains(c.statuses, *r.StatusCode)
	case r.StatusCode != nil:
		return *r.StatusCode >= 200 && *r.StatusCode < 400
	}
	return r.Connected != nil && *r.Connected
}

// judge counts: the first success, the first after a failure and every failure make an
// update. Failures in the grace period do not count, unless a success came before.
func (c *checker) judge(now time.Time, good bool) Verdict {
	updated := mesos.TaskStatus_REASON_TASK_HEALTH_CHECK_STATUS_UPDATED
	if good {
		first := !c.settled || c.failures > 0
		c.settled, c.failures = true, 0
		if !first {
			return Verdict{}
		}
		c.healthy = &good
		return Verdict{Reason: updated}
	}
	if !c.settled && c.grace > 0 && now.Sub(c.since) <= c.grace {
		return Verdict{}
	}
	c.failures++
	c.healthy = &good
	return Verdict{Reason: updated, Kill: c.failures >= c.limit}
}

// observe notes the result of a check; what is the same as before makes no update.
func (c *checker) observe(r Result) Verdict {
	status := empty(c.kind)
	switch {
	case r.ExitCode != nil && status.Command != nil:
		status.Command.ExitCode = r.ExitCode
	case r.StatusCode != nil && status.Http != nil:
		status.Http.StatusCode = r.StatusCode
	case r.Connected != nil && status.Tcp != nil:
		status.Tcp.Succeeded = r.Connected
	}
	if proto.Equal(status, c.status) {
		return Verdict{}
	}
	c.status = status
	return Verdict{Reason: mesos.TaskStatus_REASON_TASK_CHECK_STATUS_UPDATED}
}

// empty is the status of a check without a result.
func empty(kind mesos.CheckInfo_Type) *mesos.CheckStatusInfo {
	out := &mesos.CheckStatusInfo{Type: &kind}
	switch kind {
	case mesos.CheckInfo_COMMAND:
		out.Command = &mesos.CheckStatusInfo_Command{}
	case mesos.CheckInfo_HTTP:
		out.Http = &mesos.CheckStatusInfo_Http{}
	case mesos.CheckInfo_TCP:
		out.Tcp = &mesos.CheckStatusInfo_Tcp{}
	}
	return out
}
