// Package systemd gives the launcher's process a scope of its own where systemd runs, so that who
// stops or restarts the agent's unit does not end its containers.
//
// It promises that a process is in its scope when Enter returns without an error. It asks systemd
// itself, at its private socket, and needs neither a bus nor a program. It refuses to make units
// for others than root.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	systemd "github.com/coreos/go-systemd/v22/dbus"
	"github.com/godbus/dbus/v5"
)

// Slice has the scopes of launchers, and with them what runs in containers. Mesos
// linux/systemd.hpp, MESOS_EXECUTORS_SLICE.
const Slice = "mesos_executors.slice"

const (
	// DefaultRuntimeDirectory is there where systemd runs (sd_booted(3), Mesos flag
	// --systemd_runtime_directory).
	DefaultRuntimeDirectory = "/run/systemd/system"
	// DefaultSocket is where systemd answers root.
	DefaultSocket = "/run/systemd/private"
)

// Running says whether systemd runs this machine, by its runtime directory.
func Running(directory string) bool {
	info, err := os.Lstat(directory)
	return err == nil && info.IsDir()
}

// Probe asks systemd for its version.
func Probe(ctx context.Context, socket string) (version string, err error) {
	conn, err := connect(ctx, socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	version, err = conn.GetManagerProperty("Version")
	return strings.Trim(version, `"`), err
}

// Enter moves this process into a new scope, and returns its name. What the process starts from
// then on is in it too. The prefix, and the process's number, make the name.
func Enter(ctx context.Context, socket, prefix string) (scope string, err error) {
	conn, err := connect(ctx, socket)
	if err != nil {
		return "", err
	}
	defer conn.Close()
	scope = prefix + "-" + strconv.Itoa(os.Getpid()) + ".scope"
	done := make(chan string, 1)
	_, err = conn.StartTransientUnitContext(ctx, scope, "fail", properties(os.Getpid()), done)
	if err != nil {
		return "", fmt.Errorf("scope %s: %w", scope, err)
	}
	select {
	case result := <-done:
		if result != "done" {
			return "", fmt.Errorf("scope %s: systemd says %q", scope, result)
		}
	case <-ctx.Done():
		return "", fmt.Errorf("scope %s: %w", scope, ctx.Err())
	}
	return scope, nil
}

func properties(pid int) []systemd.Property {
	property := func(name string, value any) systemd.Property {
		return systemd.Property{Name: name, Value: dbus.MakeVariant(value)}
	}
	return []systemd.Property{
		systemd.PropDescription("Agora launcher and its containers"),
		systemd.PropSlice(Slice),
		property("PIDs", []uint32{uint32(pid)}),
		property("Delegate", true), // containers have groups that are not systemd's
		property("TasksMax", uint64(math.MaxUint64)),
		property("CollectMode", "inactive-or-failed"), // nothing of it stays when it has ended
	}
}

func connect(ctx context.Context, socket string) (*systemd.Conn, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("systemd makes scopes for root only")
	}
	conn, err := systemd.NewConnection(func() (*dbus.Conn, error) {
		conn, err := dbus.Dial("unix:path="+dbus.EscapeBusAddressValue(socket), dbus.WithContext(ctx))
		if err != nil {
			return nil, err
		}
		if err := conn.Auth([]dbus.Auth{dbus.AuthExternal(strconv.Itoa(os.Getuid()))}); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
		return conn, nil
	})
	if err != nil {
		return nil, fmt.Errorf("systemd at %s: %w", socket, err)
	}
	return conn, nil
}

// Service says whether this process is in a service of systemd's, with which it would be ended.
func Service() bool { return strings.HasSuffix(Unit(ownCgroup()), ".service") }

// In says whether this process is in a scope that Enter made with a prefix.
func In(prefix string) bool { return strings.HasPrefix(Unit(ownCgroup()), prefix+"-") }

func ownCgroup() string {
	b, _ := os.ReadFile("/proc/self/cgroup")
	return string(b)
}

// Unit is the systemd unit that a process is in, by its /proc/PID/cgroup; empty for none.
func Unit(cgroup string) string {
	for line := range strings.SplitSeq(cgroup, "\n") {
		parts := strings.SplitN(line, ":", 3)
		if len(parts) < 3 || parts[1] != "name=systemd" && parts[0] != "0" {
			continue
		}
		for path := parts[2]; path != "/" && path != "." && path != ""; path = filepath.Dir(path) {
			if base := filepath.Base(path); strings.HasSuffix(base, ".service") || strings.HasSuffix(base, ".scope") {
				return base
			}
		}
	}
	return ""
}
