package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"agora.dev/agora/devcluster"
	"agora.dev/agora/master"
)

// separate is a master in this process and an agent in one of its own, which can be killed and
// started again.
type separate struct {
	master  *master.Master
	stop    context.CancelFunc
	ended   chan error
	address string // of the agent
	command []string
	agent   *exec.Cmd
	said    *bytes.Buffer // by the agent on standard error
}

// startSeparate keeps everything below state; the agent has these flags beside its own.
func startSeparate(state string, flags ...string) (*separate, error) {
	config := master.NewConfig()
	config.Port = 0
	m, err := master.New(config, master.Deps{})
	if err != nil {
		return nil, err
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	s := &separate{master: m, ended: make(chan error, 1), address: net.JoinHostPort("127.0.0.1", port)}
	s.command = append([]string{self, "agent", "--master=" + m.Addr(), "--ip=127.0.0.1", "--port=" + port,
		"--work_dir=" + filepath.Join(state, "agent"), "--docker_store_dir=" + filepath.Join(state, devcluster.ImagesDir),
		"--resources=" + resources}, flags...)
	ctx, cancel := context.WithCancel(context.Background())
	s.stop = cancel
	go func() { s.ended <- m.Run(ctx) }()
	if _, err := s.start(); err != nil {
		return nil, s.abandon(err)
	}
	if _, err := s.await(time.Now(), func(m vitalSigns) bool { return m.Registered == 1 }); err != nil {
		return nil, s.abandon(err)
	}
	return s, nil
}

func (s *separate) abandon(err error) error {
	_ = s.Stop() // the first error is the one to show
	return err
}

// freePort is one that nobody listens on.
func freePort() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer listener.Close()
	return strconv.Itoa(listener.Addr().(*net.TCPAddr).Port), nil
}

// start executes the agent's program.
func (s *separate) start() (time.Time, error) {
	s.agent = exec.Command(s.command[0], s.command[1:]...)
	s.said = &bytes.Buffer{}
	s.agent.Stderr = s.said
	if *profiles != "" {
		s.agent.Env = append(os.Environ(), profilesVariable+"="+*profiles)
	}
	began := time.Now()
	return began, s.agent.Start()
}

// kill is what a crash of the agent is to everybody else.
func (s *separate) kill() {
	_ = s.agent.Process.Signal(syscall.SIGKILL)
	_ = s.agent.Wait() // it was killed
}

// MasterAddr is where the master listens.
func (s *separate) MasterAddr() string { return s.master.Addr() }

// Stop ends the agent with all its containers, and the master.
func (s *separate) Stop() error {
	var err error
	if s.agent != nil && s.agent.Process != nil {
		_ = s.agent.Process.Signal(syscall.SIGUSR1)
		err = s.agent.Wait()
	}
	s.stop()
	<-s.ended
	return err
}

// vitalSigns are metrics of an agent.
type vitalSigns struct {
	Registered float64 `json:"slave/registered"`
	Running    float64 `json:"slave/tasks_running"`
	Executors  float64 `json:"slave/executors_running"`
	Recovery   float64 `json:"slave/recovery_time_secs"`
}

// await asks the agent for its metrics until they satisfy, and says how long after began the
// answer had been read.
func (s *separate) await(began time.Time, satisfied func(vitalSigns) bool) (time.Duration, error) {
	client := &http.Client{Timeout: patience}
	defer client.CloseIdleConnections()
	for deadline := began.Add(patience); time.Now().Before(deadline); time.Sleep(time.Millisecond) {
		var m vitalSigns
		response, err := client.Get("http://" + s.address + "/metrics/snapshot")
		if err != nil {
			continue // it does not listen yet
		}
		err = json.NewDecoder(response.Body).Decode(&m)
		response.Body.Close()
		if err == nil && satisfied(m) {
			return time.Since(began), nil
		}
	}
	s.kill()
	return 0, fmt.Errorf("agent %s: not as expected after %s: %s", s.address, patience, s.said)
}

// completed counts the completed tasks that the agent lists.
func (s *separate) completed() (n int, err error) {
	response, err := http.Get("http://" + s.address + "/state")
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	type executor struct {
		Tasks []struct{} `json:"completed_tasks"`
	}
	type framework struct {
		Executors []executor `json:"executors"`
		Completed []executor `json:"completed_executors"`
	}
	var state struct {
		Frameworks []framework `json:"frameworks"`
		Completed  []framework `json:"completed_frameworks"`
	}
	if err := json.NewDecoder(response.Body).Decode(&state); err != nil {
		return 0, err
	}
	for _, f := range append(state.Frameworks, state.Completed...) {
		for _, e := range append(f.Executors, f.Completed...) {
			n += len(e.Tasks)
		}
	}
	return n, nil
}
