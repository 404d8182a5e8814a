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
	CNIConfigDir   string
	CNIPluginsDir  string // several, separated by colons
	CNITimeout     time.Duration
	CNIRootPersist bool
	ContainerDNS   string
	BridgeSubnet   string
}

func defaultNetworks() NetworkOptions {
	return NetworkOptions{CNITimeout: 30 * time.Second, BridgeSubnet: "10.63.0.0/16"}
}

func (c *Config) networkFlags(set *flags.Set) {
	set.String(&c.CNIConfigDir, "network_cni_config_dir", "directory of CNI configurations, read again for each container")
	set.String(&c.CNIPluginsDir, "network_cni_plugins_dir", "directories of CNI plugins, separated by colons")
	set.Duration(&c.CNITimeout, "network_cni_timeout", "time for the plugins of one network to answer, then they are killed")
	set.Bool(&c.CNIRootPersist, "network_cni_root_dir_persist", "accepted for compatibility; what was attached always survives a reboot")
	set.String(&c.ContainerDNS, "default_container_dns", "JSON: name servers of container networks whose plugin names none")
	set.String(&c.BridgeSubnet, "bridge_subnet", "where the network agora/bridge takes its addresses from")
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
	if _, err := netip.ParsePrefix(c.BridgeSubnet); err != nil {
		return fmt.Errorf("--bridge_subnet=%s is not a network such as 10.63.0.0/16", c.BridgeSubnet)
	}
	return nil
}
