// Package cni puts containers into networks of their own with plugins of the Container
// Network Interface.
//
// It owns the network namespaces of containers, what plugins were told about each, and
// the files in /etc that follow from it. It promises that what was attached is
// detached, by this agent or the next, with the configuration it was attached with, and
// that no container's wish selects a program outside the plugins' directories. It
// refuses to know how a network works: that is the business of plugins.
// See docs/design/networks.md.
package cni

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	mesos "agora.dev/agora/api/mesos/v1"
	"github.com/containernetworking/cni/libcni"
	"google.golang.org/protobuf/proto"
)

// DefaultTimeout bounds one call of a plugin.
const DefaultTimeout = 30 * time.Second

// Config is what an isolator needs to know.
type Config struct {
	// Dir holds records and namespaces; it must survive a reboot.
	Dir string
	// ConfigDir has the configurations of networks; empty means none.
	ConfigDir string
	// PluginDirs have the plugins.
	PluginDirs []string
	// Timeout bounds one attachment or detachment of one network; zero means
	// DefaultTimeout.
	Timeout time.Duration
	// DNS are the servers of networks whose plugin names none.
	DNS DefaultDNS
	// Builtin are plugins within the agent by their type.
	Builtin map[string]Plugin
	// Networks are configurations by the name that containers use, for what
	// ConfigDir does not have.
	Networks map[string][]byte
	// Collect has plugins give back, as the agent starts, what no container of this agent
	// has (GC of CNI 1.1). Nobody else may use the networks of ConfigDir then.
	Collect bool
	Told    Told
	Log     *slog.Logger
}

// Plugin is a CNI plugin that needs no program. Config is what a program reads from its
// standard input, and environment what it finds in CNI_*, without that prefix.
type Plugin interface {
	Run(ctx context.Context, config []byte, environment map[string]string) (result []byte, err error)
}

// Isolator attaches containers to networks. Its methods may be called from any
// goroutine; calls for one container are ordered by it.
type Isolator struct {
	config Config
	log    *slog.Logger
	ctx    context.Context // ends with Close
	close  context.CancelFunc
	wg     sync.WaitGroup
	noDiag sync.Once // logged
	counts counts

	// collecting is held by who collects, shared by who attaches.
	collecting sync.RWMutex

	mu       sync.Mutex
	attached map[string]*Attached
	turns    map[string]*turn
	retrying map[string]bool
}

// Request is a container and the networks that it wants.
type Request struct {
	// Container names it; the value is passed to plugins as CNI_CONTAINERID.
	Container string
	// Hostname is what the container calls itself.
	Hostname string
	// Networks are attached in their order; those without a name are skipped. With
	// none left the container has loopback only.
	Networks []*mesos.NetworkInfo
}

// Attached is a container's place in its networks.
type Attached struct {
	// Namespace is a path of the network namespace.
	Namespace string
	Hostname  string
	// Files are host paths by the path in the container.
	Files map[string]string
	// Infos describe each attachment, with addresses, as for a ContainerStatus.
	Infos []*mesos.NetworkInfo
	// Broken says of a network what is wrong with the container in it.
	Broken map[string]string
}

// New opens the directory of an isolator.
func New(config Config) (*Isolator, error) {
	if config.Log == nil {
		config.Log = slog.Default()
	}
	if config.Timeout <= 0 {
		config.Timeout = DefaultTimeout
	}
	for _, dir := range append([]string{config.ConfigDir}, config.PluginDirs...) {
		if info, err := os.Stat(dir); dir != "" && (err != nil || !info.IsDir()) {
			return nil, fmt.Errorf("networks: %s is not a directory: make it, or correct --network_cni_config_dir and --network_cni_plugins_dir", dir)
		}
	}
	i := &Isolator{config: config, log: config.Log, attached: map[string]*Attached{}, turns: map[string]*turn{}, retrying: map[string]bool{}}
	if err := os.MkdirAll(i.containers(), 0o711); err != nil {
		return nil, fmt.Errorf("networks: %w", err)
	}
	i.ctx, i.close = context.WithCancel(context.Background())
	return i, nil
}

// Close ends what is tried again. Containers keep their networks.
func (i *Isolator) Close() error {
	i.close()
	i.wg.Wait()
	return nil
}

func (i *Isolator) containers() string          { return filepath.Join(i.config.Dir, "containers") }
func (i *Isolator) dir(container string) string { return filepath.Join(i.containers(), container) }

