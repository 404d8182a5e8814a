package assembly

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"

	"agora.dev/agora/agent"
	"agora.dev/agora/agent/isolators/cni"
	"agora.dev/agora/agent/isolators/cni/bridge"
)

// networks are the isolator of networks and the plugin within the agent.
type networks struct {
	*cni.Isolator
	bridge *bridge.Bridge
}

func openNetworks(config agent.Config, log *slog.Logger) (*networks, error) {
	dns, err := cni.ParseDNS(config.ContainerDNS)
	if err != nil {
		return nil, err
	}
	pool, err := netip.ParsePrefix(config.BridgeSubnet)
	if err != nil {
		return nil, err
	}
	pool6, err := config.Pool6(func() netip.Prefix { return bridge.DerivePool6(machine()) })
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(config.WorkDir, "networks")
	b, err := bridge.New(bridge.Config{Dir: filepath.Join(dir, "bridge"), Name: "agora-" + name(config.WorkDir), Pool: pool, Pool6: pool6, Log: log})
	if err != nil {
		return nil, err
	}
	own := []byte(bridge.Configuration)
	i, err := cni.New(cni.Config{Dir: dir, ConfigDir: config.CNIConfigDir, PluginDirs: filepath.SplitList(config.CNIPluginsDir),
		Timeout: config.CNITimeout, DNS: dns, Builtin: map[string]cni.Plugin{bridge.Type: b},
		Networks: map[string][]byte{bridge.Network: own, bridge.MarathonName: own}, Collect: config.CNICollect, Log: log,
		Told: cni.Told{NoTraffic: !config.CNIMetrics, Sockets: config.SocketSummary, RoundTrips: config.SocketDetails, SNMP: config.SNMP}})
	if err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return &networks{i, b}, nil
}

// machine is what tells this machine from others.
func machine() string {
	if id, err := os.ReadFile("/etc/machine-id"); err == nil && len(id) > 0 {
		return string(id)
	}
	name, _ := os.Hostname()
	return name
}

func (n *networks) close() error { return errors.Join(n.Close(), n.bridge.Close()) }

// stop takes down what is left.
func (n *networks) stop(ctx context.Context) error { return n.Clear(ctx) }
