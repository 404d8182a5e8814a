package docker

import (
	"encoding/json"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/moby/moby/client"

	mesos "agora.dev/agora/api/mesos/v1"
)

// pathsWithColons: Chronos has them in the ids of its executors, and so in the paths of sandboxes. A
// directory of the host that is missing is made, and a volume of the Engine outlives the container.
func pathsWithColons(r *rig) {
	spec := r.spec("chronos", `echo sandbox > $MESOS_SANDBOX/file; echo a > /a:b/file; echo host > /host/file; ! echo x > /locked/file && echo named > /named/file`)
	spec.Sandbox = filepath.Join(r.work, "ct:1:0:job:")
	if err := os.Mkdir(spec.Sandbox, 0o755); err != nil {
		r.t.Fatal(err)
	}
	readWrite, readOnly, engines, host := mesos.Volume_RW, mesos.Volume_RO, mesos.Volume_Source_DOCKER_VOLUME, filepath.Join(r.work, "of:the", "host")
	spec.Container.Volumes = []*mesos.Volume{
		{ContainerPath: ptr("/a:b"), HostPath: ptr("a:b"), Mode: &readWrite},
		{ContainerPath: ptr("/host"), HostPath: &host, Mode: &readWrite},
		{ContainerPath: ptr("/locked"), HostPath: &host, Mode: &readOnly},
		{ContainerPath: ptr("/named"), Mode: &readWrite, Source: &mesos.Volume_Source{Type: &engines, DockerVolume: &mesos.Volume_Source_DockerVolume{Name: ptr("kept")}}},
	}
	r.launch(spec)
	if end := r.wait("chronos"); end.Status == nil || *end.Status != 0 {
		r.t.Errorf("ended with %+v", end)
	}
	for path, want := range map[string]string{filepath.Join(spec.Sandbox, "file"): "sandbox\n", filepath.Join(spec.Sandbox, "a:b", "file"): "a\n", filepath.Join(host, "file"): "host\n"} {
		if got, err := os.ReadFile(path); err != nil || string(got) != want {
			r.t.Errorf("%s: %q, %v; want %q", path, got, err, want)
		}
	}
	if err := r.c.Remove(r.ctx, "chronos"); err != nil {
		r.t.Fatal(err)
	}
	if _, err := r.engine.Client.VolumeInspect(r.ctx, "kept", client.VolumeInspectOptions{}); err != nil {
		r.t.Errorf("the Engine's volume is gone with the container: %v", err)
	}
}

// plugin is a volume driver of an Engine: its volumes are directories.
type plugin struct {
	Name string
	dir  string

	mu   sync.Mutex
	made map[string]map[string]string // options by volume
}

// pluginDir is where Engines look for plugins.
const pluginDir = "/run/docker/plugins"

func newPlugin(t testing.TB) *plugin {
	t.Helper()
	p := &plugin{dir: t.TempDir(), made: map[string]map[string]string{}}
	p.Name = "agora" + strings.ToLower(filepath.Base(filepath.Dir(p.dir))[len("Test"):])
	if err := os.MkdirAll(pluginDir, 0o755); err != nil {
		t.Skip("SKIP: needs root: ", err)
	}
	listener, err := net.Listen("unix", filepath.Join(pluginDir, p.Name+".sock"))
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	server := &http.Server{Handler: p}
	go func() { defer close(served); _ = server.Serve(listener) }()
	t.Cleanup(func() { server.Close(); <-served })
	return p
}

// ServeHTTP answers an Engine. Docker docs, plugins_volume.
func (p *plugin) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var call struct {
		Name string
		Opts map[string]string
	}
	_ = json.NewDecoder(r.Body).Decode(&call)
	p.mu.Lock()
	defer p.mu.Unlock()
	at := filepath.Join(p.dir, call.Name)
	answer := map[string]any{"Mountpoint": at}
	switch r.URL.Path {
	case "/Plugin.Activate":
		answer = map[string]any{"Implements": []string{"VolumeDriver"}}
	case "/VolumeDriver.Capabilities":
		answer = map[string]any{"Capabilities": map[string]string{"Scope": "local"}}
	case "/VolumeDriver.Create":
		p.made[call.Name] = call.Opts
		_ = os.Mkdir(at, 0o755)
	case "/VolumeDriver.List":
		answer = map[string]any{"Volumes": nil}
	case "/VolumeDriver.Get":
		if _, known := p.made[call.Name]; !known {
			answer = map[string]any{"Err": "no such volume"}
			break
		}
		answer = map[string]any{"Volume": map[string]string{"Name": call.Name, "Mountpoint": at}}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// volumesOfDrivers: a driver makes a volume with its options; the Engine's own can, too.
func volumesOfDrivers(r *rig) {
	p := newPlugin(r.t)
	readWrite, engines := mesos.Volume_RW, mesos.Volume_Source_DOCKER_VOLUME
	source := func(name string, driver *string, options map[string]string) *mesos.Volume {
		v := &mesos.Volume_Source_DockerVolume{Name: &name, Driver: driver, DriverOptions: &mesos.Parameters{}}
		for key, value := range options {
			v.DriverOptions.Parameter = append(v.DriverOptions.Parameter, &mesos.Parameter{Key: &key, Value: &value})
		}
		return &mesos.Volume{ContainerPath: ptr("/" + name), Mode: &readWrite, Source: &mesos.Volume_Source{Type: &engines, DockerVolume: v}}
	}
	spec := r.spec("mounts", "echo a > /plain/file && echo b > /sized/file && echo c > /param/file && grep ' /small tmpfs ' /proc/mounts")
	spec.Container.Docker.VolumeDriver = &p.Name
	spec.Container.Docker.Parameters = []*mesos.Parameter{{Key: ptr("volume"), Value: ptr("param:/param")}}
	spec.Container.Volumes = []*mesos.Volume{source("plain", nil, nil), source("sized", &p.Name, map[string]string{"size": "7GB"}),
		source("small", ptr("local"), map[string]string{"type": "tmpfs", "device": "tmpfs", "o": "size=64k"})}
	r.launch(spec)
	if end := r.wait("mounts"); end.Status == nil || *end.Status != 0 || !strings.Contains(r.output("mounts", "stdout"), "size=64k") {
		r.t.Errorf("ended with %+v, said %q, %q", end, r.output("mounts", "stdout"), r.output("mounts", "stderr"))
	}
	for name, want := range map[string]string{"plain": "a\n", "sized": "b\n", "param": "c\n"} {
		if got, err := os.ReadFile(filepath.Join(p.dir, name, "file")); err != nil || string(got) != want {
			r.t.Errorf("volume %s of the driver: %q, %v; want %q", name, got, err, want)
		}
	}
	if size := p.made["sized"]["size"]; size != "7GB" {
		r.t.Errorf("the driver was told size %q", size)
	}
	other := r.spec("other", "true")
	other.Container.Docker.VolumeDriver = ptr("agora-has-no-such-driver")
	other.Container.Volumes = []*mesos.Volume{source("none", nil, nil)}
	if _, err := r.c.Launch(r.ctx, other); err == nil || !strings.Contains(err.Error(), "agora-has-no-such-driver") {
		r.t.Errorf("a driver that is not there: %v", err)
	}
}