// Attach makes a network namespace and attaches it to each network. After an error
// nothing is left, or is being taken down.
func (i *Isolator) Attach(ctx context.Context, r Request) (*Attached, error) {
	i.collecting.RLock()
	defer i.collecting.RUnlock()
	defer i.turn(r.Container)()
	i.counts.used.Store(true)
	began := time.Now()
	out, err := i.join(ctx, r)
	if err != nil {
		i.counts.attachErrors.Add(1)
		return nil, err
	}
	i.counts.attach.Observe(time.Since(began))
	return out, nil
}

func (i *Isolator) join(ctx context.Context, r Request) (*Attached, error) {
	var wanted []*attachment
	for _, info := range r.Networks {
		if info.GetName() == "" {
			continue
		}
		a, err := i.prepare(info, len(wanted))
		if err != nil {
			return nil, err
		}
		wanted = append(wanted, a)
	}
	out, err := i.attach(ctx, r, wanted)
	if err != nil {
		if left := i.detach(i.ctx, r.Container); left != nil {
			i.later(r.Container, left)
		}
		return nil, err
	}
	i.mu.Lock()
	i.attached[r.Container] = out
	i.mu.Unlock()
	return out, nil
}

func (i *Isolator) attach(ctx context.Context, r Request, wanted []*attachment) (*Attached, error) {
	ns, err := i.hold(r.Container)
	if err != nil {
		return nil, err
	}
	record := &record{Container: r.Container, Hostname: r.Hostname}
	for _, a := range wanted {
		// Written first: whoever finds it must be able to detach.
		record.Attachments = append(record.Attachments, a)
		if err := record.save(i.dir(r.Container)); err != nil {
			return nil, err
		}
		if err := i.add(ctx, r.Container, ns, a); err != nil {
			return nil, fmt.Errorf("network %q: %w", a.Network, err)
		}
	}
	if err := record.save(i.dir(r.Container)); err != nil {
		return nil, err
	}
	if err := i.writeFiles(record); err != nil {
		return nil, err
	}
	return i.describe(record), nil
}

func (i *Isolator) describe(r *record) *Attached {
	dir := i.dir(r.Container)
	out := &Attached{Namespace: filepath.Join(dir, namespaceFile), Hostname: r.Hostname, Files: map[string]string{}}
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} {
		out.Files["/etc/"+name] = filepath.Join(dir, name)
	}
	for _, a := range r.Attachments {
		out.Infos = append(out.Infos, a.info())
	}
	return out
}

// Find tells where a container is that was attached; nil when it has no networks of its
// own.
func (i *Isolator) Find(container string) *Attached {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.attached[container]
}

// Detach takes the container's networks down. It is called when no process of the
// container is left, and may be called again. What fails is repeated in the background
// and the error returned.
func (i *Isolator) Detach(ctx context.Context, container string) error {
	defer i.turn(container)()
	i.mu.Lock()
	known := i.attached[container] != nil
	delete(i.attached, container)
	busy := i.retrying[container]
	i.mu.Unlock()
	if busy {
		return nil
	}
	began := time.Now()
	err := i.detach(ctx, container)
	if err != nil {
		i.counts.detachErrors.Add(1)
		i.later(container, err)
		return err
	}
	if known { // else it was on the host's network
		i.counts.detach.Observe(time.Since(began))
	}
	return nil
}

func (i *Isolator) detach(ctx context.Context, container string) error {
	dir := i.dir(container)
	record, err := load(dir)
	if err != nil {
		if !errors.Is(err, os.ErrNotExist) {
			i.log.Warn("network record unreadable: its addresses may stay taken", "container", container, "error", err)
		}
		return i.release(container)
	}
	ns := filepath.Join(dir, namespaceFile)
	if !isMount(ns) {
		ns = "" // after a reboot
	}
	var failed []error
	for n := len(record.Attachments) - 1; n >= 0; n-- {
		a := record.Attachments[n]
		if err := i.del(ctx, container, ns, a); err != nil {
			failed = append(failed, fmt.Errorf("detach container %s from network %q: %w", container, a.Network, err))
			continue
		}
		record.Attachments = append(record.Attachments[:n], record.Attachments[n+1:]...)
	}
	if len(failed) > 0 {
		return errors.Join(append(failed, record.save(dir))...)
	}
	return i.release(container)
}

// Pauses between attempts to detach.
const (
	firstPause = time.Second
	lastPause  = time.Minute
)

