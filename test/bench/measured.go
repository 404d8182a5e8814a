package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"runtime/debug"
	"runtime/metrics"
	"runtime/pprof"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/master"
)

// masterRole is this program's first argument when it is a master under measurement: a
// process of its own, so that its memory and pauses are nobody else's.
const masterRole = "measured-master"

// vitals are what a measured master says of itself.
type vitals struct {
	// ResidentKiB is private memory; HeapKiB what is live after a collection; StacksKiB what goroutines have.
	ResidentKiB, HeapKiB, StacksKiB float64
	// PauseP999 and PauseMax are of the collector's pauses so far, in milliseconds; upper ends
	// of the runtime's buckets.
	PauseP999, PauseMax float64
	Pauses              uint64
}

// runMeasuredMaster serves until standard input ends. Each line of input is answered with the
// vitals; "collect" collects garbage and gives it back before. The population, as JSON, lives in
// this process, on links in memory: a process may not have as many descriptors as it has agents.
func runMeasuredMaster(inside string, in io.Reader, out io.Writer) error {
	var p population
	if err := json.Unmarshal([]byte(inside), &p); err != nil {
		return err
	}
	config := master.NewConfig()
	config.Port, config.MaxOperatorStreams = 0, 2*streamReaders
	m, err := master.New(config, master.Deps{})
	if err != nil {
		return err
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	saved, err := startProfiles(os.Getenv(profilesVariable), "master")
	if err != nil {
		return err
	}
	ended := make(chan error, 1)
	go func() { ended <- m.Run(ctx) }()
	if p.Agents > 0 {
		dial := func(context.Context, int) (*agentlink.Stream, error) { return m.Dial(), nil }
		if _, _, err := join(ctx, m.Addr(), p, dial); err != nil {
			return err
		}
	}
	fmt.Fprintln(out, m.Addr())
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		if lines.Text() == "collect" {
			debug.FreeOSMemory()
		}
		if err := json.NewEncoder(out).Encode(readVitals()); err != nil {
			break
		}
	}
	saved()
	stop()
	return <-ended
}

// profilesVariable names the folder where measured masters and agents leave profiles, if any.
const profilesVariable = "AGORA_BENCH_PROFILES"

// startProfiles profiles the processor until the function it gives is called, which adds the heap.
func startProfiles(dir, who string) (save func(), err error) {
	if dir == "" {
		return func() {}, nil
	}
	base := filepath.Join(dir, who+"-"+strconv.Itoa(os.Getpid()))
	cpu, err := os.Create(base + ".cpu")
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(cpu); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		cpu.Close()
		if heap, err := os.Create(base + ".heap"); err == nil {
			pprof.Lookup("heap").WriteTo(heap, 0)
			heap.Close()
		}
	}, nil
}

// profiledFor is for how long a starting agent is profiled.
const profiledFor = 3 * time.Second

// profileAgent profiles this process when its role is that of an agent.
func profileAgent(role string) error {
	dir := os.Getenv(profilesVariable)
	if role != "agent" || dir == "" {
		return nil
	}
	saved, err := startProfiles(dir, role)
	if err == nil {
		time.AfterFunc(profiledFor, saved)
	}
	return err
}

func readVitals() vitals {
	samples := []metrics.Sample{{Name: "/sched/pauses/total/gc:seconds"}, {Name: "/gc/heap/live:bytes"}, {Name: "/memory/classes/heap/stacks:bytes"}}
	metrics.Read(samples)
	v := vitals{ResidentKiB: float64(private([]int{os.Getpid()})), HeapKiB: float64(samples[1].Value.Uint64()) / 1024,
		StacksKiB: float64(samples[2].Value.Uint64()) / 1024}
	pauses := samples[0].Value.Float64Histogram()
	for _, n := range pauses.Counts {
		v.Pauses += n
	}
	seen, rank := uint64(0), uint64(math.Ceil(float64(v.Pauses)*0.999))
	for i, n := range pauses.Counts {
		if n == 0 {
			continue
		}
		upper := pauses.Buckets[i+1] * 1e3
		if seen < rank {
			v.PauseP999 = upper
		}
		v.PauseMax = upper
		seen += n
	}
	return v
}

// measuredMaster is a master in a process of its own.
type measuredMaster struct {
	address string
	process *exec.Cmd
	in      io.WriteCloser
	out     *bufio.Reader
}

func startMeasuredMaster(inside population) (*measuredMaster, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	text, err := json.Marshal(inside)
	if err != nil {
		return nil, err
	}
	m := &measuredMaster{process: exec.Command(self, masterRole, string(text))}
	if *profiles != "" {
		m.process.Env = append(os.Environ(), profilesVariable+"="+*profiles)
	}
	m.process.Stderr = os.Stderr
	if m.in, err = m.process.StdinPipe(); err != nil {
		return nil, err
	}
	out, err := m.process.StdoutPipe()
	if err != nil {
		return nil, err
	}
	m.out = bufio.NewReader(out)
	if err := m.process.Start(); err != nil {
		return nil, err
	}
	line, err := m.out.ReadString('\n')
	if err != nil {
		m.stop()
		return nil, fmt.Errorf("measured master: %w", err)
	}
	m.address = strings.TrimSpace(line)
	return m, nil
}

// vitals asks; collect has the master collect garbage before.
func (m *measuredMaster) vitals(collect bool) (v vitals, err error) {
	question := "vitals\n"
	if collect {
		question = "collect\n"
	}
	if _, err := io.WriteString(m.in, question); err != nil {
		return v, err
	}
	line, err := m.out.ReadBytes('\n')
	if err != nil {
		return v, fmt.Errorf("measured master: %w", err)
	}
	return v, json.Unmarshal(line, &v)
}

// stop ends the master, and waits for it.
func (m *measuredMaster) stop() {
	m.in.Close()
	// How it ended says nothing about what was measured.
	_ = m.process.Wait()
}
