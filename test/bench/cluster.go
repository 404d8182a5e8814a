package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"agora.dev/agora/agent/images"
	mesos "agora.dev/agora/api/mesos/v1"
	schedulerpb "agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/client/scheduler"
	"agora.dev/agora/devcluster"
	"agora.dev/agora/internal/testkit/imagekit"
)

const (
	imageName = "bench/busybox:1"
	resources = "cpus:10000;mem:1000000;disk:100000;ports:[31000-32000]"
)

// cluster is a real master and agent with a framework.
type cluster struct {
	daemons
	dir    string
	client *scheduler.Client
	events chan *schedulerpb.Event
	ended  chan error
	cancel context.CancelFunc
	ctx    context.Context
	next   int
	// holds keeps offers that come while something else is waited for: a launch takes all of them.
	holds bool
	held  []*mesos.Offer
}

// daemons are a master and an agent.
type daemons interface {
	MasterAddr() string
	// Stop ends them, and all containers.
	Stop() error
}

// startCluster has master and agent in this process.
func startCluster() (*cluster, error) { return startLoggedCluster(nil) }

// startLoggedCluster is startCluster with a log; nil for none.
func startLoggedCluster(log *slog.Logger) (*cluster, error) {
	return startWith(func(ctx context.Context, state string) (daemons, error) {
		return devcluster.Start(ctx, devcluster.Config{StateDir: state, AnyPort: true, Resources: resources, Log: log})
	})
}

// end stops the cluster; a measurement that went well fails when that does not.
func (c *cluster) end(err *error) {
	if stop := c.stop(); *err == nil {
		*err = stop
	}
}

// startWith has a framework at the daemons that start makes below a directory.
func startWith(start func(ctx context.Context, state string) (daemons, error)) (*cluster, error) {
	if os.Getuid() != 0 {
		return nil, fmt.Errorf("needs root: containers, cgroups and mounts are real")
	}
	dir, err := os.MkdirTemp("", "agora-bench")
	if err != nil {
		return nil, err
	}
	c := &cluster{dir: dir, events: make(chan *schedulerpb.Event, 8192), ended: make(chan error, 1)}
	c.ctx, c.cancel = context.WithTimeout(context.Background(), 10*time.Minute)
	if err := c.loadImage(); err != nil {
		return nil, c.abandon(err)
	}
	c.daemons, err = start(c.ctx, filepath.Join(dir, "state"))
	if err != nil {
		return nil, c.abandon(err)
	}
	c.client = scheduler.New(scheduler.Config{Masters: []string{c.MasterAddr()}})
	info := &mesos.FrameworkInfo{User: ptr("root"), Name: ptr("bench"), Roles: []string{"*"},
		Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}
	go func() { c.ended <- c.client.Run(c.ctx, &schedulerpb.Call_Subscribe{FrameworkInfo: info}, c) }()
	return c, nil
}

func (c *cluster) loadImage() error {
	files, err := imagekit.Busybox()
	if err != nil {
		return err
	}
	layer, err := imagekit.Tar(files...)
	if err != nil {
		return err
	}
	image, err := imagekit.Image(v1.Config{}, layer)
	if err != nil {
		return err
	}
	archive := filepath.Join(c.dir, "image.tar")
	if err := imagekit.DockerArchive(archive, imageName, image); err != nil {
		return err
	}
	store, err := images.Open(filepath.Join(c.dir, "state", devcluster.ImagesDir), images.Config{})
	if err != nil {
		return err
	}
	_, err = store.Load(c.ctx, archive)
	return err
}

func (c *cluster) abandon(err error) error {
	c.cancel()
	_ = os.RemoveAll(c.dir)
	return err
}

// stop ends the cluster and removes everything it wrote.
func (c *cluster) stop() error {
	_ = c.client.Call(c.ctx, &schedulerpb.Call{Type: schedulerpb.Call_TEARDOWN.Enum()})
	err := c.Stop()
	c.cancel()
	if rm := os.RemoveAll(c.dir); err == nil {
		err = rm
	}
	return err
}

// Event hands an event to the measurement.
func (c *cluster) Event(ctx context.Context, event *schedulerpb.Event) error {
	select {
	case c.events <- event:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Disconnected is told by the events that stay out.
func (c *cluster) Disconnected(error) {}

func ptr[T any](v T) *T { return &v }
