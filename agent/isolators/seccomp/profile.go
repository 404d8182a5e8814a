// Package seccomp owns system call filters: profiles in Docker's format, and their
// compilation to the kernel's filter programs.
//
// It promises that what a profile does not allow is refused, also through the
// machine's other call conventions, and that a call newer than its table answers
// "not implemented", so that programs fall back. It refuses actions it does not know.
package seccomp

import (
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

//go:embed default.json
var defaultProfile []byte

type profile struct {
	DefaultAction   specs.LinuxSeccompAction `json:"defaultAction"`
	DefaultErrnoRet *uint                    `json:"defaultErrnoRet"`
	Syscalls        []rule                   `json:"syscalls"`
}

type rule struct {
	Name     string                   `json:"name"`
	Names    []string                 `json:"names"`
	Action   specs.LinuxSeccompAction `json:"action"`
	ErrnoRet *uint                    `json:"errnoRet"`
	Args     []specs.LinuxSeccompArg  `json:"args"`
	Includes condition                `json:"includes"`
	Excludes condition                `json:"excludes"`
}

type condition struct {
	Caps   []string `json:"caps"`
	Arches []string `json:"arches"`
}

// Default returns the built-in profile for a process with these bounding capabilities.
func Default(caps []string) (*specs.LinuxSeccomp, error) {
	p, err := builtIn()
	if err != nil {
		return nil, err
	}
	return p.filter(caps), nil
}

// builtIn reads the built-in profile once.
var builtIn = sync.OnceValues(func() (profile, error) { return parse(defaultProfile) })

// Texts of Mesos.
const (
	textBoth    = "Invalid Seccomp configuration: 'profile_name' given even though 'unconfined' Seccomp setting is enabled"
	textNoName  = "Missing Seccomp profile name"
	textNoFiles = "seccomp profile %q: this agent has none but the built-in one; start it with --seccomp_config_dir"
)

// Profiles are the filters that an agent has for its containers.
type Profiles struct {
	// Dir holds files in Docker's format (Mesos --seccomp_config_dir); empty for the
	// built-in profile alone.
	Dir string
	// Default is the file of containers that name none (Mesos --seccomp_profile_name);
	// empty means the built-in profile.
	Default string
}

// Check verifies that the default profile exists and compiles.
func (p Profiles) Check() error {
	if p.Default != "" && p.Dir == "" {
		return errors.New("--seccomp_profile_name needs --seccomp_config_dir, the directory that the profile is in")
	}
	if p.Dir != "" {
		if info, err := os.Stat(p.Dir); err != nil || !info.IsDir() {
			return fmt.Errorf("--seccomp_config_dir: %s is not a directory", p.Dir)
		}
	}
	if p.Default == "" {
		return nil
	}
	filter, err := p.named(p.Default, nil)
	if err == nil {
		_, err = Compile(filter)
	}
	if err != nil {
		return fmt.Errorf("--seccomp_profile_name: %w", err)
	}
	return nil
}

// For is the filter of a container with these bounding capabilities; nil for none.
func (p Profiles) For(info *mesos.SeccompInfo, caps []string) (*specs.LinuxSeccomp, error) {
	switch {
	case info == nil && p.Default == "":
		return Default(caps)
	case info == nil:
		return p.named(p.Default, caps)
	case info.GetUnconfined() && info.ProfileName != nil:
		return nil, errors.New(textBoth)
	case info.GetUnconfined():
		return nil, nil
	case info.ProfileName == nil:
		return nil, errors.New(textNoName)
	}
	return p.named(info.GetProfileName(), caps)
}

// named reads a file of the directory, and no other.
func (p Profiles) named(name string, caps []string) (*specs.LinuxSeccomp, error) {
	if p.Dir == "" {
		return nil, fmt.Errorf(textNoFiles, name)
	}
	if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/\x00") {
		return nil, fmt.Errorf("seccomp profile %q: must be the name of a file in --seccomp_config_dir", name)
	}
	return load(filepath.Join(p.Dir, name), caps)
}

// load reads a profile in Docker's format.
func load(file string, caps []string) (*specs.LinuxSeccomp, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	p, err := parse(b)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile %s: %w", file, err)
	}
	return p.filter(caps), nil
}

func parse(b []byte) (p profile, err error) {
	err = json.Unmarshal(b, &p)
	return p, err
}

// filter is what is left of a profile with these bounding capabilities. It shares the profile's lists.
func (p profile) filter(caps []string) *specs.LinuxSeccomp {
	out := &specs.LinuxSeccomp{DefaultAction: p.DefaultAction, DefaultErrnoRet: p.DefaultErrnoRet,
		Architectures: []specs.Arch{specs.ArchX86_64}}
	for _, r := range p.Syscalls {
		if !r.applies(caps) {
			continue
		}
		names := slices.Clip(r.Names)
		if r.Name != "" {
			names = append(names, r.Name)
		}
		out.Syscalls = append(out.Syscalls, specs.LinuxSyscall{Names: names, Action: r.Action, ErrnoRet: r.ErrnoRet, Args: r.Args})
	}
	return out
}

func (r rule) applies(caps []string) bool {
	for _, c := range r.Includes.Caps {
		if !slices.Contains(caps, c) {
			return false
		}
	}
	for _, c := range r.Excludes.Caps {
		if slices.Contains(caps, c) {
			return false
		}
	}
	here := []string{"amd64", "x86", "x32"}
	in := func(arch string) bool { return slices.Contains(here, arch) }
	if len(r.Includes.Arches) > 0 && !slices.ContainsFunc(r.Includes.Arches, in) {
		return false
	}
	return !slices.ContainsFunc(r.Excludes.Arches, in)
}
