package agent

import (
	"fmt"
	"net/netip"
	"path/filepath"
	"time"

	"agora.dev/agora/internal/flags"
)

// NetworkOptions are the options of container networks; those that Mesos has are under
// its names.
type NetworkOptions struct {
	CNIConfigDir  string
	CNIPluginsDir string // several, separated by colons
	CNITimeout    time.Duration
	CNICollect    bool
	ContainerDNS  string
	BridgeSubnet  string
	// BridgeSubnet6 is a network, empty for one that follows from the machine, or "none".
	BridgeSubnet6 string
	CNIMetrics    bool
	SocketSummary bool
	SocketDetails bool
	SNMP          bool
}

func defaultNetworks() NetworkOptions {
	return NetworkOptions{CNITimeout: 30 * time.Second, BridgeSubnet: "10.63.0.0/16", CNIMetrics: true}
}

func (c *Config) networkFlags(set *flags.Set) {
	set.String(&c.CNIConfigDir, "network_cni_config_dir", "directory of CNI configurations, read again for each container")
	set.String(&c.CNIPluginsDir, "network_cni_plugins_dir", "directories of CNI plugins, separated by colons")
	set.Duration(&c.CNITimeout, "network_cni_timeout", "time for the plugins of one network to answer, then they are killed")
	set.FixedBool("network_cni_root_dir_persist", "what was attached always survives a reboot")
	set.Bool(&c.CNICollect, "network_cni_gc", "as the agent starts, have plugins of CNI 1.1 give back what no container of this agent has (GC); only where no other agent or runtime uses these networks")
	set.String(&c.ContainerDNS, "default_container_dns", "JSON: name servers of container networks whose plugin names none")
	set.String(&c.BridgeSubnet, "bridge_subnet", "where the network agora/bridge takes its addresses from")
	set.String(&c.BridgeSubnet6, "bridge_subnet6", "where it takes its IPv6 addresses from, as fd12:3456:789a::/48; empty for a unique local network that follows from the machine, none for IPv4 alone")
	c.networkStatisticsFlags(set)
}

func (c *Config) networkStatisticsFlags(set *flags.Set) {
	set.Bool(&c.CNIMetrics, "network_cni_metrics", "tell in the statistics of containers with networks of their own what passed through their interfaces")
	set.Bool(&c.SocketSummary, "network_enable_socket_statistics_summary", "count their TCP connections, too")
	set.Bool(&c.SocketDetails, "network_enable_socket_statistics_details", "tell the round-trip times of these connections, too")
	set.Bool(&c.SNMP, "network_enable_snmp_statistics", "tell the kernel's counters of IP, ICMP, TCP and UDP in these networks, too")
}

func (c *Config) checkNetworks() error {
	if c.CNITimeout <= 0 {
		return fmt.Errorf("--network_cni_timeout=%s: it must be positive", c.CNITimeout)
	}
	if (c.CNIConfigDir == "") != (c.CNIPluginsDir == "") {
		return fmt.Errorf("--network_cni_config_dir and --network_cni_plugins_dir: give both, or none")
	}
	if c.CNIConfigDir != "" {
		dir, err := filepath.Abs(c.CNIConfigDir)
		if err != nil {
			return err
		}
		c.CNIConfigDir = dir
	}
	if _, err := c.Pool6(func() netip.Prefix { return netip.Prefix{} }); err != nil {
		return err
	}
	if _, err := netip.ParsePrefix(c.BridgeSubnet); err != nil {
		return fmt.Errorf("--bridge_subnet=%s is not a network such as 10.63.0.0/16", c.BridgeSubnet)
	}
	return nil
}

// Pool6 is where agora/bridge takes its IPv6 addresses from: what --bridge_subnet6 names, or
// the usual when it is empty; invalid for IPv4 alone.
func (c *Config) Pool6(usual func() netip.Prefix) (netip.Prefix, error) {
	switch c.BridgeSubnet6 {
	case "none":
		return netip.Prefix{}, nil
	case "":
		return usual(), nil
	}
	pool, err := netip.ParsePrefix(c.BridgeSubnet6)
	if err != nil || pool.Addr().Is4() {
		return pool, fmt.Errorf("--bridge_subnet6=%s is neither an IPv6 network such as fd12:3456:789a::/48, nor none", c.BridgeSubnet6)
	}
	return pool, nil
}
