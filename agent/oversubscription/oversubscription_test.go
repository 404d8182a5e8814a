package oversubscription

import (
	"bufio"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

var update = flag.Bool("update", false, "write the transcripts of testdata anew")

// Each file of testdata is a story: what is made and what happens behind ">", and below it what is
// estimated or corrected.
func TestStories(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no stories: %v", err)
	}
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			want, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			got := play(t, string(want))
			if *update {
				err = os.WriteFile(file, []byte(got), 0o644)
			} else if got != string(want) {
				err = fmt.Errorf("story differs (run with -update to accept); got:\n%s", got)
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
}

// stage is a machine with its executors.
type stage struct {
	t          *testing.T
	now        time.Time
	estimator  Estimator
	controller Controller
	host       Host
	executors  []Executor
	burns      map[core.ExecutorID]float64 // CPUs that it uses
}

func play(t *testing.T, story string) string {
	s := &stage{t: t, now: time.Unix(1_800_000_000, 0), burns: map[core.ExecutorID]float64{},
		host: Host{MemTotalMiB: 1000, MemAvailableMiB: 500, CPUWaits: -1, MemoryStalls: -1}}
	var out strings.Builder
	lines := bufio.NewScanner(strings.NewReader(story))
	for lines.Scan() {
		line := lines.Text()
		if strings.HasPrefix(line, "    ") {
			continue
		}
		out.WriteString(line + "\n")
		if command, ok := strings.CutPrefix(line, "> "); ok {
			for _, said := range s.do(strings.Fields(command)) {
				out.WriteString("    " + said + "\n")
			}
		}
	}
	return out.String()
}

func (s *stage) do(words []string) []string {
	total := s.resources("cpus:4;mem:1000")
	rest := append(words[2:], "")
	var err error
	switch words[0] {
	case "estimator":
		s.estimator, err = NewEstimator(words[1], rest[0], total)
	case "controller":
		s.controller, _, err = NewController(words[1], rest[0])
	case "runs": // NAME RESOURCES [cpus=] [mem=] [waits=]; "~" behind a name: revocable
		id := core.ExecutorID(words[1])
		s.executors = append(s.executors, Executor{Measured: true, Waits: -1, Allocation: core.Allocation{
			Executor: core.ExecutorKey{Framework: "f", Executor: id}, Container: containerizer.ID(id + "-c"), Resources: s.resources(words[2])}})
		s.set(id, words[3:])
	case "uses":
		s.set(core.ExecutorID(words[1]), words[2:])
	case "ends":
		for i := range s.executors {
			if string(s.executors[i].Executor.Executor) == words[1] {
				s.executors = append(s.executors[:i], s.executors[i+1:]...)
				break
			}
		}
	case "host":
		for _, word := range words[1:] {
			key, value, _ := strings.Cut(word, "=")
			*map[string]*float64{"load5": &s.host.Load5, "load15": &s.host.Load15, "available": &s.host.MemAvailableMiB,
				"waits": &s.host.CPUWaits, "stalls": &s.host.MemoryStalls}[key] = s.number(value)
		}
	case "pass": // DURATION [every DURATION]
		return s.pass(words[1], rest)
	default:
		s.t.Fatalf("unknown event %v", words)
	}
	if err != nil {
		return []string{"error: " + err.Error()}
	}
	return nil
}

func (s *stage) number(text string) float64 {
	n, err := strconv.ParseFloat(text, 64)
	if err != nil {
		s.t.Fatal(err)
	}
	return n
}

// set changes what an executor uses.
func (s *stage) set(id core.ExecutorID, words []string) {
	for i := range s.executors {
		e := &s.executors[i]
		if e.Executor.Executor != id {
			continue
		}
		for _, word := range words {
			switch key, value, _ := strings.Cut(word, "="); key {
			case "cpus":
				s.burns[id] = s.number(value)
			case "mem":
				e.MemMiB = s.number(value)
			case "waits":
				e.Waits = s.number(value)
			case "measured":
				e.Measured = value == "true"
			}
		}
	}
}

func (s *stage) resources(text string) []*mesos.Resource {
	plain := strings.ReplaceAll(text, "~", "")
	list, err := resources.Parse(plain, "*")
	if err != nil {
		s.t.Fatal(err)
	}
	wire := list.Proto()
	for _, r := range wire {
		if strings.Contains(text, r.GetName()+"~") {
			r.Revocable = &mesos.Resource_RevocableInfo{}
		}
	}
	return wire
}

// pass lets time pass in steps of 15 s, or of what is said, and tells what changes.
func (s *stage) pass(text string, words []string) (said []string) {
	step, err := 15*time.Second, error(nil)
	if words[0] == "every" {
		step, err = time.ParseDuration(words[1])
	}
	d, err2 := time.ParseDuration(text)
	if err != nil || err2 != nil {
		s.t.Fatal(err, err2)
	}
	last := ""
	for at := step; at <= d; at += step {
		s.now = s.now.Add(step)
		for i := range s.executors {
			s.executors[i].CPUSeconds += s.burns[s.executors[i].Executor.Executor] * step.Seconds()
		}
		if s.estimator != nil {
			if lend := s.estimator.Estimate(s.now, s.executors).String(); lend != last {
				said, last = append(said, fmt.Sprintf("(+%s) lends %s", at, lend)), lend
			}
		}
		if s.controller == nil {
			continue
		}
		for _, p := range s.controller.Correct(s.now, s.host, s.executors) {
			said = append(said, fmt.Sprintf("(+%s) preempts %s: %s", at, p.Executor.Executor, p.Why))
			s.do([]string{"ends", string(p.Executor.Executor)})
		}
	}
	return said
}
