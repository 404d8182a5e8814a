// Command bench measures the budgets of Agora, one JSON line a figure on standard
// output. Arguments name the budgets to measure, such as P2 P7; none means all. With
// -profiles, what the masters spend time and memory on, and what starting agents spend time
// on, can be read with go tool pprof.
//
// Every figure stands beside the floor that was probed in the same run: what the
// machine needs for the same thing without Agora. Machines differ; ratios travel.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"

	"agora.dev/agora/cli"
)

// figure is one measured number. Lower is better unless HigherIsBetter.
type figure struct {
	Name  string  `json:"name"`
	Value float64 `json:"value"`
	Unit  string  `json:"unit"`
	// Must and Goal are the budget; zero when it has none.
	Must float64 `json:"must"`
	Goal float64 `json:"goal"`
	// Floor is what the machine alone needs, in the same unit, probed in this run.
	Floor float64 `json:"floor"`
	Pass  bool    `json:"pass"`
	// Note says what is simulated, or what the value is made of.
	Note           string `json:"note,omitempty"`
	HigherIsBetter bool   `json:"higher_is_better,omitempty"`
}

// budget measures the figures of one budget.
type budget struct {
	name string
	run  func(*suite) error
}

var budgets = []budget{
	{"floor", (*suite).floors},
	{"P1", (*suite).tasks},
	{"P2", (*suite).allocation},
	{"P5", (*suite).queries},
	{"P6", (*suite).burst},
	{"P7", (*suite).latency},
	{"launch", (*suite).launchSteps},
	{"peers", (*suite).peers},
	{"F14", (*suite).neighbours},
	{"P8", (*suite).density},
	{"P9", (*suite).memory},
	{"P10", (*suite).streams},
	{"checks", (*suite).checks},
	{"recovery", (*suite).recovery},
	{"past", (*suite).past},
}

// suite is one run.
type suite struct {
	floor  map[string]float64 // by probe, in its unit
	failed []string
}

var profiles = flag.String("profiles", "", "`folder` for CPU and heap profiles of the masters and agents under measurement")

func main() {
	if len(os.Args) == 3 && os.Args[1] == masterRole {
		if err := runMeasuredMaster(os.Args[2], os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	// The cluster under measurement starts this program again for its launcher and inits.
	if len(os.Args) > 1 && !strings.HasPrefix(os.Args[1], "-") && !slices.ContainsFunc(budgets, func(b budget) bool { return b.name == os.Args[1] }) {
		if err := profileAgent(os.Args[1]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		os.Exit(cli.Main(context.Background(), cli.NewApp("bench"), os.Args[1:]))
	}
	flag.Parse()
	s := &suite{floor: map[string]float64{}}
	wanted := flag.Args()
	for _, b := range budgets {
		if b.name != "floor" && len(wanted) > 0 && !slices.Contains(wanted, b.name) {
			continue
		}
		if err := b.run(s); err != nil {
			fmt.Fprintf(os.Stderr, "bench: %s: %v\n", b.name, err)
			s.failed = append(s.failed, b.name)
		}
	}
	if len(s.failed) > 0 {
		fmt.Fprintln(os.Stderr, "bench: not measured:", strings.Join(s.failed, " "))
		os.Exit(1)
	}
}

// report prints a figure.
func (s *suite) report(f figure) {
	f.Pass = f.passes()
	line, err := json.Marshal(f)
	if err != nil {
		panic(err) // a figure is plain data
	}
	fmt.Println(string(line))
}

// passes reports whether the value is within the budget.
func (f figure) passes() bool {
	switch {
	case f.Must == 0:
		return true
	case f.HigherIsBetter:
		return f.Value >= f.Must
	}
	return f.Value <= f.Must
}

// quantile is the value below which the share q of sorted values lies.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, int(q*float64(len(sorted))))]
}
