// Package bridge is the network of containers that needs nothing installed: a CNI plugin
// within the agent, on a Linux bridge with addresses, port mappings and filters of its own.
//
// It promises that bridge, rules and settings of the machine exist only while a container
// uses them, that a mapped port is open on this machine's addresses alone, and that a
// container can use no other addresses than its own. It refuses to touch what it did not
// make. See docs/design/networks.md.
package bridge

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
)

// Type is the plugin's name in configurations.
const Type = "agora-bridge"

// Network is the name under which containers ask for it; Marathon asks for MarathonName.
const (
	Network      = "agora/bridge"
	MarathonName = "mesos-bridge"
)

// Configuration is the network as CNI wants it described.
const Configuration = `{"cniVersion":"1.1.0","name":"agora-bridge","plugins":[{"type":"agora-bridge","capabilities":{"portMappings":true}}]}`

// Config is what a bridge needs to know.
type Config struct {
	// Dir holds what is leased; it must survive a reboot.
	Dir string
	// Name is that of the bridge, of its tables of rules and the start of its
	// neighbours': "agora-" and what tells the agents of one machine apart, 15 bytes at
	// most.
	Name string
	// Pool is where the bridge takes its block of addresses from.
	Pool netip.Prefix
	// Pool6 is that of IPv6 addresses; invalid for containers with IPv4 alone.
	Pool6 netip.Prefix
	Log   *slog.Logger
}

// Bridge implements cni.Plugin.
type Bridge struct {
	config Config
	log    *slog.Logger
	stop   context.CancelFunc
	done   sync.WaitGroup

	mu     sync.Mutex
	leases *leases
	no6    string // why there is no IPv6, as it was logged
}

// DefaultPool is where addresses come from by default.
var DefaultPool = netip.MustParsePrefix("10.63.0.0/16")

