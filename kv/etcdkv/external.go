package etcdkv

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
)

// ExternalConfig names a cluster that the site runs. It must have been started with
// --max-txn-ops of at least 2048.
type ExternalConfig struct {
	Endpoints          []string
	Prefix             string // put before every key; default "/agora/"
	Username, Password string
	TLS                *tls.Config
	DialTimeout        time.Duration // default 5 s
}

// Dial connects to the cluster and returns when one endpoint has answered.
func Dial(ctx context.Context, cfg ExternalConfig) (*Store, error) {
	if len(cfg.Endpoints) == 0 {
		return nil, errors.New("dial etcd: no endpoint given")
	}
	if cfg.DialTimeout == 0 {
		cfg.DialTimeout = 5 * time.Second
	}
	if cfg.Prefix == "" {
		cfg.Prefix = "/agora/"
	}
	client, err := clientv3.New(clientv3.Config{Endpoints: cfg.Endpoints, DialTimeout: cfg.DialTimeout,
		Username: cfg.Username, Password: cfg.Password, TLS: cfg.TLS, Logger: zap.NewNop(),
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 5 * time.Second})
	if err != nil {
		return nil, fmt.Errorf("dial etcd at %s: %w", strings.Join(cfg.Endpoints, ","), err)
	}
	store := &Store{client: client, prefix: cfg.Prefix}
	probe, cancel := context.WithTimeout(ctx, cfg.DialTimeout)
	defer cancel()
	if _, _, err := store.Get(probe, "probe"); err != nil {
		store.Close()
		return nil, fmt.Errorf("dial etcd at %s: no answer within %s; check that it runs and the address is right: %w",
			strings.Join(cfg.Endpoints, ","), cfg.DialTimeout, err)
	}
	return store, nil
}
