package oversubscription

import (
	"math"
	"slices"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// UsageConfig are the parameters of Usage.
type UsageConfig struct {
	// Resources are what is lent: cpus, mem or both.
	Resources []string
	// Window is how far back usage counts. An executor lends nothing before it was watched as long.
	Window time.Duration
	// Percentile of the usage in the window that counts as used; 100 is the peak.
	Percentile float64
	// Margin is the part of what an executor was promised that is never lent, above what it uses.
	Margin float64
	// Limit is the part of the agent's resources that is lent at most.
	Limit float64
	// Hold is how long there must have been more before more is lent. Less is lent at once.
	Hold time.Duration
	// Total are the agent's resources.
	Total []*mesos.Resource
}

// steps are the amounts in which the estimate changes, so that a flicker of usage moves no offer.
var steps = map[string]float64{"cpus": 0.1, "mem": 32}

// Usage lends what executors were promised and did not use.
type Usage struct {
	config  UsageConfig
	rates   rates
	history map[string][]look
	// said is the last estimate of each resource, and above the least of what there has been
	// since it could have been more.
	said  map[string]float64
	above map[string]rise
}

// look is one measurement of a container.
type look struct {
	at    time.Time
	usage map[string]float64
}

// rise is a time in which there was always more than was said.
type rise struct {
	since time.Time
	least float64
}

// NewUsage makes an estimator; config is checked before.
func NewUsage(config UsageConfig) *Usage {
	return &Usage{config: config, rates: rates{}, history: map[string][]look{},
		said: map[string]float64{}, above: map[string]rise{}}
}

// Measures implements Estimator.
func (u *Usage) Measures() bool { return true }

// Estimate is, over all executors, what each was promised less what it used lately and the margin;
// of this, what is not lent yet.
func (u *Usage) Estimate(now time.Time, executors []Executor) resources.Resources {
	u.remember(now, executors)
	var out []*mesos.Resource
	for _, name := range u.config.Resources {
		slack := 0.0
		for i := range executors {
			slack += u.slack(now, &executors[i], name)
		}
		slack = min(slack, u.config.Limit*total(u.config.Total, name))
		free := u.settle(now, name, slack) - float64(lent(executors, name))/1000
		if free > 0 {
			free = math.Round(free*1000) / 1000
			out = append(out, &mesos.Resource{Name: &name, Type: mesos.Value_SCALAR.Enum(), Scalar: &mesos.Value_Scalar{Value: &free}})
		}
	}
	list, err := resources.FromProto(out)
	if err != nil {
		return resources.Resources{}
	}
	return revocable(list)
}

func total(list []*mesos.Resource, name string) (sum float64) {
	for _, r := range list {
		if r.GetName() == name && r.GetRevocable() == nil {
			sum += r.GetScalar().GetValue()
		}
	}
	return sum
}

// remember adds the figures to the history of each container.
func (u *Usage) remember(now time.Time, executors []Executor) {
	u.rates.look(now, executors)
	for i := range executors {
		e := &executors[i]
		id := string(e.Container)
		cpu := u.rates[id]
		if !e.Measured || !cpu.known || !cpu.at.Equal(now) {
			continue
		}
		kept := append(u.history[id], look{now, map[string]float64{"cpus": cpu.cpus, "mem": e.MemMiB}})
		// The newest look that is older than the window stays: it shows how far back we know.
		for len(kept) > 1 && now.Sub(kept[1].at) >= u.config.Window {
			kept = kept[1:]
		}
		u.history[id] = kept
	}
	for id := range u.history {
		if _, live := u.rates[id]; !live {
			delete(u.history, id)
		}
	}
}

// slack is what one executor does not need of a resource.
func (u *Usage) slack(now time.Time, e *Executor, name string) float64 {
	promised := e.amount(name, false)
	history := u.history[string(e.Container)]
	if promised == 0 || len(history) == 0 || now.Sub(history[0].at) < u.config.Window || !history[len(history)-1].at.Equal(now) {
		return 0 // unknown is not unused
	}
	used := make([]float64, len(history))
	for i, l := range history {
		used[i] = l.usage[name]
	}
	slices.Sort(used)
	at := int(math.Ceil(u.config.Percentile/100*float64(len(used)))) - 1
	return max(0, promised-used[max(at, 0)]-u.config.Margin*promised)
}

// settle follows what there is: down at once, up after it has held.
func (u *Usage) settle(now time.Time, name string, slack float64) float64 {
	step := steps[name]
	slack = math.Floor(slack/step+1e-9) * step
	if slack <= u.said[name] {
		u.said[name] = slack
		delete(u.above, name)
		return slack
	}
	r, rising := u.above[name]
	if !rising {
		r = rise{now, slack}
	}
	r.least = min(r.least, slack)
	u.above[name] = r
	if now.Sub(r.since) >= u.config.Hold {
		u.said[name] = r.least
		delete(u.above, name)
	}
	return u.said[name]
}

// revocable makes all of it so.
func revocable(list resources.Resources) resources.Resources {
	wire := list.Proto()
	for _, r := range wire {
		r.Revocable = &mesos.Resource_RevocableInfo{}
	}
	out, err := resources.FromProto(wire)
	if err != nil {
		return resources.Resources{}
	}
	return out
}