// New opens the directory of a bridge and has its rules watched.
func New(config Config) (*Bridge, error) {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if len(config.Name) > 15 {
		return nil, fmt.Errorf("bridge %s: the name is longer than 15 bytes", config.Name)
	}
	if !config.Pool.IsValid() {
		config.Pool = DefaultPool
	}
	if config.Pool = config.Pool.Masked(); !config.Pool.Addr().Is4() || config.Pool.Bits() > blockBits {
		return nil, fmt.Errorf("--bridge_subnet=%s: must be an IPv4 network of /%d or larger", config.Pool, blockBits)
	}
	var err error
	if config.Pool6, err = checkPool6(config.Pool6); err != nil {
		return nil, err
	}
	leases, err := openLeases(filepath.Join(config.Dir, "leases"))
	if err != nil {
		return nil, fmt.Errorf("bridge: %w", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	b := &Bridge{config: config, log: config.Log, stop: stop, leases: leases}
	b.done.Go(func() { b.watch(ctx) })
	return b, nil
}

// Close ends the watch. What containers use stays.
func (b *Bridge) Close() error {
	b.stop()
	b.done.Wait()
	return nil
}

// watchInterval is how soon rules that somebody flushed are back.
const watchInterval = 5 * time.Second

func (b *Bridge) watch(ctx context.Context) {
	tick := time.NewTicker(watchInterval)
	defer tick.Stop()
	for {
		if err := b.Check(); err != nil {
			b.log.Warn("rules of the bridge are not in force", "bridge", b.config.Name, "error", err)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// Check makes the rules again when they are not there though containers need them.
func (b *Bridge) Check() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.leases.byAddress) == 0 || !bridgeExists(b.config.Name) {
		return nil
	}
	f := b.firewall()
	if whole, err := f.whole(); whole || err != nil {
		return err
	}
	b.log.Warn("rules of the bridge were removed by somebody, making them again", "bridge", b.config.Name)
	return f.replace(b.leases.all())
}

func (b *Bridge) firewall() *firewall {
	return &firewall{name: b.config.Name, block: b.leases.block, block6: b.leases.block6}
}

// request is a plugin's configuration and environment.
type request struct {
	CNIVersion    string `json:"cniVersion"`
	RuntimeConfig struct {
		PortMappings []Port `json:"portMappings"`
	} `json:"runtimeConfig"`
	Valid []types.GCAttachment `json:"cni.dev/valid-attachments"`

	container, namespace, name string
}

// Port is a port of the machine that leads to one of a container.
type Port struct {
	HostPort      uint16 `json:"hostPort"`
	ContainerPort uint16 `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

// Run implements cni.Plugin.
func (b *Bridge) Run(ctx context.Context, config []byte, environment map[string]string) ([]byte, error) {
	r := request{container: environment["CONTAINERID"], namespace: environment["NETNS"], name: environment["IFNAME"]}
	if err := json.Unmarshal(config, &r); err != nil {
		return nil, fmt.Errorf("%s: configuration: %w", Type, err)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	switch command := environment["COMMAND"]; command {
	case "ADD":
		l, err := b.add(r)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", Type, err)
		}
		return b.result(r, l)
	case "DEL":
		return nil, b.del(r)
	case "VERSION":
		return versions()
	case "STATUS":
		return nil, b.status()
	case "CHECK":
		return nil, b.check(r)
	case "GC":
		return nil, b.collect(r)
	default:
		return nil, fmt.Errorf("%s: command %s is not supported", Type, command)
	}
}

func (b *Bridge) add(r request) (*lease, error) {
	if l := b.leases.find(r.container, r.name); l != nil {
		return nil, fmt.Errorf("container %s is attached already", r.container)
	}
	if len(b.leases.byAddress) == 0 {
		block, err := freeBlock(b.config.Pool)
		if err != nil {
			return nil, err
		}
		b.leases.block = block
		b.leases.block6 = b.block6()
	}
	if err := b.free(r.RuntimeConfig.PortMappings); err != nil {
		return nil, err
	}
	l, err := b.leases.take(r)
	if err != nil {
		return nil, err
	}
	if err := b.connect(r, l); err != nil {
		return nil, errors.Join(err, b.del(r))
	}
	return l, nil
}

// block6 picks the block of IPv6, and says why where there is none: once.
func (b *Bridge) block6() netip.Prefix {
	block, err := b.pick6()
	switch {
	case err == nil:
		b.no6 = ""
	case b.no6 != err.Error():
		b.no6 = err.Error()
		b.log.Info("containers on the bridge have IPv4 alone", "bridge", b.config.Name, "reason", b.no6)
	}
	return block
}

// free refuses ports of the machine that somebody has.
func (b *Bridge) free(ports []Port) error {
	wanted := map[Port]bool{}
	for _, p := range ports {
		key := Port{HostPort: p.HostPort, Protocol: p.Protocol}
		if wanted[key] {
			return fmt.Errorf("port %d/%s of the machine is mapped twice", p.HostPort, p.Protocol)
		}
		wanted[key] = true
	}
	for _, l := range b.leases.byAddress {
		for _, p := range l.Ports {
			if wanted[Port{HostPort: p.HostPort, Protocol: p.Protocol}] {
				return fmt.Errorf("port %d/%s of the machine is mapped to container %s", p.HostPort, p.Protocol, l.Container)
			}
		}
	}
	for p := range wanted {
		if err := unused(p, b.leases.block6.IsValid()); err != nil {
			return fmt.Errorf("port %d/%s of the machine is in use by another program: %w", p.HostPort, p.Protocol, err)
		}
	}
	return nil
}

// unused binds the port for a moment, for both kinds of addresses if six is set.
func unused(p Port, six bool) error {
	address := fmt.Sprintf(":%d", p.HostPort)
	for _, kind := range []string{"4", "6"} {
		if kind == "6" && !six {
			break
		}
		c, err := bind(p.Protocol+kind, address)
		if err != nil {
			return err
		}
		if err := c.Close(); err != nil {
			return err
		}
	}
	return nil
}

func bind(network, address string) (io.Closer, error) {
	if strings.HasPrefix(network, "udp") {
		return net.ListenPacket(network, address)
	}
	return net.Listen(network, address)
}

func (b *Bridge) connect(r request, l *lease) error {
	if err := makeBridge(b.config.Name, b.leases.gateway(), b.leases.gateway6()); err != nil {
		return err
	}
	if err := makeVeth(b.config.Name, r.namespace, l, b.leases.gateway(), b.leases.gateway6()); err != nil {
		return err
	}
	f := b.firewall()
	if f.add(l) == nil {
		return nil
	}
	return f.replace(b.leases.all()) // the first one, or somebody flushed the rules
}

// del takes back what add gave, in whatever state it is. The last one takes the bridge
// along.
func (b *Bridge) del(r request) error {
	l := b.leases.find(r.container, r.name)
	if l == nil {
		return nil
	}
	last := len(b.leases.byAddress) == 1
	// The kernel makes each of the two wait for a grace period: side by side it is one.
	links := make(chan error, 1)
	go func() {
		err := removeLink(l.Veth)
		if last {
			err = errors.Join(err, removeBridge(b.config.Name))
		}
		links <- err
	}()
	err := b.forget(l, last)
	if err = errors.Join(err, <-links); err != nil {
		return fmt.Errorf("%s: %w", Type, err)
	}
	return b.leases.give(l)
}

// forget takes a container out of the rules; the last one takes them along.
func (b *Bridge) forget(l *lease, last bool) error {
	f := b.firewall()
	switch {
	case last:
		return f.remove()
	case f.del(l) == nil:
		return nil
	case !bridgeExists(b.config.Name): // after a reboot there are none
		return nil
	}
	return f.replace(b.leases.allBut(l)) // somebody flushed the rules
}

func (b *Bridge) result(r request, l *lease) ([]byte, error) {
	gateway := b.leases.gateway()
	version := r.CNIVersion
	if version == "" {
		version = types100.ImplementedSpecVersion
	}
	out := &types100.Result{
		CNIVersion: types100.ImplementedSpecVersion,
		Interfaces: []*types100.Interface{{Name: b.config.Name}, {Name: l.Veth}, {Name: r.name, Mac: l.hardware().String(), Sandbox: r.namespace}},
		IPs: []*types100.IPConfig{{Interface: types100.Int(2), Gateway: gateway.Addr().AsSlice(),
			Address: net.IPNet{IP: l.Address.AsSlice(), Mask: net.CIDRMask(gateway.Bits(), 32)}}},
		Routes: []*types.Route{{Dst: net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}, GW: gateway.Addr().AsSlice()}},
	}
	if l.Address6.IsValid() {
		six := b.leases.gateway6()
		out.IPs = append(out.IPs, &types100.IPConfig{Interface: types100.Int(2), Gateway: six.Addr().AsSlice(), Address: net.IPNet{IP: l.Address6.AsSlice(), Mask: net.CIDRMask(six.Bits(), 128)}})
		out.Routes = append(out.Routes, &types.Route{Dst: net.IPNet{IP: net.IPv6zero, Mask: net.CIDRMask(0, 128)}, GW: six.Addr().AsSlice()})
	}
	converted, err := out.GetAsVersion(version)
	if err != nil {
		return nil, err
	}
	var buffer bytes.Buffer
	if err := converted.PrintTo(&buffer); err != nil {
		return nil, err
	}
	return buffer.Bytes(), nil
}

// removeFile is os.Remove of what may be gone.
func removeFile(name string) error {
	if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}
