package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"agora.dev/agora/agent/containerlogger"
	"agora.dev/agora/agent/oversubscription"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/internal/legacy"
)

// ModuleOptions are Mesos's lists of modules. Libraries are never loaded: of the modules that come with Mesos and
// that are part of this program, the parameters are taken over; any other is refused by name.
type ModuleOptions struct {
	Modules    string // JSON, or the file that holds it
	ModulesDir string // of such files
}

func (c *Config) moduleFlags(set *flags.Set) {
	set.String(&c.Modules, "modules", "parameters of "+strings.Join(slices.Sorted(maps.Keys(modules)), ", ")+
		`, as {"libraries":[{"modules":[{"name":...,"parameters":[{"key":...,"value":...}]}]}]}, or the file that holds it`)
	set.Path(&c.ModulesDir, "modules_dir", "directory of such files; not together with --modules")
}

// moduleList is Mesos's Modules.
type moduleList struct {
	Libraries []struct {
		Modules []struct {
			Name       string
			Parameters []struct{ Key, Value string }
		}
	}
}

// modules are those whose parameters are known, with what takes one.
var modules = map[string]func(c *Config, key, value string) error{
	containerlogger.Logrotate:    (*Config).loggerParameter,
	oversubscription.FixedModule: (*Config).estimatorParameter,
	oversubscription.LoadModule:  (*Config).controllerParameter,
}

// applyModules reads the lists once.
func (c *Config) applyModules() error {
	if c.Modules != "" && c.ModulesDir != "" {
		return errors.New("--modules and --modules_dir both list modules: give one of them")
	}
	texts, err := c.moduleTexts()
	if err != nil {
		return err
	}
	c.Modules, c.ModulesDir = "", ""
	for _, where := range slices.Sorted(maps.Keys(texts)) {
		if err := c.applyModuleList(texts[where]); err != nil {
			return fmt.Errorf("%s: %w", where, err)
		}
	}
	return nil
}

// moduleTexts are the lists by where they stand.
func (c *Config) moduleTexts() (map[string][]byte, error) {
	texts := map[string][]byte{}
	switch {
	case strings.HasPrefix(c.Modules, "/"):
		content, err := os.ReadFile(c.Modules)
		if err != nil {
			return nil, fmt.Errorf("--modules: %w", err)
		}
		texts["--modules="+c.Modules] = content
	case c.Modules != "":
		texts["--modules"] = []byte(c.Modules)
	case c.ModulesDir != "":
		entries, err := os.ReadDir(c.ModulesDir)
		if err != nil {
			return nil, fmt.Errorf("--modules_dir: %w", err)
		}
		for _, entry := range entries {
			file := filepath.Join(c.ModulesDir, entry.Name())
			content, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("--modules_dir: %w", err)
			}
			texts[file] = content
		}
	}
	return texts, nil
}

func (c *Config) applyModuleList(text []byte) error {
	var list moduleList
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	for _, library := range list.Libraries {
		for _, module := range library.Modules {
			take := modules[module.Name]
			if take == nil {
				return fmt.Errorf("module %q is not supported: %s; known by name are %s", module.Name, legacy.Libraries,
					strings.Join(slices.Sorted(maps.Keys(modules)), ", "))
			}
			for _, parameter := range module.Parameters {
				if err := take(c, parameter.Key, parameter.Value); err != nil {
					return fmt.Errorf("module %s, parameter %s: %w", module.Name, parameter.Key, err)
				}
			}
		}
	}
	return nil
}

// errUnknownParameter is for one that its module does not have.
var errUnknownParameter = errors.New("it is unknown")

// The parameters of a module that is listed and not chosen mean nothing, as in Mesos.

func (c *Config) loggerParameter(key, value string) (err error) {
	if c.ContainerLogger != containerlogger.Logrotate {
		return nil
	}
	switch key {
	case "max_stdout_size":
		c.MaxStdoutSize, err = flags.ParseBytes(value)
	case "max_stderr_size":
		c.MaxStderrSize, err = flags.ParseBytes(value)
	case "logrotate_stdout_options":
		c.StdoutOptions = value
	case "logrotate_stderr_options":
		c.StderrOptions = value
	case "environment_variable_prefix":
		if value != containerlogger.Prefix {
			err = fmt.Errorf("%q is not supported, %s is", value, containerlogger.Prefix)
		}
	case "launcher_dir", "logrotate_path", "libprocess_num_worker_threads": // there is no process that rotates
	default:
		err = errUnknownParameter
	}
	return err
}

func (c *Config) estimatorParameter(key, value string) error {
	if c.ResourceEstimator != oversubscription.FixedModule {
		return nil
	}
	if key != "resources" {
		return errUnknownParameter
	}
	c.ResourceEstimatorParameters = "resources=" + value
	return nil
}

func (c *Config) controllerParameter(key, value string) error {
	if c.QoSController != oversubscription.LoadModule {
		return nil
	}
	if key != "load_threshold_5min" && key != "load_threshold_15min" {
		return errUnknownParameter
	}
	if c.QoSControllerParameters != "" {
		c.QoSControllerParameters += ","
	}
	c.QoSControllerParameters += key + "=" + value
	return nil
}
