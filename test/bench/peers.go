package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/testkit/enginekit"
)

// rounds is how often each contender starts a container.
var rounds = flag.Int("rounds", 50, "starts by each of the peers")

// trivial is what all contenders run, with the host's network: it says that it runs, and ends.
var trivial = []string{"/bin/echo", "started"}

// contender starts one container after the other.
type contender struct {
	name string
	// start tells when the program ran, and when it had ended and nothing of it was left.
	start func(id string) (running, ended time.Duration, err error)
	// peerOf is the contender of ours that does the same work.
	peerOf string
	what   string

	running, ended []float64
}

const (
	oursAlone = "launcher"
	oursWhole = "agora"
)

// peers measures starts by runc, crun and docker beside ours, on the same files with the same program, in turns.
func (s *suite) peers() (err error) {
	if os.Getuid() != 0 {
		return errors.New("needs root: containers are real")
	}
	dir, err := os.MkdirTemp("", "agora-bench")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	b, err := newBench(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	alone, end, err := b.launcher()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	c, err := startCluster()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.stop()) }()
	contenders := []*contender{alone, {name: oursWhole, start: c.start, what: "ACCEPT to TASK_RUNNING and to TASK_FINISHED seen by the framework"}}
	for _, name := range []string{"runc", "crun"} {
		if peer, err := b.runtime(name); err != nil {
			s.absent(name, err)
		} else {
			contenders = append(contenders, peer)
		}
	}
	if engine, err := enginekit.Open(); err != nil {
		s.absent("docker", err)
	} else {
		defer func() { err = errors.Join(err, engine.Close()) }()
		if peer, err := b.docker(engine); err != nil {
			s.absent("docker", err)
		} else {
			contenders = append(contenders, peer)
		}
	}
	if err := s.race(contenders); err != nil {
		return err
	}
	s.compare(contenders)
	return nil
}

// settle is left between two starts: some clean up after their end, docker for a tenth of a second.
const settle = 300 * time.Millisecond

// race has everybody start in turn, so that all meet the same machine. A peer that fails drops out, visibly.
func (s *suite) race(contenders []*contender) error {
	for round := range *rounds + 1 {
		for i := range contenders {
			c := contenders[(i+round)%len(contenders)]
			if c.start == nil {
				continue
			}
			time.Sleep(settle)
			running, ended, err := c.start("bench-" + c.name + "-" + strconv.Itoa(round))
			switch {
			case err != nil && c.peerOf == "":
				return fmt.Errorf("%s: %w", c.name, err)
			case err != nil:
				s.absent(c.name, err)
				c.start = nil
			case round > 0: // the first one warms
				c.running, c.ended = append(c.running, ms(running)), append(c.ended, ms(ended))
			}
		}
	}
	return nil
}

// compare prints everybody's times, and those of peers as multiples of ours.
func (s *suite) compare(contenders []*contender) {
	median := map[string]float64{}
	for _, c := range contenders {
		if c.start == nil {
			continue
		}
		for event, took := range map[string][]float64{"running": c.running, "ended": c.ended} {
			slices.Sort(took)
			median[c.name+event] = quantile(took, 0.5)
		}
		for _, event := range []string{"running", "ended"} {
			took := c.running
			if event == "ended" {
				took = c.ended
			}
			s.report(figure{Name: "peers/" + c.name + "-" + event, Value: quantile(took, 0.5), Unit: "ms",
				Note: fmt.Sprintf("p99 %.1f, max %.1f, of %d; %s", quantile(took, 0.99), took[len(took)-1], len(took), c.what)})
			if ours := median[c.peerOf+event]; c.peerOf != "" && ours > 0 {
				s.report(figure{Name: "peers/" + c.name + "-" + event + "-ratio", Value: median[c.name+event] / ours, Unit: "times " + c.peerOf,
					HigherIsBetter: true, Note: fmt.Sprintf("medians; %.1f times %s", median[c.name+event]/median[oursWhole+event], oursWhole)})
			}
		}
	}
}

// absent reports a peer that is not measured.
func (s *suite) absent(name string, why error) {
	text := strings.Join(strings.Fields(why.Error()), " ")
	s.report(figure{Name: "peers/" + name, Unit: "measured", Must: 1, HigherIsBetter: true, Note: "NOT THERE: " + text})
	fmt.Fprintf(os.Stderr, "bench: peers: %s is not measured: %s\n", name, text)
}

// start is the whole of ours: a framework's task.
func (c *cluster) start(string) (running, ended time.Duration, err error) {
	_, begin, err := c.launchEach(1, func(t *mesos.TaskInfo) {
		t.Command = &mesos.CommandInfo{Shell: ptr(false), Value: ptr(trivial[0]), Arguments: []string{"echo", trivial[1]}}
	})
	if err != nil {
		return 0, 0, err
	}
	at, err := c.reach(mesos.TaskState_TASK_RUNNING, 1)
	if err != nil {
		return 0, 0, err
	}
	end, err := c.reach(mesos.TaskState_TASK_FINISHED, 1)
	return at.Sub(begin), end.Sub(begin), err
}

// timed starts a command whose output is that of the container.
func timed(cmd *exec.Cmd, start func(*exec.Cmd) error) (running, ended time.Duration, err error) {
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, 0, err
	}
	var said strings.Builder
	cmd.Stderr = &said
	begin := time.Now()
	if err := start(cmd); err != nil {
		return 0, 0, err
	}
	first := make([]byte, len(trivial[1])+1)
	_, short := io.ReadFull(out, first)
	running = time.Since(begin)
	err = cmd.Wait()
	ended = time.Since(begin)
	if err != nil || short != nil {
		return 0, 0, fmt.Errorf("%s: %w: %s", filepath.Base(cmd.Path), errors.Join(err, short), strings.TrimSpace(said.String()))
	}
	return running, ended, nil
}

// docker runs containers through the command line and an Engine of its own.
func (b *bench) docker(engine *enginekit.Engine) (*contender, error) {
	program, err := exec.LookPath("docker")
	if err != nil {
		return nil, errors.New("no docker command (Debian: docker.io)")
	}
	version, err := engine.Client.ServerVersion(context.Background(), serverVersion)
	if err != nil {
		return nil, err
	}
	env := append(os.Environ(), "DOCKER_HOST=unix://"+engine.Socket, "DOCKER_CONFIG="+b.dir)
	return &contender{name: "docker", peerOf: oursWhole, what: "docker run --rm, Engine " + version.Version + "; first output, and its end",
		start: func(id string) (time.Duration, time.Duration, error) {
			cmd := exec.Command(program, append([]string{"run", "--rm", "--network=host", fmt.Sprintf("--memory=%d", memoryLimit), fmt.Sprintf("--cpu-shares=%d", cpuShares),
				"--name", id, enginekit.Image}, trivial...)...)
			cmd.Env = env
			return timed(cmd, (*exec.Cmd).Start)
		}}, nil
}
