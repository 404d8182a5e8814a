package agent

import (
	"fmt"
	"net/url"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"agora.dev/agora/agent/rootfs"
	"agora.dev/agora/internal/flags"
)

// ImageOptions are the options of images and of what is fetched, under the names of Mesos
// where it has them.
type ImageOptions struct {
	// DockerRegistry is a registry's URL, or a directory of archives.
	DockerRegistry     string
	DockerMirrors      string // REGISTRY=MIRROR,...;REGISTRY=...
	InsecureRegistries []string
	ForeignHosts       []string
	ImageGCConfig      string // JSON, or the file that holds it
	// Backend is how containers get the files of their images: overlay or copy; empty for
	// the one that works.
	Backend string

	FetcherCacheDir     string
	FetcherCacheSize    int64
	FetcherStallTimeout time.Duration
	FrameworksHome      string
	HadoopHome          string
}

func defaultImages() ImageOptions {
	return ImageOptions{FetcherCacheSize: 2 << 30, FetcherStallTimeout: time.Minute}
}

func (c *Config) imageFlags(set *flags.Set) {
	set.String(&c.DockerRegistry, "docker_registry", "where images without a registry in their name come from: the URL of a registry, or a directory with IMAGE.tar; default: https://registry-1.docker.io")
	set.String(&c.DockerMirrors, "docker_mirrors", "registries that are asked before others, as docker.io=mirror.example:5000,other.example/hub;*=cache.example")
	set.List(&c.InsecureRegistries, "docker_insecure_registries", "registries, as host or host:port, that may be asked by plain http or without a valid certificate; loopback always may")
	set.List(&c.ForeignHosts, "docker_foreign_hosts", "hosts, as host or host:port, that foreign layers may come from by plain http or at a private address; public ones by https always may")
	set.String(&c.ImageGCConfig, "image_gc_config", `when unused images are removed, as {"image_disk_headroom":0.1,"image_disk_watch_interval":{"nanoseconds":3600000000000},"excluded_images":["busybox"]}, or the file that holds it; default: by PRUNE_IMAGES only`)
	set.String(&c.Backend, "image_provisioner_backend", "how containers get the files of their images: overlay, or copy, for file systems where overlayfs does not work; default: overlay where it works, else copy")
	set.Path(&c.FetcherCacheDir, "fetcher_cache_dir", "directory of the fetcher's cache; default: fetch in the work directory")
	set.Bytes(&c.FetcherCacheSize, "fetcher_cache_size", "bytes that the fetcher's cache may hold")
	set.Duration(&c.FetcherStallTimeout, "fetcher_stall_timeout", "time after which a download that brings nothing ends")
	set.Path(&c.HadoopHome, "hadoop_home", "directory of the client of Hadoop, which fetches hdfs, hftp and s3 URIs with bin/hadoop; default: the hadoop of PATH")
	set.Path(&c.FrameworksHome, "frameworks_home", "directory that relative URIs of commands are relative to")
}

// RegistryAndArchives reads --docker_registry; at most one of them is set.
func (c *Config) RegistryAndArchives() (registry, archives string, err error) {
	text := strings.TrimRight(c.DockerRegistry, "/")
	if text == "" {
		return "", "", nil
	}
	if filepath.IsAbs(text) || strings.HasPrefix(text, "file:///") {
		return "", strings.TrimPrefix(text, "file://"), nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Scheme != "http" && u.Scheme != "https" {
		return "", "", fmt.Errorf("--docker_registry=%s: give the http or https URL of a registry, or an absolute directory of archives", c.DockerRegistry)
	}
	if u.Host == "registry-1.docker.io" || u.Host == "index.docker.io" || u.Host == "docker.io" {
		return "", "", nil
	}
	if u.Scheme == "http" && !slices.Contains(c.InsecureRegistries, u.Host) {
		c.InsecureRegistries = append(c.InsecureRegistries, u.Host)
	}
	return u.Host + u.Path, "", nil
}

func (c *Config) checkImages() error {
	if _, _, err := c.RegistryAndArchives(); err != nil {
		return err
	}
	if _, err := c.ImageGC(); err != nil {
		return err
	}
	if _, err := rootfs.Parse(c.Backend); err != nil {
		return err
	}
	if c.FetcherCacheSize < 0 || c.FetcherStallTimeout <= 0 {
		return fmt.Errorf("--fetcher_cache_size=%d, --fetcher_stall_timeout=%s: the size must not be negative, the time must be positive", c.FetcherCacheSize, c.FetcherStallTimeout)
	}
	return nil
}
