package oversubscription

import (
	"time"

	"agora.dev/agora/resources"
)

// Fixed lends always the same (Mesos's FixedResourceEstimator).
type Fixed struct{ total resources.Resources }

// NewFixed lends what total names.
func NewFixed(total resources.Resources) *Fixed { return &Fixed{revocable(total)} }

// Measures implements Estimator.
func (f *Fixed) Measures() bool { return false }

// Estimate is what of the total nobody has.
func (f *Fixed) Estimate(_ time.Time, executors []Executor) resources.Resources {
	return f.total.Scale(func(name string, milli int64) int64 { return milli - lent(executors, name) })
}

// lent is how much of a resource is lent, in thousandths.
func lent(executors []Executor, name string) int64 {
	sum := 0.0
	for i := range executors {
		sum += executors[i].amount(name, true)
	}
	return int64(sum*1000 + 0.5)
}
