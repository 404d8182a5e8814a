package cni

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	"github.com/containernetworking/cni/libcni"
	"google.golang.org/protobuf/proto"
)

// validType is what a plugin may be called: never a path (CVE-2021-20206).
var validType = regexp.MustCompile(`^[a-z0-9][a-z0-9_.-]*$`)

// maxConfig bounds a configuration file.
const maxConfig = 1 << 20

// prepare reads the configuration of a network as it is now and adds what Mesos tells
// plugins.
func (i *Isolator) prepare(info *mesos.NetworkInfo, index int) (*attachment, error) {
	for _, p := range info.GetPortMappings() {
		if err := checkMapping(p); err != nil {
			return nil, fmt.Errorf("network %q: %w", info.GetName(), err)
		}
	}
	config, err := i.find(info.GetName())
	if err != nil {
		return nil, fmt.Errorf("network %q: %w", info.GetName(), err)
	}
	list, err := withMetadata(config, info)
	if err != nil {
		return nil, fmt.Errorf("network %q: %w", info.GetName(), err)
	}
	if _, err := libcni.NetworkConfFromBytes(list); err != nil {
		return nil, fmt.Errorf("network %q: %w", info.GetName(), err)
	}
	raw, err := proto.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("network %q: %w", info.GetName(), err)
	}
	return &attachment{Network: info.GetName(), Interface: fmt.Sprintf("eth%d", index), Config: list, Info: raw}, nil
}

func checkMapping(p *mesos.NetworkInfo_PortMapping) error {
	for _, number := range []uint32{p.GetHostPort(), p.GetContainerPort()} {
		if number == 0 || number > 65535 {
			return fmt.Errorf("port mapping %d to %d: ports are 1 to 65535", p.GetHostPort(), p.GetContainerPort())
		}
	}
	switch p.GetProtocol() {
	case "", "tcp", "udp":
		return nil
	}
	return fmt.Errorf("port mapping of %d: protocol %q is neither tcp nor udp", p.GetHostPort(), p.GetProtocol())
}

// errUnknownNetwork is for a name that no configuration has.
var errUnknownNetwork = errors.New("unknown: no configuration in --network_cni_config_dir has this name")

// find returns the configuration that has the name. A file that cannot be read matters
// only when no other has it.
func (i *Isolator) find(name string) (map[string]any, error) {
	var broken error
	if i.config.ConfigDir != "" {
		files, err := configFiles(i.config.ConfigDir)
		if err != nil {
			return nil, err
		}
		for _, file := range files {
			config, err := readConfig(file)
			if err != nil {
				broken = errors.Join(broken, err)
			} else if config["name"] == name {
				if err := checkTypes(config); err != nil {
					return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
				}
				return config, nil
			}
		}
	}
	if config, ok := i.config.Networks[name]; ok {
		return decodeConfig(bytes.NewReader(config))
	}
	if broken != nil {
		return nil, fmt.Errorf("%w; not readable: %w", errUnknownNetwork, broken)
	}
	return nil, errUnknownNetwork
}

func configFiles(dir string) ([]string, error) {
	return libcni.ConfFiles(dir, []string{".conf", ".conflist", ".json"})
}

func readConfig(file string) (map[string]any, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	config, err := decodeConfig(io.LimitReader(f, maxConfig))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", filepath.Base(file), err)
	}
	return config, nil
}

func decodeConfig(r io.Reader) (map[string]any, error) {
	var config map[string]any
	d := json.NewDecoder(r)
	d.UseNumber() // numbers stay as they were written
	if err := d.Decode(&config); err != nil {
		return nil, err
	}
	if config == nil {
		return nil, errors.New("not an object")
	}
	return config, nil
}

// plugins are the members of a list, or the one that a single configuration is.
func plugins(config map[string]any) ([]map[string]any, error) {
	list, ok := config["plugins"].([]any)
	if !ok {
		return []map[string]any{config}, nil
	}
	var out []map[string]any
	for _, entry := range list {
		plugin, ok := entry.(map[string]any)
		if !ok {
			return nil, errors.New("plugins: an entry is not an object")
		}
		out = append(out, plugin)
	}
	return out, nil
}

// checkTypes looks at every name that a plugin may turn into a program.
func checkTypes(config map[string]any) error {
	list, err := plugins(config)
	if err != nil {
		return err
	}
	for _, plugin := range list {
		if err := checkType(plugin, true); err != nil {
			return err
		}
	}
	return nil
}

func checkType(plugin map[string]any, required bool) error {
	kind, given := plugin["type"]
	name, _ := kind.(string)
	if (required || given) && !validType.MatchString(name) {
		return fmt.Errorf("plugin type %q: must be a file name of lower-case letters, digits, '_', '.' and '-'", fmt.Sprint(kind))
	}
	for _, key := range []string{"ipam", "delegate"} {
		if inner, ok := plugin[key].(map[string]any); ok {
			if err := checkType(inner, false); err != nil {
				return fmt.Errorf("%s: %w", key, err)
			}
		}
	}
	return nil
}

// withMetadata makes a list of plugins in which each has the NetworkInfo where Mesos
// puts it: args."org.apache.mesos".network_info.
func withMetadata(config map[string]any, info *mesos.NetworkInfo) (json.RawMessage, error) {
	b, err := codec.AppendJSON(nil, info)
	if err != nil {
		return nil, err
	}
	list, err := plugins(config)
	if err != nil {
		return nil, err
	}
	for _, plugin := range list {
		args, _ := plugin["args"].(map[string]any)
		if args == nil {
			args = map[string]any{}
		}
		args["org.apache.mesos"] = map[string]any{"network_info": json.RawMessage(b)}
		plugin["args"] = args
	}
	return json.Marshal(asList(config))
}

// asList makes a list of one of a single plugin.
func asList(config map[string]any) map[string]any {
	if _, isList := config["plugins"]; isList {
		return config
	}
	version, name := config["cniVersion"], config["name"]
	if version == nil {
		version = "0.2.0" // the oldest: what a configuration without a version means
	}
	return map[string]any{"cniVersion": version, "name": name, "plugins": []any{config}}
}
