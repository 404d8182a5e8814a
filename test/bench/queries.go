package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	schedulerpb "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/client/scheduler"
)

// queries measures P5: /state of large clusters, and what the master's loop feels of it.
func (s *suite) queries() error {
	for _, c := range []struct {
		name       string
		size       population
		must, goal float64
	}{
		{"1687x50", population{Agents: 1687, Tasks: 50, Frameworks: 1}, 300, 60},
		{"20000x10+200000", population{Agents: 20_000, Tasks: 10, Frameworks: 200, Completed: 1000}, 1500, 250},
	} {
		if err := s.query(c.name, c.size, c.must, c.goal); err != nil {
			return fmt.Errorf("%s: %w", c.name, err)
		}
	}
	return nil
}

const (
	stateQueries = 15
	probeEvery   = 2 * time.Millisecond
)

func (s *suite) query(name string, size population, must, goal float64) error {
	c, err := startMeasuredMaster(size)
	if err != nil {
		return err
	}
	defer c.stop()
	probe, err := startProbe(c.address)
	if err != nil {
		return err
	}
	defer probe.close()
	idle := probe.during(func() error { time.Sleep(2 * time.Second); return nil })
	if idle.err != nil {
		return idle.err
	}
	var times []float64
	size0 := 0
	busy := probe.during(func() error {
		for range stateQueries {
			took, bytes, err := fetchState(plain, c.address)
			if err != nil {
				return err
			}
			times, size0 = append(times, ms(took)), bytes
		}
		return nil
	})
	if busy.err != nil {
		return busy.err
	}
	var packed []float64
	for range stateQueries {
		took, _, err := fetchState(http.DefaultClient, c.address)
		if err != nil {
			return err
		}
		packed = append(packed, ms(took))
	}
	first := times[0]
	slices.Sort(packed)
	slices.Sort(times)
	floor := s.copyFloor(size0)
	s.report(figure{Name: "P5/" + name, Value: quantile(times, 0.5), Unit: "ms", Must: must, Goal: goal, Floor: floor,
		Note: fmt.Sprintf("agents simulated in the master's process; %d MB of JSON, %d queries, uncompressed; the first, before anything was kept, %.0f; floor: copying that much through loopback",
			size0>>20, stateQueries, first)})
	s.report(figure{Name: "P5/" + name + "/gzip", Value: quantile(packed, 0.5), Unit: "ms", Must: must, Goal: goal, Floor: floor,
		Note: fmt.Sprintf("the same for a client that asks for compression, decompressing included; max %.0f", packed[len(packed)-1])})
	s.report(figure{Name: "P5/" + name + "/loop-p99", Value: busy.p99, Unit: "ms", Must: 20, Goal: 5, Floor: idle.p99,
		Note: fmt.Sprintf("a scheduler call and its answer while /state is read without pause; %d calls, max %.1f; floor: the same without /state", busy.calls, busy.max)})
	return nil
}

// plain asks for no compression, as Mesos's figure was taken; net/http's own client asks for it.
var plain = &http.Client{Transport: &http.Transport{DisableCompression: true}}

func fetchState(client *http.Client, address string) (time.Duration, int, error) {
	began := time.Now()
	response, err := client.Get("http://" + address + "/state")
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	n, err := io.Copy(io.Discard, response.Body)
	if err == nil && response.StatusCode != http.StatusOK {
		err = fmt.Errorf("/state: %s", response.Status)
	}
	return time.Since(began), int(n), err
}

// copyFloor is the time in milliseconds that bytes need through the loopback device.
func (s *suite) copyFloor(n int) float64 {
	body := make([]byte, n)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		// A reader that leaves is seen by its own error.
		_, _ = w.Write(body)
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0
	}
	go server.Serve(listener)
	defer server.Close()
	var times []float64
	for range 5 {
		took, _, err := fetchState(plain, listener.Addr().String())
		if err != nil {
			return 0
		}
		times = append(times, ms(took))
	}
	slices.Sort(times)
	return times[len(times)/2]
}

// probe is a framework that makes a call every few milliseconds, and times the answers.
type probe struct {
	client *scheduler.Client
	cancel context.CancelFunc
	ended  chan error
	ready  chan struct{}
	once   sync.Once
}

func startProbe(address string) (*probe, error) {
	ctx, cancel := context.WithCancel(context.Background())
	p := &probe{client: scheduler.New(scheduler.Config{Masters: []string{address}}), cancel: cancel,
		ended: make(chan error, 1), ready: make(chan struct{})}
	info := &mesos.FrameworkInfo{User: ptr("root"), Name: ptr("probe"), Roles: []string{"probe"},
		Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}
	go func() {
		p.ended <- p.client.Run(ctx, &schedulerpb.Call_Subscribe{FrameworkInfo: info, SuppressedRoles: []string{"probe"}}, p)
	}()
	select {
	case <-p.ready:
		return p, nil
	case err := <-p.ended:
		cancel()
		return nil, err
	}
}

func (p *probe) Event(_ context.Context, event *schedulerpb.Event) error {
	if event.GetType() == schedulerpb.Event_SUBSCRIBED {
		p.once.Do(func() { close(p.ready) })
	}
	return nil
}

func (p *probe) Disconnected(error) {}

func (p *probe) close() {
	p.cancel()
	<-p.ended
	p.client.Close()
}

// answers are the times of the probe's calls.
type answers struct {
	calls    int
	p99, max float64 // ms
	err      error
}

// during calls until work has ended.
func (p *probe) during(work func() error) (a answers) {
	done := make(chan error, 1)
	go func() { done <- work() }()
	var times []float64
	ticker := time.NewTicker(probeEvery)
	defer ticker.Stop()
	for {
		select {
		case a.err = <-done:
			slices.Sort(times)
			a.calls, a.p99 = len(times), quantile(times, 0.99)
			if a.calls > 0 {
				a.max = times[a.calls-1]
			}
			return a
		case <-ticker.C:
			began := time.Now()
			// The core answers a call that suppresses what is suppressed, and does nothing else.
			if err := p.client.Call(context.Background(), &schedulerpb.Call{Type: schedulerpb.Call_SUPPRESS.Enum(),
				Suppress: &schedulerpb.Call_Suppress{}}); err != nil {
				a.err = err
				return a
			}
			times = append(times, ms(time.Since(began)))
		}
	}
}
