package metrics

import (
	"fmt"
	"io"
	"net/url"
	"slices"
	"strconv"
	"strings"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
)

// Families say what figures mean, and what Prometheus calls them. Make them with ParseFamilies.
type Families struct {
	list []*family
	// exact are the families without labels; others are found by the first two parts of their keys.
	exact    map[string]*family
	labelled map[string][]*family
}

// family is the figures of one meaning.
type family struct {
	kind    string // counter, gauge or timer
	key     string
	pattern []string
	braces  []int // where the label begins in each part of pattern, -1: nowhere
	name    string
	help    string
}

// ParseFamilies reads a table, one family a line:
//
//	counter master/frameworks/{name}/{framework_id}/calls/{call} = framework_calls | Calls by type.
//
// {x} is a part that becomes a label, {x...} one that may hold slashes, {x%} one that is
// percent-encoded in the key; <a|b> stands for two lines, in which $1 (and
// $2 of a second one) is that word. Without "= name" Prometheus's name is the key's, with _ for /. The kind is counter,
// gauge, or timer: one that ends in _ms, exported as a summary in seconds.
func ParseFamilies(table, prefix string) (*Families, error) {
	f := &Families{exact: map[string]*family{}, labelled: map[string][]*family{}}
	for number, line := range strings.Split(table, "\n") {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		for _, one := range expand(line, 1) {
			left, help, described := strings.Cut(one, "|")
			kind, key, _ := strings.Cut(strings.TrimSpace(left), " ")
			key, name, _ := strings.Cut(key, "=")
			key, help = strings.TrimSpace(key), strings.TrimSpace(help)
			if !described || help == "" || key == "" || !slices.Contains([]string{"counter", "gauge", "timer"}, kind) {
				return nil, fmt.Errorf("line %d: want \"kind key = name | help\", got %q", number+1, line)
			}
			if kind == "timer" && strings.Contains(key, "{") {
				return nil, fmt.Errorf("line %d: a timer has no labels: %s", number+1, key)
			}
			f.add(&family{kind: kind, key: key, pattern: strings.Split(key, "/"), name: exported(prefix, key, strings.TrimSpace(name), kind), help: help})
		}
	}
	return f, nil
}

// expand writes a line for each word of <a|b>; nth is the number of its place.
func expand(line string, nth int) []string {
	from := strings.IndexByte(line, '<')
	to := strings.IndexByte(line, '>')
	if from < 0 || to < from {
		return []string{line}
	}
	var lines []string
	for word := range strings.SplitSeq(line[from+1:to], "|") {
		lines = append(lines, expand(strings.ReplaceAll(line[:from]+word+line[to+1:], "$"+strconv.Itoa(nth), word), nth+1)...)
	}
	return lines
}

func exported(prefix, key, name, kind string) string {
	if name == "" {
		name = strings.NewReplacer("/", "_", "{", "", "}", "").Replace(key)
	}
	name = prefix + name
	switch {
	case kind == "timer":
		return strings.TrimSuffix(name, "_ms") + "_seconds"
	case kind == "counter" && !strings.HasSuffix(name, "_total"):
		return name + "_total"
	}
	return name
}

func (f *Families) add(one *family) {
	for _, part := range one.pattern {
		one.braces = append(one.braces, strings.IndexByte(part, '{'))
	}
	f.list = append(f.list, one)
	if !strings.Contains(one.key, "{") {
		f.exact[one.key] = one
		return
	}
	start := head(one.pattern)
	f.labelled[start] = append(f.labelled[start], one)
}

func head(parts []string) string {
	if len(parts) < 2 || strings.Contains(parts[1], "{") {
		return parts[0]
	}
	return parts[0] + "/" + parts[1]
}

// Keys are the keys of all families, with their labels in braces.
func (f *Families) Keys() []string {
	var keys []string
	for _, one := range f.list {
		keys = append(keys, one.key)
	}
	return keys
}

// Key is the family's key of a figure, and empty when there is none.
func (f *Families) Key(name string) string {
	if one, _, _ := f.find(name); one != nil {
		return one.key
	}
	return ""
}

// find gives the family of a figure, the values of its labels, and the statistic of a timer.
func (f *Families) find(name string) (one *family, labels []string, statistic string) {
	if at := strings.LastIndexByte(name, '/'); at > 0 && isStatistic(name[at+1:]) {
		if one, labels = f.match(name[:at]); one != nil && one.kind == "timer" {
			return one, labels, name[at+1:]
		}
	}
	one, labels = f.match(name)
	return one, labels, ""
}

func isStatistic(s string) bool {
	switch s {
	case "count", "min", "max":
		return true
	}
	return s[:min(1, len(s))] == "p" && slices.ContainsFunc(percentiles, func(p percentile) bool { return p.name == s })
}

func (f *Families) match(name string) (*family, []string) {
	if one := f.exact[name]; one != nil {
		return one, nil
	}
	var room [16]string
	parts := split(room[:0], name)
	for _, start := range []string{name[:min(len(name), startLength(name))], parts[0]} {
		for _, one := range f.labelled[start] {
			if one.matches(parts) {
				return one, one.labels(parts)
			}
		}
	}
	return nil, nil
}

