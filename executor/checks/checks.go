// Package checks decides when the check and the health check of a task are made and
// what their results mean.
//
// It promises Mesos's semantics (docs/health-checks.md): the delay, the pause between a
// result and the next probe, the grace period that the first success ends, and the kill
// after so many failures in a row. It refuses to make a probe: that is the business of
// the executor's host.
package checks

import (
	"math"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
)

// MinInterval is the shortest time between a result and the next probe. Mesos has none:
// an interval of 0 probes without a pause.
const MinInterval = 100 * time.Millisecond

// Probe is one look at a task. One of Command, HTTP and TCP is set.
type Probe struct {
	// Health tells a health check from a check.
	Health bool
	// Number is given back with the result; a result with an old number is ignored.
	Number  uint64
	Timeout time.Duration // 0: none
	Command *mesos.CommandInfo
	HTTP    *HTTP
	TCP     *TCP
}

// HTTP asks for a path of the task's own address.
type HTTP struct {
	Scheme string // "http" or "https"; certificates are not verified
	Port   uint32
	Path   string // begins with "/"
	IPv6   bool
}

// TCP connects to a port of the task's own address.
type TCP struct {
	Port uint32
	IPv6 bool
}

// Result is what a probe saw. Without any field the probe had no answer: it ran out of
// time, or could not be made.
type Result struct {
	ExitCode   *int32  // of a command; 128 and the signal for one that was killed
	StatusCode *uint32 // of HTTP
	Connected  *bool   // of TCP; false when the connection was refused
}

// Report is the result of a probe.
type Report struct {
	Health bool
	Number uint64
	Result Result
}

// Verdict is what a report changes.
type Verdict struct {
	// Reason says that an update is due, and why; 0 for none.
	Reason mesos.TaskStatus_Reason
	// Kill says that the task failed its health check too often.
	Kill bool
}

// Set is the check and the health check of one task. The zero value has neither.
type Set struct {
	check, health *checker
	number        uint64
	unhealthy     bool // being killed for its health
}

// checker is one of the two.
type checker struct {
	probe           Probe
	kind            mesos.CheckInfo_Type
	delay, interval time.Duration
	grace           time.Duration
	limit           uint32 // failures in a row
	statuses        []uint32

	since    time.Time // when the task ran; zero before
	due      time.Time // of the next probe; zero while none is planned
	out      uint64    // the probe under way; 0 for none
	paused   bool
	settled  bool // the first success was seen
	failures uint32
	healthy  *bool
	status   *mesos.CheckStatusInfo
}

// New makes what a task asks for.
func New(task *mesos.TaskInfo) Set {
	var s Set
	if info := task.GetCheck(); info != nil {
		s.check = newCheck(info)
	}
	if info := task.GetHealthCheck(); info != nil {
		s.health = newHealth(info)
	}
	return s
}

func newCheck(info *mesos.CheckInfo) *checker {
	c := &checker{
		kind: info.GetType(), delay: seconds(info.GetDelaySeconds()), interval: seconds(info.GetIntervalSeconds()),
		probe:  Probe{Timeout: seconds(info.GetTimeoutSeconds())},
		status: empty(info.GetType()),
	}
	switch c.kind {
	case mesos.CheckInfo_COMMAND:
		c.probe.Command = info.GetCommand().GetCommand()
	case mesos.CheckInfo_HTTP:
		c.probe.HTTP = &HTTP{Scheme: "http", Port: info.GetHttp().GetPort(), Path: path(info.GetHttp().GetPath())}
	case mesos.CheckInfo_TCP:
		c.probe.TCP = &TCP{Port: info.GetTcp().GetPort()}
	}
	return c
}

