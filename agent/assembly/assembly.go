// Package assembly puts an agent's containerizer together: image store, fetcher, launcher
// and the Linux containerizer above them.
//
// It is wiring, and the one place that names these implementations. It promises that Close
// leaves containers running for the next agent, and that Stop does not. It refuses to
// decide anything.
package assembly

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"path/filepath"
	"time"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/containerizer/docker"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/images"
	"agora.dev/agora/agent/images/logins"
	"agora.dev/agora/agent/isolators/cgroups"
	"agora.dev/agora/agent/isolators/secrets"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/rootfs"
	"agora.dev/agora/internal/metrics"
)

// Stack is a containerizer with what it stands on.
type Stack struct {
	Containerizer containerizer.Containerizer
	// Images removes images that nothing uses.
	Images agent.Images
	// Store holds the images.
	Store *images.Store
	// Timers are the metrics of durations, under Mesos's names.
	Timers   map[string]*metrics.Timer
	linux    *linux.Containerizer
	docker   *docker.Containerizer // nil without a Docker Engine
	launcher *held
	networks *networks
	collect  *collecting
	cgroups  string
	missing  []string
	figures  []func(func(string, float64))
}

// Figures gives the metrics of the containerizer and what it stands on, under Mesos's names.
func (s *Stack) Figures(emit func(name string, value float64)) {
	for _, figures := range s.figures {
		figures(emit)
	}
}

// Waits is the part of the last ten seconds in which a container waited for a CPU, in percent;
// negative where the kernel does not tell, and for containers of Docker's.
func (s *Stack) Waits(id containerizer.ID) float64 { return s.linux.Waits(id) }

// Peak is the most memory that a container has had, in bytes; 0 where nobody counts.
func (s *Stack) Peak(id containerizer.ID) uint64 { return s.linux.Peak(id) }

// New makes the containerizer that an agent's options ask for.
func New(ctx context.Context, config agent.Config, log *slog.Logger) (*Stack, error) {
	all, err := logins.Open(config.DockerConfig)
	if err != nil {
		return nil, fmt.Errorf("--docker_config: %w", err)
	}
	gc, err := config.ImageGC()
	if err != nil {
		return nil, err
	}
	pulls := new(metrics.Timer)
	store, err := openImages(config, all, pulls)
	if err != nil {
		return nil, err
	}
	fetch, err := openFetcher(config)
	if err != nil {
		return nil, err
	}
	isolators, err := isolation(config)
	if err != nil {
		return nil, err
	}
	output, err := config.Output()
	if err != nil {
		return nil, err
	}
	backend, err := rootfs.Parse(config.Backend)
	if err != nil {
		return nil, err
	}
	networks, err := openNetworks(config, log)
	if err != nil {
		return nil, err
	}
	held, err := open(ctx, config, log)
	if err != nil {
		return nil, errors.Join(err, networks.close())
	}
	group := path.Join("/", config.CgroupsRoot, name(config.WorkDir))
	c, err := linux.New(linux.Config{Launcher: held.launcher, Images: provisioner{store, secrets.Files{Dir: config.SecretsDir}, config.IgnoreImageRuntime}, Fetcher: fetch, Networks: networks.Isolator,
		Secrets:   secrets.Files{Dir: config.SecretsDir},
		HostPaths: linux.HostPaths{Allow: agent.Directories(config.HostPathAllow), Create: agent.Directories(config.HostPathCreate)},
		Backend:   backend, Layers: store.Dir(), Dir: filepath.Join(runtimeDir(config), "containerizer"), Cgroups: group, Isolation: isolators, Output: output, SandboxDirectory: config.SandboxDirectory, Log: log})
	if err != nil {
		return nil, errors.Join(err, held.stop(ctx), held.close(), networks.close())
	}
	composed, engine, err := compose(ctx, config, c, docker.Config{Fetcher: fetch, Logins: all, Output: output, GPUs: isolators.GPUs, Log: log})
	if err != nil {
		return nil, errors.Join(err, c.Close(), held.stop(ctx), held.close(), networks.close())
	}
	timers := networks.Timers()
	timers["containerizer/mesos/provisioner/docker_store/image_pull_ms"] = pulls
	if engine != nil {
		timers["containerizer/docker/image_pull_ms"] = engine.Pulls()
	}
	return &Stack{Containerizer: composed, Images: pruner{store, c}, Store: store, collect: collectImages(gc, store, pruner{store, c}, log), linux: c, docker: engine, launcher: held, networks: networks, cgroups: group,
		missing: missing(), figures: []func(func(string, float64)){fetch.Figures, c.Figures, networks.Figures}, Timers: timers}, nil
}

// Close ends the containerizer's own work and lets go of the launcher. Containers run on.
func (s *Stack) Close() error {
	s.collect.end()
	// What is below the agent's group is in use, or is removed by Stop.
	_ = s.linux.Close()
	var err error
	if s.docker != nil {
		err = s.docker.Close()
	}
	return errors.Join(err, s.networks.close(), s.launcher.close())
}

// stopTimeout bounds how long Stop waits for one container to be gone.
const stopTimeout = 10 * time.Second

// Stop destroys what is left of the agent's containers, and ends the launcher: nothing
// of them stays, cgroups included.
func (s *Stack) Stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	left, err := s.launcher.launcher.List(ctx)
	for _, c := range left {
		for _, end := range []func(context.Context, string) error{s.launcher.launcher.Destroy, s.launcher.launcher.Remove} {
			// The agent may be removing it at the same time.
			if left := end(ctx, c.ID); !errors.Is(left, launcher.ErrUnknownContainer) {
				err = errors.Join(err, left)
			}
		}
	}
	if s.docker != nil {
		err = errors.Join(err, s.docker.Stop(ctx))
	}
	err = errors.Join(err, s.networks.stop(ctx), s.launcher.stop(ctx))
	hierarchy, found := cgroups.Detect()
	if found == nil {
		for _, path := range []string{s.cgroups, path.Dir(s.cgroups)} {
			// Busy only when another agent of this machine is at work below it.
			if _, removed := hierarchy.At(path).Remove(); path == s.cgroups {
				err = errors.Join(err, removed)
			}
		}
	}
	return err
}

// Abandon is for an agent that did not start: it lets go of the launcher, and ends it when
// it has no containers.
func (s *Stack) Abandon() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	left, err := s.launcher.launcher.List(ctx)
	if err == nil && len(left) == 0 {
		err = s.Stop()
	}
	return errors.Join(err, s.Close())
}

// Missing lists what containers do not have on this machine; empty when they have all.
func (s *Stack) Missing() []string { return s.missing }

// runtimeDir is for what need not survive a reboot.
func runtimeDir(config agent.Config) string {
	if config.RuntimeDir != "" {
		return config.RuntimeDir
	}
	return filepath.Join(config.WorkDir, "runtime")
}

// name is a short name for a work directory: agents of one machine keep their cgroups apart.
func name(workDir string) string {
	sum := sha256.Sum256([]byte(workDir))
	return hex.EncodeToString(sum[:4])
}