// split is strings.Split with room for the result.
func split(parts []string, name string) []string {
	for part := range strings.SplitSeq(name, "/") {
		parts = append(parts, part)
	}
	return parts
}

// startLength is how long the first two parts of a name are.
func startLength(name string) int {
	first := strings.IndexByte(name, '/') + 1
	if second := strings.IndexByte(name[first:], '/'); second >= 0 {
		return first + second
	}
	return len(name)
}

// matches compares the parts of a key with the pattern; the one label that may hold slashes takes what is left over.
func (f *family) matches(parts []string) bool {
	extra := len(parts) - len(f.pattern)
	if extra < 0 {
		return false
	}
	for i, want := range f.pattern {
		got := parts[0]
		brace := f.braces[i]
		long := brace >= 0 && strings.HasSuffix(want, "...}")
		switch {
		case brace < 0:
			if got != want {
				return false
			}
		case !strings.HasPrefix(got, want[:brace]) || len(got) == brace && !long:
			return false
		}
		if long {
			parts, extra = parts[extra:], 0
		}
		parts = parts[1:]
	}
	return extra == 0
}

// labels are names and values, in turn, of a key that matches.
func (f *family) labels(parts []string) []string {
	labels := make([]string, 0, 8)
	extra := len(parts) - len(f.pattern)
	for i, want := range f.pattern {
		if brace := f.braces[i]; brace >= 0 {
			label, got := want[brace+1:], parts[0][brace:]
			if strings.HasSuffix(label, "...}") {
				got = strings.Join(parts[:1+extra], "/")[brace:]
				parts = parts[extra:]
			}
			labels = append(labels, label[:strings.IndexAny(label, ".%}")], value(label, got))
		}
		parts = parts[1:]
	}
	return labels
}

// value is what a label says; a part that was percent-encoded for the key is as it was. Prometheus reads nothing of a page with
// a label that is not UTF-8, and names come from strangers.
func value(label, part string) string {
	if strings.Contains(label, "%") {
		if plain, err := url.PathUnescape(part); err == nil {
			part = plain
		}
	}
	return strings.ToValidUTF8(part, "\uFFFD")
}

// PrometheusType is the media type of Prometheus's text format.
var PrometheusType = string(expfmt.NewFormat(expfmt.TypeTextPlain))

// Prometheus writes the figures in Prometheus's text format. A figure of no family is left out.
func (c *Collection) Prometheus(w io.Writer, families *Families) error {
	made := map[*family]*dto.MetricFamily{}
	for _, figure := range c.Figures {
		one, labels, statistic := families.find(figure.Name)
		if one == nil {
			continue
		}
		if made[one] == nil {
			made[one] = &dto.MetricFamily{Name: &one.name, Help: &one.help, Type: kinds[one.kind]}
		}
		c.sample(made[one], one, labels, statistic, figure)
	}
	for _, one := range families.list {
		if m := made[one]; m != nil {
			if _, err := expfmt.MetricFamilyToText(w, m); err != nil {
				return fmt.Errorf("metric %s: %w", one.name, err)
			}
		}
	}
	return nil
}

var kinds = map[string]*dto.MetricType{"counter": dto.MetricType_COUNTER.Enum(), "gauge": dto.MetricType_GAUGE.Enum(), "timer": dto.MetricType_SUMMARY.Enum()}

// sample adds a figure to its family. A timer is one summary of all its statistics.
func (c *Collection) sample(to *dto.MetricFamily, f *family, labels []string, statistic string, figure Figure) {
	metric := &dto.Metric{}
	for i := 0; i < len(labels); i += 2 {
		metric.Label = append(metric.Label, &dto.LabelPair{Name: &labels[i], Value: &labels[i+1]})
	}
	switch f.kind {
	case "counter":
		metric.Counter = &dto.Counter{Value: &figure.Value}
	case "gauge":
		metric.Gauge = &dto.Gauge{Value: &figure.Value}
	default:
		if len(to.Metric) == 0 {
			metric.Summary = &dto.Summary{}
			to.Metric = append(to.Metric, metric)
		}
		c.summarise(to.Metric[0].Summary, statistic, figure)
		return
	}
	to.Metric = append(to.Metric, metric)
}

// summarise adds one statistic of a timer; the least and greatest are the quantiles 0 and 1.
func (c *Collection) summarise(s *dto.Summary, statistic string, figure Figure) {
	at := 0.0
	switch statistic {
	case "": // the newest one; the summary has them all
		all := c.timed[figure.Name]
		sum := all.sum / 1000
		s.SampleSum, s.SampleCount = &sum, &all.count
		return
	case "count":
		return
	case "min":
	case "max":
		at = 1
	default:
		at = percentiles[slices.IndexFunc(percentiles, func(p percentile) bool { return p.name == statistic })].at
	}
	value := figure.Value / 1000
	s.Quantile = append(s.Quantile, &dto.Quantile{Quantile: &at, Value: &value})
}
