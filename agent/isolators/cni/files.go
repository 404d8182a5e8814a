package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containernetworking/cni/pkg/types"
)

// writeFiles makes hosts, hostname and resolv.conf of a container.
func (i *Isolator) writeFiles(r *record) error {
	resolv, err := i.resolv(r)
	if err != nil {
		return err
	}
	for name, content := range map[string]string{"hosts": hosts(r), "hostname": r.Hostname + "\n", "resolv.conf": resolv} {
		if err := os.WriteFile(filepath.Join(i.dir(r.Container), name), []byte(content), 0o644); err != nil {
			return fmt.Errorf("network files: %w", err)
		}
	}
	return nil
}

func hosts(r *record) string {
	var b strings.Builder
	b.WriteString("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n")
	for _, a := range r.Attachments {
		for _, address := range a.Addresses {
			fmt.Fprintf(&b, "%s\t%s\n", address.IP, r.Hostname)
		}
	}
	return b.String()
}

// resolv is what the first plugin with an opinion says, else the agent's default, else
// what the host has.
func (i *Isolator) resolv(r *record) (string, error) {
	for _, a := range r.Attachments {
		if len(a.DNS.Nameservers) > 0 {
			return resolvText(a.DNS), nil
		}
	}
	for _, a := range r.Attachments {
		if dns, ok := i.config.DNS.For(a.Network); ok {
			return resolvText(dns), nil
		}
	}
	return hostResolv("/etc/resolv.conf", "/run/systemd/resolve/resolv.conf")
}

func resolvText(dns types.DNS) string {
	var b strings.Builder
	line := func(name string, values ...string) {
		if len(values) > 0 && values[0] != "" {
			fmt.Fprintf(&b, "%s %s\n", name, strings.Join(values, " "))
		}
	}
	line("domain", dns.Domain)
	line("search", dns.Search...)
	line("options", dns.Options...)
	for _, server := range dns.Nameservers {
		line("nameserver", server)
	}
	return b.String()
}

// hostResolv is the host's file, or behind: a server on the host's loopback is not
// there in the container's.
func hostResolv(file, behind string) (string, error) {
	own, err := os.ReadFile(file)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", fmt.Errorf("network files: %w", err)
	}
	if onlyLoopback(string(own)) {
		if real, err := os.ReadFile(behind); err == nil {
			return offLink(string(real)), nil
		}
	}
	return offLink(string(own)), nil
}

// offLink leaves out servers whose address holds on a link of the host only, as fe80::1%eth0.
func offLink(resolv string) string {
	var b strings.Builder
	for line := range strings.Lines(resolv) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "nameserver" {
			if address, err := netip.ParseAddr(fields[1]); err == nil && address.IsLinkLocalUnicast() && address.Is6() {
				continue
			}
		}
		b.WriteString(line)
	}
	return b.String()
}

func onlyLoopback(resolv string) bool {
	found := false
	for line := range strings.Lines(resolv) {
		if fields := strings.Fields(line); len(fields) >= 2 && fields[0] == "nameserver" {
			if address, err := netip.ParseAddr(fields[1]); err != nil || !address.IsLoopback() {
				return false
			}
			found = true
		}
	}
	return found
}

// DefaultDNS is Mesos's flag --default_container_dns.
type DefaultDNS struct {
	networks map[string]types.DNS
	all      *types.DNS
}

// ParseDNS reads the flag: {"mesos": [{"network_mode": "CNI", "network_name": "n",
// "dns": {"nameservers": [...], "search": [...], "options": [...]}}]}. An entry without a
// name is for every network.
func ParseDNS(flag string) (d DefaultDNS, err error) {
	if strings.TrimSpace(flag) == "" {
		return d, nil
	}
	var content struct {
		Mesos []struct {
			Mode string    `json:"network_mode"`
			Name string    `json:"network_name"`
			DNS  types.DNS `json:"dns"`
		} `json:"mesos"`
		Docker []json.RawMessage `json:"docker"` // for the Docker Engine
	}
	decoder := json.NewDecoder(bytes.NewReader([]byte(flag)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&content); err != nil {
		return d, fmt.Errorf("--default_container_dns: %w", err)
	}
	d.networks = map[string]types.DNS{}
	for _, entry := range content.Mesos {
		_, twice := d.networks[entry.Name]
		switch {
		case entry.Mode != "CNI":
			return d, fmt.Errorf("--default_container_dns: network_mode %q of a mesos entry must be CNI", entry.Mode)
		case twice, entry.Name == "" && d.all != nil:
			return d, fmt.Errorf("--default_container_dns: two entries for network %q", entry.Name)
		case len(entry.DNS.Nameservers) == 0:
			return d, fmt.Errorf("--default_container_dns: no nameservers for network %q", entry.Name)
		case entry.Name == "":
			d.all = &entry.DNS
		default:
			d.networks[entry.Name] = entry.DNS
		}
		for _, server := range entry.DNS.Nameservers {
			if _, err := netip.ParseAddr(server); err != nil {
				return d, fmt.Errorf("--default_container_dns: nameserver %q is not an address", server)
			}
		}
	}
	return d, nil
}

// For returns the servers of a network.
func (d DefaultDNS) For(network string) (types.DNS, bool) {
	if dns, ok := d.networks[network]; ok {
		return dns, true
	}
	if d.all != nil {
		return *d.all, true
	}
	return types.DNS{}, false
}
