package cni

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"

	"agora.dev/agora/internal/vfs"

	mesos "agora.dev/agora/api/mesos/v1"
	"github.com/containernetworking/cni/pkg/types"
	types100 "github.com/containernetworking/cni/pkg/types/100"
	"google.golang.org/protobuf/proto"
)

// record is what is needed to detach a container, and to describe it.
type record struct {
	Container   string
	Hostname    string
	Attachments []*attachment
}

// attachment is one network of a container.
type attachment struct {
	// Network is its name in the container's NetworkInfo, Interface its name inside.
	Network, Interface string
	// Config is the list of plugins as it was used.
	Config json.RawMessage
	// Info is the NetworkInfo, in protobuf.
	Info []byte
	// Addresses and DNS are the plugins' result.
	Addresses []net.IPNet
	DNS       types.DNS
}

func (r *record) save(dir string) error {
	b, err := json.Marshal(r)
	if err != nil {
		return err
	}
	file := filepath.Join(dir, "record.json")
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return fmt.Errorf("record networks: %w", err)
	}
	if err := vfs.Replace(vfs.OS{}, file+".new", file); err != nil {
		return fmt.Errorf("record networks: %w", err)
	}
	return nil
}

func load(dir string) (*record, error) {
	b, err := os.ReadFile(filepath.Join(dir, "record.json"))
	if err != nil {
		return nil, err
	}
	r := &record{}
	if err := json.Unmarshal(b, r); err != nil {
		return nil, err
	}
	if r.Container != filepath.Base(dir) {
		return nil, fmt.Errorf("record of container %q", r.Container)
	}
	return r, nil
}

// list is the name in the configuration, which plugins know.
func (a *attachment) list() string {
	var config struct{ Name string }
	_ = json.Unmarshal(a.Config, &config)
	return config.Name
}

// keep takes what matters of a result of any version.
func (a *attachment) keep(result types.Result) error {
	r, err := types100.GetResult(result)
	if err != nil {
		return fmt.Errorf("result of the plugin: %w", err)
	}
	for _, ip := range r.IPs {
		a.Addresses = append(a.Addresses, ip.Address)
	}
	a.DNS = r.DNS
	return nil
}

// port is an entry of the capability portMappings, as the CNI project's conventions
// spell it.
type port struct {
	HostPort      uint32 `json:"hostPort"`
	ContainerPort uint32 `json:"containerPort"`
	Protocol      string `json:"protocol"`
}

func (a *attachment) ports() (out []port) {
	info := &mesos.NetworkInfo{}
	if proto.Unmarshal(a.Info, info) != nil {
		return nil
	}
	for _, p := range info.GetPortMappings() {
		protocol := p.GetProtocol()
		if protocol == "" {
			protocol = "tcp"
		}
		out = append(out, port{p.GetHostPort(), p.GetContainerPort(), protocol})
	}
	return out
}
