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
	"fmt"
	"os"
	"slices"

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
func Default(caps []string) (*specs.LinuxSeccomp, error) { return parse(defaultProfile, caps) }

// Load reads a profile in Docker's format.
func Load(file string, caps []string) (*specs.LinuxSeccomp, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile: %w", err)
	}
	out, err := parse(b, caps)
	if err != nil {
		return nil, fmt.Errorf("seccomp profile %s: %w", file, err)
	}
	return out, nil
}

func parse(b []byte, caps []string) (*specs.LinuxSeccomp, error) {
	var p profile
	if err := json.Unmarshal(b, &p); err != nil {
		return nil, err
	}
	out := &specs.LinuxSeccomp{DefaultAction: p.DefaultAction, DefaultErrnoRet: p.DefaultErrnoRet,
		Architectures: []specs.Arch{specs.ArchX86_64}}
	for _, r := range p.Syscalls {
		if !r.applies(caps) {
			continue
		}
		names := r.Names
		if r.Name != "" {
			names = append(names, r.Name)
		}
		out.Syscalls = append(out.Syscalls, specs.LinuxSyscall{Names: names, Action: r.Action, ErrnoRet: r.ErrnoRet, Args: r.Args})
	}
	return out, nil
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
