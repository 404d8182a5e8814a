package linux

import (
	"bufio"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"agora.dev/agora/agent/containerizer"
	mesos "agora.dev/agora/api/mesos/v1"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// arguments merges the command with the image's. Mesos docs/container-image.md: a
// shell command, or one with a value, replaces what the image says; arguments alone
// replace the image's command and follow its entrypoint.
func arguments(command *mesos.CommandInfo, root *RootFS) ([]string, error) {
	if command.GetShell() {
		if command.Value == nil {
			if len(command.GetArguments()) > 0 || root == nil {
				return nil, fmt.Errorf("shell command has no value")
			}
		} else {
			return []string{"/bin/sh", "-c", command.GetValue()}, nil
		}
	}
	if value := command.GetValue(); value != "" {
		args := []string{value}
		if given := command.GetArguments(); len(given) > 1 {
			args = append(args, given[1:]...) // the first is the command's own name
		}
		return args, nil
	}
	var args []string
	if root != nil {
		// Without an entrypoint arguments are the command, as with Docker; Mesos puts
		// the first word of the image's command before them.
		args = append(args, root.Config.Entrypoint...)
		switch {
		case len(command.GetArguments()) > 0:
			args = append(args, command.GetArguments()...)
		default:
			args = append(args, root.Config.Cmd...)
		}
	}
	if len(args) == 0 {
		return nil, errNoCommand
	}
	return args, nil
}

// environment: the image's, then the agent's, then the command's own.
func environment(spec containerizer.Spec, root *RootFS, sandbox string) ([]string, error) {
	vars := map[string]string{"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
	if root != nil {
		for _, e := range root.Config.Env {
			if name, value, ok := strings.Cut(e, "="); ok {
				vars[name] = value
			}
		}
	}
	for name, value := range spec.Env {
		vars[name] = value
	}
	vars["MESOS_SANDBOX"] = sandbox
	for _, v := range spec.Command.GetEnvironment().GetVariables() {
		if v.GetType() == mesos.Environment_Variable_SECRET {
			return nil, fmt.Errorf("environment variable %s: secrets are not supported by this agent", v.GetName())
		}
		vars[v.GetName()] = v.GetValue()
	}
	out := make([]string, 0, len(vars))
	for name, value := range vars {
		if strings.ContainsAny(name, "=\x00") || strings.Contains(value, "\x00") {
			return nil, fmt.Errorf("environment variable %q: not representable", name)
		}
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out, nil
}

// user finds the account on the host, as Mesos does; only an image's own USER is
// looked up in the image.
func user(spec containerizer.Spec, root *RootFS) (specs.User, error) {
	name := spec.User
	if name == "" && root != nil && root.Config.User != "" {
		return imageUser(root.Config.User, root)
	}
	if name == "" || name == "root" {
		return specs.User{}, nil
	}
	passwd, err := os.Open("/etc/passwd")
	if err != nil {
		return specs.User{}, err
	}
	defer passwd.Close()
	u, ok := lookup(passwd, name)
	if !ok {
		return u, fmt.Errorf("user %q does not exist on this agent", name)
	}
	if groups, err := os.Open("/etc/group"); err == nil {
		defer groups.Close()
		u.AdditionalGids = memberships(groups, name)
	}
	return u, nil
}

func imageUser(wanted string, root *RootFS) (specs.User, error) {
	name, group, _ := strings.Cut(wanted, ":")
	u, found := specs.User{}, false
	inLayers(root, "etc/passwd", func(r io.Reader) { u, found = lookup(r, name) })
	if !found || u.Username == "" { // a number without a name has the group of root, as with Docker
		id, err := strconv.ParseUint(name, 10, 31)
		if err != nil {
			return u, fmt.Errorf("user %q of the image: not in its /etc/passwd", wanted)
		}
		u = specs.User{UID: uint32(id)}
	}
	if group == "" {
		return u, nil
	}
	if id, err := strconv.ParseUint(group, 10, 31); err == nil {
		u.GID = uint32(id)
		return u, nil
	}
	found = false
	inLayers(root, "etc/group", func(r io.Reader) {
		eachLine(r, func(f []string) {
			if id, err := strconv.ParseUint(f[2], 10, 31); err == nil && f[0] == group && !found {
				u.GID, found = uint32(id), true
			}
		})
	})
	if !found {
		return u, fmt.Errorf("group %q of the image: not in its /etc/group", wanted)
	}
	return u, nil
}

// inLayers reads a file of the image from the highest layer that has it; what is no file has nothing in it.
func inLayers(root *RootFS, name string, read func(io.Reader)) {
	for _, layer := range slices.Backward(root.Layers) {
		dir, err := os.OpenRoot(layer)
		if err != nil {
			continue
		}
		f, err := dir.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe is not waited for
		dir.Close()
		if err != nil {
			continue
		}
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			read(io.LimitReader(f, 8<<20))
		}
		f.Close()
		return
	}
}

// lookup takes a name, or a number that no name is. Numbers past 31 bits are refused:
// they wrap to root elsewhere.
func lookup(passwd io.Reader, name string) (u specs.User, ok bool) {
	number, numberErr := strconv.ParseUint(name, 10, 31)
	eachLine(passwd, func(f []string) {
		if len(f) < 4 || ok {
			return
		}
		uid, err1 := strconv.ParseUint(f[2], 10, 31)
		gid, err2 := strconv.ParseUint(f[3], 10, 31)
		if err1 == nil && err2 == nil && (f[0] == name || (numberErr == nil && uid == number)) {
			u, ok = specs.User{UID: uint32(uid), GID: uint32(gid), Username: f[0]}, true
		}
	})
	if !ok && numberErr == nil {
		return specs.User{UID: uint32(number), GID: uint32(number)}, true
	}
	return u, ok
}

func memberships(groups io.Reader, name string) (out []uint32) {
	eachLine(groups, func(f []string) {
		if len(f) > 3 && slices.Contains(strings.Split(f[3], ","), name) {
			if id, err := strconv.ParseUint(f[2], 10, 31); err == nil {
				out = append(out, uint32(id))
			}
		}
	})
	return out
}

func eachLine(r io.Reader, do func(fields []string)) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		if f := strings.Split(lines.Text(), ":"); len(f) >= 3 {
			do(f)
		}
	}
}

// rlimits: soft and hard both, soft not above hard; neither means unlimited.
func rlimits(info *mesos.RLimitInfo) (out []specs.POSIXRlimit, err error) {
	for _, r := range info.GetRlimits() {
		name := "RLIMIT_" + strings.TrimPrefix(r.GetType().String(), "RLMT_")
		one := specs.POSIXRlimit{Type: name, Hard: math.MaxUint64, Soft: math.MaxUint64}
		switch {
		case r.Soft != nil && r.Hard != nil:
			one.Soft, one.Hard = r.GetSoft(), r.GetHard()
		case r.Soft != nil || r.Hard != nil:
			return nil, fmt.Errorf("%s: soft and hard limit must be given both or not at all", name)
		}
		if one.Soft > one.Hard {
			return nil, fmt.Errorf("%s: soft limit above hard limit", name)
		}
		out = append(out, one)
	}
	return out, nil
}
