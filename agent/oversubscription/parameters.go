package oversubscription

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// parameters are "key=value,key=value"; what was read is taken out, so that the rest is unknown.
type parameters struct {
	values map[string]string
	known  []string
	err    error
}

// parse reads a list. A piece without "=" belongs to the value before it.
func parse(text string) *parameters {
	p := &parameters{values: map[string]string{}}
	last := ""
	for piece := range strings.SplitSeq(text, ",") {
		key, value, ok := strings.Cut(strings.TrimSpace(piece), "=")
		switch {
		case piece == "":
		case !ok && last == "":
			p.fail(fmt.Errorf("%q is not key=value", piece))
		case !ok:
			p.values[last] += "," + piece
		case p.values[key] != "":
			p.fail(fmt.Errorf("%s is given twice", key))
		default:
			p.values[key], last = value, key
		}
	}
	return p
}

func (p *parameters) fail(err error) {
	if p.err == nil {
		p.err = err
	}
}

func (p *parameters) text(key, otherwise string) string {
	p.known = append(p.known, key)
	value, given := p.values[key]
	delete(p.values, key)
	if !given {
		return otherwise
	}
	return value
}

// number reads a number in [low, high].
func (p *parameters) number(key string, otherwise, low, high float64) float64 {
	text := p.text(key, strconv.FormatFloat(otherwise, 'g', -1, 64))
	value, err := strconv.ParseFloat(text, 64)
	if err != nil || !(value >= low && value <= high) {
		p.fail(fmt.Errorf("%s=%s is not a number from %g to %g", key, text, low, high))
	}
	return value
}

func (p *parameters) duration(key string, otherwise time.Duration) time.Duration {
	text := p.text(key, otherwise.String())
	value, err := time.ParseDuration(text)
	if err != nil || value <= 0 {
		p.fail(fmt.Errorf("%s=%s is not a time, as 90s or 10m", key, text))
	}
	return value
}

// threshold reads a number that need not be there.
func (p *parameters) threshold(key string) *float64 {
	if _, given := p.values[key]; !given {
		p.known = append(p.known, key)
		return nil
	}
	value := p.number(key, 0, 0, 1e9)
	return &value
}

// end gives the first error; a parameter that nobody read is one.
func (p *parameters) end() error {
	if p.err != nil {
		return p.err
	}
	if len(p.values) == 0 {
		return nil
	}
	first := slices.Min(slices.Collect(maps.Keys(p.values)))
	if len(p.known) == 0 {
		return fmt.Errorf("%s is unknown: it takes none", first)
	}
	return fmt.Errorf("%s is unknown: it takes %s", first, strings.Join(p.known, ", "))
}

// Names of estimators and controllers, and what Mesos's modules are called.
const (
	Noop        = "noop"
	FixedModule = "org_apache_mesos_FixedResourceEstimator"
	LoadModule  = "org_apache_mesos_LoadQoSController"
)

// NewEstimator makes the estimator of a name from its parameters; nil for noop. total are the
// agent's resources.
func NewEstimator(name, text string, total []*mesos.Resource) (Estimator, error) {
	p := parse(text)
	var made Estimator
	switch name {
	case "", Noop:
	case "fixed", FixedModule:
		list, err := resources.Parse(p.text("resources", ""), "*")
		switch {
		case err != nil:
			p.fail(fmt.Errorf("resources: %w", err))
		case list.IsEmpty() || !list.NonScalars().IsEmpty() || !list.Reserved().IsEmpty():
			p.fail(errors.New("resources must name what is lent, as resources=cpus:2;mem:512"))
		}
		made = NewFixed(list)
	case "usage":
		made = NewUsage(usageConfig(p, total))
	default:
		return nil, fmt.Errorf("%s is unknown: use noop, fixed or usage", name)
	}
	return made, p.end()
}

func usageConfig(p *parameters, total []*mesos.Resource) UsageConfig {
	config := UsageConfig{
		Resources: strings.Split(p.text("resources", "cpus"), "+"), Total: total,
		Window: p.duration("window", 10*time.Minute), Hold: p.duration("hold", 2*time.Minute),
		Percentile: p.number("percentile", 100, 50, 100), Margin: p.number("margin", 0.1, 0, 1), Limit: p.number("limit", 0.5, 0, 1),
	}
	slices.Sort(config.Resources)
	config.Resources = slices.Compact(config.Resources)
	for _, name := range config.Resources {
		if steps[name] == 0 {
			p.fail(fmt.Errorf("resources=%s cannot be lent by usage: use cpus, mem or cpus+mem", name))
		}
	}
	return config
}

// NewController makes the controller of a name from its parameters, and says where it reads the
// state of the machine; nil for noop.
func NewController(name, text string) (made Controller, procfs string, err error) {
	p := parse(text)
	switch name {
	case "", Noop:
		return nil, "", p.end()
	case "load", LoadModule:
		load := &Load{Threshold5: p.threshold("load_threshold_5min"), Threshold15: p.threshold("load_threshold_15min")}
		if load.Threshold5 == nil && load.Threshold15 == nil {
			p.fail(errors.New("load_threshold_5min or load_threshold_15min must be given"))
		}
		made = load
	case "pressure":
		made = NewPressure(PressureConfig{CPU: p.number("cpu", 30, 0, 100), Memory: p.number("memory", 10, 0, 100),
			Available: p.number("available", 5, 0, 100), Settle: p.duration("settle", 10*time.Second)})
	default:
		return nil, "", fmt.Errorf("%s is unknown: use noop, load or pressure", name)
	}
	procfs = p.text("procfs", "/proc")
	return made, procfs, p.end()
}