func newHealth(info *mesos.HealthCheck) *checker {
	c := &checker{
		kind: mesos.CheckInfo_Type(info.GetType()), delay: seconds(info.GetDelaySeconds()),
		interval: seconds(info.GetIntervalSeconds()), grace: seconds(info.GetGracePeriodSeconds()),
		limit: info.GetConsecutiveFailures(), statuses: info.GetHttp().GetStatuses(),
		probe: Probe{Health: true, Timeout: seconds(info.GetTimeoutSeconds())},
	}
	switch info.GetType() {
	case mesos.HealthCheck_COMMAND:
		c.probe.Command = info.GetCommand()
	case mesos.HealthCheck_HTTP:
		http := info.GetHttp()
		c.probe.HTTP = &HTTP{Scheme: "http", Port: http.GetPort(), Path: path(http.GetPath()),
			IPv6: http.GetProtocol() == mesos.NetworkInfo_IPv6}
		if http.GetScheme() != "" {
			c.probe.HTTP.Scheme = http.GetScheme()
		}
	case mesos.HealthCheck_TCP:
		c.probe.TCP = &TCP{Port: info.GetTcp().GetPort(), IPv6: info.GetTcp().GetProtocol() == mesos.NetworkInfo_IPv6}
	}
	return c
}

func seconds(s float64) time.Duration {
	if !(s > 0) { // NaN too
		return 0
	}
	return time.Duration(min(s*1e9, math.MaxInt64/4))
}

func path(given string) string {
	if given == "" {
		return "/"
	}
	return given
}

// each lists what there is.
func (s *Set) each() []*checker {
	return slices.DeleteFunc([]*checker{s.check, s.health}, func(c *checker) bool { return c == nil })
}

// Start begins: the task runs.
func (s *Set) Start(now time.Time) {
	for _, c := range s.each() {
		c.since, c.due, c.paused = now, now.Add(c.delay), false
	}
}

// Pause makes no more probes, and ignores the one under way.
func (s *Set) Pause() {
	for _, c := range s.each() {
		c.paused, c.due, c.out = true, time.Time{}, 0
	}
}

// Resume goes on after Pause: with a probe at once, or when the delay has passed.
func (s *Set) Resume(now time.Time) {
	for _, c := range s.each() {
		if !c.paused || c.since.IsZero() {
			continue
		}
		c.paused, c.due = false, now
		if first := c.since.Add(c.delay); first.After(now) {
			c.due = first
		}
	}
}

// Wake is when the next probe is due; zero for never.
func (s *Set) Wake() (at time.Time) {
	for _, c := range s.each() {
		if !c.due.IsZero() && (at.IsZero() || c.due.Before(at)) {
			at = c.due
		}
	}
	return at
}

// Due takes the probes that are to be made now.
func (s *Set) Due(now time.Time) []Probe {
	var out []Probe
	for _, c := range s.each() {
		if c.due.IsZero() || now.Before(c.due) {
			continue
		}
		s.number++
		c.out, c.due = s.number, time.Time{}
		probe := c.probe
		probe.Number = c.out
		out = append(out, probe)
	}
	return out
}

// Handle judges a result.
func (s *Set) Handle(now time.Time, r Report) Verdict {
	c := s.check
	if r.Health {
		c = s.health
	}
	if c == nil || c.out == 0 || c.out != r.Number {
		return Verdict{}
	}
	c.out, c.due = 0, now.Add(max(c.interval, MinInterval))
	if !r.Health {
		return c.observe(r.Result)
	}
	v := c.judge(now, c.good(r.Result))
	if v.Kill {
		s.unhealthy = true
	}
	return v
}

// Describe adds what is known to a status. As in Mesos a terminal one has an empty result
// of the check, and says healthy only when the task was killed for not being so.
func (s *Set) Describe(status *mesos.TaskStatus, terminal bool) {
	if s.check != nil {
		status.CheckStatus = s.check.status
		if terminal {
			status.CheckStatus = empty(s.check.kind)
		}
	}
	switch {
	case s.unhealthy:
		healthy := false
		status.Healthy = &healthy
	case s.health != nil && !terminal:
		status.Healthy = s.health.healthy
	}
}
