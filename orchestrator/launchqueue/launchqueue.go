// Package launchqueue holds back the launches of an app that keeps dying.
//
// It owns the delay of each app's configuration. It promises that the delay grows by the app's
// factor with every end, up to its maximum, and that it is forgotten after as long without one.
// It refuses to count or to launch.
package launchqueue

import "time"

// Policy is an app's.
type Policy struct {
	Initial time.Duration
	Factor  float64
	Max     time.Duration
}

type delay struct {
	config string
	amount time.Duration
	until  time.Time
	max    time.Duration
}

// Queue holds the delays. The zero Queue is ready.
type Queue struct{ delays map[string]delay }

// Ended notes that an instance of the app's configuration ended by itself.
func (q *Queue) Ended(now time.Time, app, config string, p Policy) {
	if q.delays == nil {
		q.delays = map[string]delay{}
	}
	d, known := q.delays[app]
	switch {
	case !known || d.config != config || quiet(now, d):
		d = delay{config: config, amount: min(p.Initial, p.Max)}
	default:
		d.amount = min(time.Duration(float64(d.amount)*p.Factor), p.Max)
	}
	d.until, d.max = now.Add(d.amount), p.Max
	q.delays[app] = d
}

func quiet(now time.Time, d delay) bool { return now.After(d.until.Add(d.max)) }

// Until is the time before which the app's configuration does not launch; zero: none.
func (q *Queue) Until(now time.Time, app, config string) time.Time {
	d, known := q.delays[app]
	if !known || d.config != config || !now.Before(d.until) {
		return time.Time{}
	}
	return d.until
}

// Reset forgets an app's delay.
func (q *Queue) Reset(app string) { delete(q.delays, app) }
