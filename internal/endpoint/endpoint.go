// Package endpoint owns what a daemon listens on and what it tells others: --ip, --ip_discovery_command,
// --advertise_ip, --advertise_port, --hostname and --hostname_lookup of Mesos.
//
// It promises that an address told to others is one that can be asked: never 0.0.0.0. It refuses to
// look names up in DNS: a daemon starts the same with and without it.
package endpoint

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"time"

	"agora.dev/agora/internal/flags"
)

// Options are those of one daemon beside --ip and --port.
type Options struct {
	// AdvertiseIP and AdvertisePort are told to others; empty and 0: what is listened on.
	AdvertiseIP   string
	AdvertisePort int
	// Discovery is a command that prints the address to listen on.
	Discovery string
	// Lookup has the machine's name told to others, where --hostname says nothing; else the address is.
	Lookup bool
}

// Default looks the name up.
func Default() Options { return Options{Lookup: true} }

// Flags defines the options.
func (o *Options) Flags(set *flags.Set) {
	set.String(&o.AdvertiseIP, "advertise_ip", "Address told to others, where it is not --ip.")
	set.Int(&o.AdvertisePort, "advertise_port", "Port told to others, where it is not --port.")
	set.String(&o.Discovery, "ip_discovery_command", "Command that prints the address to listen on; not together with --ip.")
	set.Bool(&o.Lookup, "hostname_lookup", "Tell others the machine's name where --hostname is not given; else the address.")
}

// Listen gives the address to listen on: ip, or what the command prints when ip is the default.
func (o Options) Listen(ip, standard string) (net.IP, error) {
	if o.Discovery != "" {
		if ip != standard {
			return nil, fmt.Errorf("--ip=%s and --ip_discovery_command both name the address to listen on: give one of them", ip)
		}
		found, err := Discover(o.Discovery)
		if err != nil {
			return nil, fmt.Errorf("--ip_discovery_command: %w", err)
		}
		ip = found
	}
	parsed := net.ParseIP(ip)
	if parsed == nil {
		return nil, fmt.Errorf("--ip=%s is not an address", ip)
	}
	if o.AdvertiseIP != "" && net.ParseIP(o.AdvertiseIP) == nil {
		return nil, fmt.Errorf("--advertise_ip=%s is not an address", o.AdvertiseIP)
	}
	if o.AdvertisePort < 0 || o.AdvertisePort > 65535 {
		return nil, fmt.Errorf("--advertise_port=%d is not a port", o.AdvertisePort)
	}
	return parsed, nil
}

// discoveryTime bounds the command.
const discoveryTime = 30 * time.Second

// Discover runs a command that prints an address.
func Discover(command string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), discoveryTime)
	defer cancel()
	var complaint bytes.Buffer
	run := exec.CommandContext(ctx, "/bin/sh", "-c", command)
	run.Stderr = &complaint
	run.WaitDelay = time.Second
	out, err := run.Output()
	if err != nil {
		return "", fmt.Errorf("%q: %w: %s", command, err, bytes.TrimSpace(complaint.Bytes()))
	}
	text := strings.TrimSpace(string(out))
	if net.ParseIP(text) == nil {
		return "", fmt.Errorf("%q printed %.80q, which is not an address", command, text)
	}
	return text, nil
}

// Advertised are the address and the port that others are told, of a daemon that listens on ip and port.
func (o Options) Advertised(ip net.IP, port int) (string, int) {
	if o.AdvertisePort != 0 {
		port = o.AdvertisePort
	}
	if o.AdvertiseIP != "" {
		return o.AdvertiseIP, port
	}
	return outward(ip).String(), port
}

// outward is an address of this machine that others reach, for one who listens on all of them: the first
// that is neither loopback nor of one link alone, IPv4 before IPv6; loopback where there is no other.
func outward(ip net.IP) net.IP {
	if !ip.IsUnspecified() {
		return ip
	}
	if routed := source(); routed != nil {
		return routed
	}
	found := net.IPv4(127, 0, 0, 1)
	addresses, _ := net.InterfaceAddrs()
	for _, address := range addresses {
		network, ok := address.(*net.IPNet)
		switch {
		case !ok || !network.IP.IsGlobalUnicast():
		case network.IP.To4() != nil:
			return network.IP
		case found.IsLoopback():
			found = network.IP
		}
	}
	return found
}

// source is the address from which this machine reaches the world, nil where no route leads there. Nothing is sent.
func source() net.IP {
	conn, err := net.Dial("udp4", "192.0.2.1:9") // of TEST-NET-1, which nobody has
	if err != nil {
		return nil
	}
	defer conn.Close()
	return conn.LocalAddr().(*net.UDPAddr).IP
}

// Hostname is the name told to others of a daemon that listens on ip and has been given none.
func (o Options) Hostname(ip net.IP) (string, error) {
	if !o.Lookup {
		told, _ := o.Advertised(ip, 0)
		return told, nil
	}
	name, err := os.Hostname()
	if err != nil {
		return "", fmt.Errorf("find the name of this machine: %w; give it with --hostname", err)
	}
	return name, nil
}
