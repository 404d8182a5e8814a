package assembly

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"path/filepath"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/containerizer/linux"
	"agora.dev/agora/agent/fetcher"
	"agora.dev/agora/agent/images"
	"agora.dev/agora/agent/images/logins"
	"agora.dev/agora/agent/isolators/secrets"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/metrics"
)

// openImages opens the image store that an agent's options describe.
func openImages(config agent.Config, all logins.Logins, pulls *metrics.Timer) (*images.Store, error) {
	registry, archives, err := config.RegistryAndArchives()
	if err != nil {
		return nil, err
	}
	mirrors, err := images.ParseMirrors(config.DockerMirrors)
	if err != nil {
		return nil, fmt.Errorf("--docker_mirrors: %w", err)
	}
	dir := config.ImageStore
	if dir == "" {
		dir = filepath.Join(config.WorkDir, "images")
	}
	return images.Open(dir, images.Config{Registry: registry, Archives: archives, Insecure: config.InsecureRegistries, Logins: all,
		Mirrors: mirrors, ForeignHosts: config.ForeignHosts, Pulled: pulls.Observe})
}

func openFetcher(config agent.Config) (*fetcher.Fetcher, error) {
	dir := config.FetcherCacheDir
	if dir == "" {
		dir = filepath.Join(config.WorkDir, "fetch")
	}
	return fetcher.New(fetcher.Config{CacheDir: dir, CacheSize: config.FetcherCacheSize, StallAfter: config.FetcherStallTimeout,
		FrameworksHome: config.FrameworksHome, HadoopHome: config.HadoopHome})
}

// pruner keeps the images of containers from being removed.
type pruner struct {
	store      *images.Store
	containers *linux.Containerizer
}

// Prune removes the images that are neither excluded nor in use.
func (p pruner) Prune(ctx context.Context, excluded []string) error {
	return p.containers.Prune(func(used []string) error {
		_, err := p.store.Prune(ctx, append(used, excluded...))
		return err
	})
}

// collecting is the work of a collector of images.
type collecting struct {
	cancel context.CancelFunc
	done   chan struct{}
}

// collectImages starts a collector; without a configuration there is none.
func collectImages(gc *agent.ImageGC, store *images.Store, prune pruner, log *slog.Logger) *collecting {
	if gc == nil {
		return nil
	}
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	c := &collecting{cancel: cancel, done: make(chan struct{})}
	collector := images.Collector{Headroom: gc.Headroom, Interval: gc.Interval, Used: store.Used, Log: log,
		Prune: func(ctx context.Context) error { return prune.Prune(ctx, gc.Excluded) }}
	go func() {
		defer close(c.done)
		collector.Run(ctx)
	}()
	return c
}

func (c *collecting) end() {
	if c != nil {
		c.cancel()
		<-c.done
	}
}

// provisioner reads an image of the API for the store.
type provisioner struct {
	store   *images.Store
	secrets secrets.Files
	// bare leaves out what an image says of its command (--docker_ignore_runtime).
	bare bool
}

// Provision makes the layers of an image present.
func (p provisioner) Provision(ctx context.Context, image *mesos.Image) (linux.RootFS, error) {
	if image.GetType() != mesos.Image_DOCKER {
		return linux.RootFS{}, fmt.Errorf("image type %s is not supported: use type DOCKER, which also pulls OCI images", image.GetType())
	}
	docker := image.GetDocker()
	given, err := p.logins(ctx, docker)
	if err != nil {
		return linux.RootFS{}, fmt.Errorf("image %s: %w", docker.GetName(), err)
	}
	root, err := p.store.Provision(ctx, docker.GetName(), given, image.GetCached())
	if p.bare {
		root.Config = ocispec.ImageConfig{}
	}
	return linux.RootFS(root), err
}

// logins are those that came with the image: the older credential, and a secret that holds
// Docker's config.json.
func (p provisioner) logins(ctx context.Context, image *mesos.Image_Docker) (logins.Logins, error) {
	out := logins.Logins{}
	if c := image.GetCredential(); c != nil {
		registry, err := p.store.Registry(image.GetName())
		if err != nil {
			return nil, err
		}
		maps.Copy(out, logins.One(registry, logins.Login{Username: c.GetPrincipal(), Password: c.GetSecret()}))
	}
	if image.GetConfig() == nil {
		return out, nil
	}
	text, err := p.secrets.Resolve(ctx, image.GetConfig())
	if err != nil {
		return nil, fmt.Errorf("its config: %w", err)
	}
	more, err := logins.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("its config: %w", err)
	}
	maps.Copy(out, more)
	return out, nil
}
