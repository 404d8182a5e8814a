package oversubscription

import (
	"fmt"
	"time"

	"agora.dev/agora/agent/core"
)

// Load stops everything that runs on revocable resources when the machine's load is above a
// threshold (Mesos's LoadQoSController).
type Load struct {
	// Threshold5 and Threshold15 are for the means of 5 and 15 minutes; nil: any load is good.
	Threshold5, Threshold15 *float64
}

// Measures implements Controller.
func (l *Load) Measures() bool { return false }

// Correct implements Controller.
func (l *Load) Correct(_ time.Time, host Host, executors []Executor) []core.Preempt {
	why := ""
	switch {
	case l.Threshold5 != nil && host.Load5 > *l.Threshold5:
		why = fmt.Sprintf("the load of 5 minutes is %.2f, above %.2f", host.Load5, *l.Threshold5)
	case l.Threshold15 != nil && host.Load15 > *l.Threshold15:
		why = fmt.Sprintf("the load of 15 minutes is %.2f, above %.2f", host.Load15, *l.Threshold15)
	default:
		return nil
	}
	var out []core.Preempt
	for i := range executors {
		if executors[i].Revocable() {
			out = append(out, preempt(&executors[i], why))
		}
	}
	return out
}

func preempt(e *Executor, why string) core.Preempt {
	return core.Preempt{Executor: e.Executor, Container: e.Container, Why: why}
}