// later repeats a detachment until it succeeds.
func (i *Isolator) later(container string, cause error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.retrying[container] || i.ctx.Err() != nil {
		return
	}
	i.retrying[container] = true
	i.log.Warn("network not detached, trying again", "container", container, "error", cause)
	i.wg.Go(func() {
		defer func() {
			i.mu.Lock()
			delete(i.retrying, container)
			i.mu.Unlock()
		}()
		for pause := firstPause; ; pause = min(2*pause, lastPause) {
			select {
			case <-time.After(pause):
			case <-i.ctx.Done():
				return // the next agent finds the record
			}
			done := i.turn(container)
			err := i.detach(i.ctx, container)
			done()
			if err == nil {
				i.log.Info("network detached", "container", container)
				return
			}
			i.log.Debug("network not detached", "container", container, "error", err)
		}
	})
}

// Recover takes up the containers that live and has the networks of all others taken
// down in the background. Then it asks plugins how networks are.
func (i *Isolator) Recover(live []string) error {
	entries, err := os.ReadDir(i.containers())
	if err != nil {
		return fmt.Errorf("recover networks: %w", err)
	}
	alive := map[string]bool{}
	for _, id := range live {
		alive[id] = true
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	whole := true // every live container is known
	var ending sync.WaitGroup
	for _, e := range entries {
		id := e.Name()
		record, err := load(i.dir(id))
		if alive[id] && err == nil {
			i.attached[id] = i.describe(record)
			continue
		}
		whole = whole && !alive[id]
		if !alive[id] {
			ending.Add(1)
			i.wg.Go(func() {
				defer ending.Done()
				_ = i.Detach(i.ctx, id)
			})
		}
	}
	i.wg.Go(func() {
		ending.Wait()
		i.survey(whole)
	})
	return nil
}

// Clear takes down every container's networks. No container may be left.
func (i *Isolator) Clear(ctx context.Context) error {
	entries, err := os.ReadDir(i.containers())
	for _, e := range entries {
		err = errors.Join(err, i.Detach(ctx, e.Name()))
	}
	return err
}

// turn lets one caller at a time work on a container.
type turn struct {
	mu    sync.Mutex
	users int
}

func (i *Isolator) turn(container string) (done func()) {
	i.mu.Lock()
	t := i.turns[container]
	if t == nil {
		t = &turn{}
		i.turns[container] = t
	}
	t.users++
	i.mu.Unlock()
	t.mu.Lock()
	return func() {
		t.mu.Unlock()
		i.mu.Lock()
		defer i.mu.Unlock()
		if t.users--; t.users == 0 {
			delete(i.turns, container)
		}
	}
}

func (i *Isolator) runtime(container, ns string, a *attachment) (*libcni.CNIConfig, *libcni.RuntimeConf) {
	c := libcni.NewCNIConfigWithCacheDir(i.config.PluginDirs, filepath.Join(i.dir(container), "cache"), &runner{builtin: i.config.Builtin})
	rt := &libcni.RuntimeConf{ContainerID: container, NetNS: ns, IfName: a.Interface}
	if ports := a.ports(); len(ports) > 0 {
		rt.CapabilityArgs = map[string]any{"portMappings": ports}
	}
	return c, rt
}

func (i *Isolator) add(ctx context.Context, container, ns string, a *attachment) error {
	ctx, cancel := context.WithTimeout(ctx, i.config.Timeout)
	defer cancel()
	list, err := libcni.NetworkConfFromBytes(a.Config)
	if err != nil {
		return err
	}
	c, rt := i.runtime(container, ns, a)
	result, err := c.AddNetworkList(ctx, list, rt)
	if err != nil {
		return err
	}
	return a.keep(result)
}

func (i *Isolator) del(ctx context.Context, container, ns string, a *attachment) error {
	ctx, cancel := context.WithTimeout(ctx, i.config.Timeout)
	defer cancel()
	list, err := libcni.NetworkConfFromBytes(a.Config)
	if err != nil {
		return err
	}
	c, rt := i.runtime(container, ns, a)
	return c.DelNetworkList(ctx, list, rt)
}

// info is what the framework asked for, with the addresses that it got.
func (a *attachment) info() *mesos.NetworkInfo {
	out := &mesos.NetworkInfo{}
	_ = proto.Unmarshal(a.Info, out)
	out.IpAddresses = nil
	for _, address := range a.Addresses {
		protocol := mesos.NetworkInfo_IPv4
		if address.IP.To4() == nil {
			protocol = mesos.NetworkInfo_IPv6
		}
		text := address.IP.String()
		out.IpAddresses = append(out.IpAddresses, &mesos.NetworkInfo_IPAddress{Protocol: &protocol, IpAddress: &text})
	}
	return out
}
