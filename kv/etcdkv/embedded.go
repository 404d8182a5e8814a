package etcdkv

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"runtime/debug"
	"syscall"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.etcd.io/etcd/server/v3/etcdserver/api/v3client"
	"go.uber.org/zap"

	"agora.dev/agora/kv"
)

// EmbeddedConfig describes a server inside this process: one member, which nobody else
// reaches.
type EmbeddedConfig struct {
	// Dir holds the data; it is made, with mode 0700.
	Dir string
	// QuotaBytes bounds the database; default 2 GiB.
	QuotaBytes int64
	// StartTimeout bounds the wait until it answers; default 60 s.
	StartTimeout time.Duration
	// NoSync gives up durability across power loss, for tests.
	NoSync bool
}

// OpenEmbedded starts the server and returns when it answers.
func OpenEmbedded(ctx context.Context, cfg EmbeddedConfig) (*Store, error) {
	if cfg.QuotaBytes == 0 {
		cfg.QuotaBytes = 2 << 30
	}
	if cfg.StartTimeout == 0 {
		cfg.StartTimeout = time.Minute
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	unlock, err := lockDir(cfg.Dir)
	if err != nil {
		return nil, err
	}
	server, err := start(ctx, cfg)
	if err != nil {
		unlock()
		return nil, fmt.Errorf("open store in %s: %w; if the directory is damaged, restore it from a backup or move it away to start empty", cfg.Dir, err)
	}
	return &Store{client: v3client.New(server.Server), stop: func() error {
		server.Close()
		return unlock()
	}}, nil
}

func embedConfig(cfg EmbeddedConfig) *embed.Config {
	c := embed.NewConfig()
	c.Name = "agora"
	c.Dir = filepath.Join(cfg.Dir, "etcd")
	// The client is in this process: nothing listens. The peer URL is a name only.
	nowhere := url.URL{Scheme: "http", Host: "localhost:0"}
	c.ListenPeerUrls, c.ListenClientUrls = nil, nil
	c.ListenClientHttpUrls = nil
	c.AdvertisePeerUrls, c.AdvertiseClientUrls = []url.URL{nowhere}, []url.URL{nowhere}
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.TickMs, c.ElectionMs = 10, 100 // one member has nobody to wait for
	c.QuotaBackendBytes = cfg.QuotaBytes
	c.MaxTxnOps = 2 * kv.MaxOps
	c.MaxRequestBytes = 2*kv.MaxValue + kv.MaxOps*256
	c.AutoCompactionMode, c.AutoCompactionRetention = "revision", "10000"
	c.SnapshotCount = 10_000
	c.UnsafeNoFsync = cfg.NoSync
	c.Logger, c.LogLevel = "zap", "panic"
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	c.EnableGRPCGateway = false
	return c
}

// start turns etcd's panics on damaged data, as far as they come on this goroutine, into errors.
func start(ctx context.Context, cfg EmbeddedConfig) (server *embed.Etcd, err error) {
	defer func() {
		if fault := recover(); fault != nil {
			err = fmt.Errorf("etcd cannot read its data: %v", fault)
		}
	}()
	// etcd maps its files: a truncated one faults on access, which would end the process.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	server, err = embed.StartEtcd(embedConfig(cfg))
	if err != nil {
		return nil, err
	}
	timeout := time.NewTimer(cfg.StartTimeout)
	defer timeout.Stop()
	select {
	case <-server.Server.ReadyNotify():
		return server, nil
	case err = <-server.Err():
	case <-server.Server.StopNotify():
		err = errors.New("stopped while starting")
	case <-timeout.C:
		err = fmt.Errorf("not ready after %s", cfg.StartTimeout)
	case <-ctx.Done():
		err = ctx.Err()
	}
	server.Close()
	return nil, err
}

// lockDir makes this process the only user of the directory, for as long as it lives.
func lockDir(dir string) (unlock func() error, err error) {
	path := filepath.Join(dir, "lock")
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock store: %w", err)
	}
	if err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		holder := make([]byte, 16)
		n, _ := file.Read(holder)
		file.Close()
		return nil, fmt.Errorf("store in %s is in use by process %s; stop that process, or give this one another directory", dir, holder[:n])
	}
	// Whose it is only helps the one who is refused: the lock holds without it.
	if file.Truncate(0) == nil {
		_, _ = file.WriteString(fmt.Sprint(os.Getpid()))
	}
	return file.Close, nil
}
