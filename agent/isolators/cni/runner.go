package cni

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/containernetworking/cni/pkg/types"
	"github.com/containernetworking/cni/pkg/version"
)

// Bounds of what a plugin may say.
const (
	maxResult = 1 << 20
	maxStderr = 64 << 10
)

// builtinPrefix marks the path of a plugin within the agent; no file has such a path.
const builtinPrefix = "builtin:"

// runner finds and runs plugins for libcni.
type runner struct {
	version.PluginDecoder
	builtin map[string]Plugin
}

// FindInPath finds a plugin within the agent, or a program directly in one of the
// directories.
func (r *runner) FindInPath(plugin string, dirs []string) (string, error) {
	if !validType.MatchString(plugin) {
		return "", fmt.Errorf("plugin type %q: not a file name", plugin)
	}
	if r.builtin[plugin] != nil {
		return builtinPrefix + plugin, nil
	}
	for _, dir := range dirs {
		file := filepath.Join(dir, plugin)
		if info, err := os.Stat(file); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return file, nil
		}
	}
	if len(dirs) == 0 {
		return "", fmt.Errorf("plugin %s: no --network_cni_plugins_dir to find it in", plugin)
	}
	return "", fmt.Errorf("plugin %s: not found in --network_cni_plugins_dir=%s", plugin, strings.Join(dirs, ":"))
}

// ExecPlugin runs a plugin to its end. When ctx ends first, everything it started is
// killed.
func (r *runner) ExecPlugin(ctx context.Context, path string, config []byte, environment []string) ([]byte, error) {
	if name, ok := strings.CutPrefix(path, builtinPrefix); ok {
		vars := map[string]string{}
		for _, entry := range cniVariables(environment) {
			name, value, _ := strings.Cut(strings.TrimPrefix(entry, "CNI_"), "=")
			vars[name] = value
		}
		return r.builtin[name].Run(ctx, config, vars)
	}
	name := filepath.Base(path)
	command := exec.CommandContext(ctx, path)
	command.Dir = "/"
	command.Env = append(cniVariables(environment), "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
	command.Stdin = bytes.NewReader(config)
	out, errs := &bounded{max: maxResult}, &bounded{max: maxStderr}
	command.Stdout, command.Stderr = out, errs
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = time.Second
	err := command.Run()
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return nil, fmt.Errorf("plugin %s did not answer in time and was killed", name)
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		return nil, fmt.Errorf("plugin %s: %w", name, pluginError(err, out.Bytes(), errs.Bytes()))
	case out.full:
		return nil, fmt.Errorf("plugin %s: its result is larger than %d bytes", name, maxResult)
	}
	return out.Bytes(), nil
}

// cniVariables leaves out the agent's own environment: it may hold secrets.
func cniVariables(environment []string) (out []string) {
	for _, entry := range environment {
		if strings.HasPrefix(entry, "CNI_") {
			out = append(out, entry)
		}
	}
	return out
}

// pluginError is what a plugin says about its failure.
func pluginError(err error, out, errs []byte) error {
	said := &types.Error{}
	if json.Unmarshal(out, said) == nil && said.Msg != "" {
		return said
	}
	if text := bytes.TrimSpace(errs); len(text) > 0 {
		return fmt.Errorf("%w: %s", err, text)
	}
	return err
}

// bounded keeps the first bytes.
type bounded struct {
	bytes.Buffer
	max  int
	full bool
}

// Write never fails: a plugin is not stopped for talking.
func (b *bounded) Write(p []byte) (int, error) {
	room := b.max - b.Len()
	if len(p) > room {
		b.full = true
		b.Buffer.Write(p[:max(room, 0)])
		return len(p), nil
	}
	return b.Buffer.Write(p)
}
