package docker

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/distribution/reference"
	"github.com/moby/moby/api/pkg/authconfig"
	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/mount"
	"google.golang.org/protobuf/proto"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/images/logins"
	mesos "agora.dev/agora/api/mesos/v1"
)

func dockerSpec(change func(*containerizer.Spec)) containerizer.Spec {
	kind := mesos.ContainerInfo_DOCKER
	spec := containerizer.Spec{ID: "c1", Sandbox: "/work/sandbox", Command: &mesos.CommandInfo{Value: ptr("true")},
		Container: &mesos.ContainerInfo{Type: &kind, Docker: &mesos.ContainerInfo_DockerInfo{Image: ptr("busybox")}}}
	if change != nil {
		change(&spec)
	}
	return spec
}

func with(key, value string) func(*containerizer.Spec) {
	return func(s *containerizer.Spec) {
		s.Container.Docker.Parameters = append(s.Container.Docker.Parameters, &mesos.Parameter{Key: &key, Value: &value})
	}
}

func TestWhatGivesATaskTheHostNeedsPermission(t *testing.T) {
	for name, change := range map[string]func(*containerizer.Spec){
		"privileged":     func(s *containerizer.Spec) { s.Container.Docker.Privileged = ptr(true) },
		"privileged too": with("privileged", "true"), "cap-add": with("cap-add", "SYS_ADMIN"), "device": with("device", "/dev/kmsg"),
		"pid": with("pid", "host"), "pid of another": with("pid", "container:x"), "ipc": with("ipc", "host"), "uts": with("uts", "host"),
		"userns": with("userns", "host"), "seccomp": with("security-opt", "seccomp=unconfined"), "runtime": with("runtime", "other"),
	} {
		t.Run(name, func(t *testing.T) {
			spec := dockerSpec(change)
			if _, err := describe(spec, "a", Rules{}); err == nil || !strings.Contains(err.Error(), "--docker_allow_privileged") {
				t.Errorf("got %v", err)
			}
			if _, err := describe(spec, "a", Rules{Privileged: true}); err != nil {
				t.Errorf("with permission: %v", err)
			}
		})
	}
}

func TestParametersAreThoseOfDockerRun(t *testing.T) {
	var all []func(*containerizer.Spec)
	for key, value := range map[string]string{"env": "A=b", "label": "x=y", "hostname": "h", "ulimit": "nofile=100:200", "tmpfs": "/t:size=1m", "dns": "10.0.0.1",
		"memory-swap": "1g", "shm-size": "32m", "pids-limit": "7", "init": "true", "workdir": "/w", "volume": "/host:/in:ro", "cap-drop": "CHOWN", "sysctl": "net.core.somaxconn=9", "read-only": ""} {
		all = append(all, with(key, value))
	}
	got, err := describe(dockerSpec(func(s *containerizer.Spec) {
		bridge := mesos.ContainerInfo_DockerInfo_BRIDGE
		s.Container.Docker.Network = &bridge
		for _, change := range all {
			change(s)
		}
	}), "a", Rules{})
	if err != nil {
		t.Fatal(err)
	}
	c, h := got.Config, got.HostConfig
	if !slices.Contains(c.Env, "A=b") || c.Labels["x"] != "y" || c.Hostname != "h" || c.WorkingDir != "/w" || h.Tmpfs["/t"] != "size=1m" || h.MemorySwap != 1<<30 ||
		h.ShmSize != 32<<20 || *h.PidsLimit != 7 || !*h.Init || !h.ReadonlyRootfs || !slices.Contains(h.Mounts, mount.Mount{Type: mount.TypeBind, Source: "/host", Target: "/in", ReadOnly: true}) || h.Sysctls["net.core.somaxconn"] != "9" ||
		h.Ulimits[0].Soft != 100 || h.DNS[0].String() != "10.0.0.1" || h.CapDrop[0] != "CHOWN" {
		t.Errorf("got %+v\n%+v", c, h)
	}
}

func TestSandboxIsWhereTheOperatorSays(t *testing.T) {
	for said, want := range map[string]string{"": "/mnt/mesos/sandbox", "/box": "/box"} {
		got, err := describe(dockerSpec(func(s *containerizer.Spec) {
			s.Sandbox, s.Persistent = "/host", []containerizer.PersistentVolume{{ID: "v", Source: "/data", ContainerPath: "below"}}
		}), "a", Rules{Sandbox: said})
		if err != nil {
			t.Fatal(err)
		}
		if m := got.HostConfig.Mounts; m[0].Target != want || m[1].Target != want+"/below" || !slices.Contains(got.Config.Env, "MESOS_SANDBOX="+want) {
			t.Errorf("%q: %+v, %q", said, m, got.Config.Env)
		}
	}
}

func TestWhatCannotBeSaidIsRefusedByName(t *testing.T) {
	network := func(mode mesos.ContainerInfo_DockerInfo_Network, names ...string) func(*containerizer.Spec) {
		return func(s *containerizer.Spec) {
			s.Container.Docker.Network = &mode
			for _, name := range names {
				s.Container.NetworkInfos = append(s.Container.NetworkInfos, &mesos.NetworkInfo{Name: &name})
			}
		}
	}
	volume := func(host, inside string) func(*containerizer.Spec) {
		return func(s *containerizer.Spec) {
			mode := mesos.Volume_RW
			s.Container.Volumes = []*mesos.Volume{{HostPath: &host, ContainerPath: &inside, Mode: &mode}}
		}
	}
	for want, change := range map[string]func(*containerizer.Spec){
		`docker parameter "name" is not supported`:              with("name", "x"),
		"labels that begin with agora. are the agent's":         with("label", "agora.agent=other"),
		"docker parameter ulimit=bad":                           with("ulimit", "bad"),
		"network mode USER needs one named network, not 2":      network(mesos.ContainerInfo_DockerInfo_USER, "a", "b"),
		`network "host": this is a mode`:                        network(mesos.ContainerInfo_DockerInfo_USER, "host"),
		`network "a": a named network needs network mode USER`:  network(mesos.ContainerInfo_DockerInfo_BRIDGE, "a"),
		`host path "../up" leaves the sandbox`:                  volume("../up", "/in"),
		"its container path must not be empty, '/', or contain": volume("a", "/../.."),
		"a path holds no zero byte":                             volume("a\x00", "/in"),
		"host path /etc is not allowed on this agent":           volume("/etc", "/in"),
		"a Docker Engine writes down and shows": func(s *containerizer.Spec) {
			secret := mesos.Environment_Variable_SECRET
			s.Command.Environment = &mesos.Environment{Variables: []*mesos.Environment_Variable{{Name: ptr("S"), Type: &secret}}}
		},
		"no image": func(s *containerizer.Spec) { s.Container.Docker.Image = ptr("") },
	} {
		if _, err := describe(dockerSpec(change), "a", Rules{HostPaths: []string{"/srv"}}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// The Engine's own log of a container is bounded, unless the task says otherwise.
// A volume has its own driver, or that of the container, which a parameter may name as well.
func TestVolumesHaveDrivers(t *testing.T) {
	docker, mode := mesos.Volume_Source_DOCKER_VOLUME, mesos.Volume_RW
	volume := func(name, driver string, options ...string) *mesos.Volume {
		v := &mesos.Volume_Source_DockerVolume{Name: &name, DriverOptions: &mesos.Parameters{}}
		if driver != "" {
			v.Driver = &driver
		}
		for i := 0; i+1 < len(options); i += 2 {
			v.DriverOptions.Parameter = append(v.DriverOptions.Parameter, &mesos.Parameter{Key: &options[i], Value: &options[i+1]})
		}
		return &mesos.Volume{ContainerPath: ptr("/" + name), Mode: &mode, Source: &mesos.Volume_Source{Type: &docker, DockerVolume: v}}
	}
	allow := Rules{HostPaths: []string{"/srv"}}
	for _, c := range []struct {
		volume          *mesos.Volume
		driver, failure string
		rules           Rules
	}{
		{volume("a", "rexray", "size", "10"), "rexray", "", allow},
		{volume("a", ""), "portworx", "", allow},
		{volume("a", "", "repl", "2"), "portworx", "", allow},
		{volume("a", "local", "type", "tmpfs", "device", "tmpfs", "o", "size=1m"), "local", "", allow},
		{volume("a", "local", "type", "nfs", "device", ":/x", "o", "addr=10.0.0.1"), "local", "", allow},
		{volume("a", "local", "type", "none", "device", "/srv", "o", "ro,bind"), "local", "", Rules{}},
		{volume("a", "local", "type", "none", "device", "/etc", "o", "ro,bind"), "", "host path /etc is not allowed", allow},
		{volume("a", "local", "type", "tmpfs", "device", "/etc", "o", "bind"), "", "host path /etc is not allowed", allow},
		{volume("a", "local", "type", "none", "device", "etc", "o", "bind"), "", "an absolute path of the host is expected", Rules{}},
		{volume("a", "local", "type", "ext4", "device", "/dev/sda1"), "", "--docker_allow_privileged", Rules{}},
		{volume("a", "local", "type", "overlay", "device", "overlay", "o", "lowerdir=/etc"), "", "--docker_allow_privileged", Rules{}},
		{volume("a", "local", "mountpoint", "/etc"), "", "the driver local knows type, o, device and size", Rules{}},
		{volume("a", "x", "k", "1", "k", "2"), "", "given twice", Rules{}},
		{volume("a/b", "x"), "", "make a name", Rules{}},
	} {
		got, err := describe(dockerSpec(func(s *containerizer.Spec) {
			s.Container.Docker.VolumeDriver, s.Container.Volumes = ptr("portworx"), []*mesos.Volume{c.volume}
		}), "a", c.rules)
		if c.failure != "" {
			if err == nil || !strings.Contains(err.Error(), c.failure) {
				t.Errorf("%v: got %v, want %q", c.volume, err, c.failure)
			}
			continue
		}
		if err != nil {
			t.Errorf("%v: %v", c.volume, err)
			continue
		}
		last := got.HostConfig.Mounts[len(got.HostConfig.Mounts)-1]
		if last.VolumeOptions == nil || last.VolumeOptions.DriverConfig.Name != c.driver || len(last.VolumeOptions.DriverConfig.Options) != len(c.volume.GetSource().GetDockerVolume().GetDriverOptions().GetParameter()) {
			t.Errorf("%v: got %+v, want driver %s", c.volume, last.VolumeOptions, c.driver)
		}
	}
	got, err := describe(dockerSpec(func(s *containerizer.Spec) { with("volume", "data:/data")(s); with("volume-driver", "rexray")(s) }), "a", Rules{})
	if m := got.HostConfig.Mounts; err != nil || m[1].VolumeOptions == nil || m[1].VolumeOptions.DriverConfig.Name != "rexray" || m[0].VolumeOptions != nil {
		t.Errorf("got %+v, %v", m, err)
	}
}

func TestTheEnginesLogStaysBounded(t *testing.T) {
	for _, c := range []struct {
		change []func(*containerizer.Spec)
		kind   string
		want   map[string]string
	}{
		{nil, "json-file", map[string]string{"max-size": "10m", "max-file": "2"}},
		{[]func(*containerizer.Spec){with("log-driver", "json-file"), with("log-opt", "max-size=1m")}, "json-file", map[string]string{"max-size": "1m", "max-file": "2"}},
		{[]func(*containerizer.Spec){with("log-driver", "local"), with("log-opt", "max-file=3")}, "local", map[string]string{"max-file": "3"}},
	} {
		got, err := describe(dockerSpec(func(s *containerizer.Spec) {
			for _, change := range c.change {
				change(s)
			}
		}), "a", Rules{})
		if log := got.HostConfig.LogConfig; err != nil || log.Type != c.kind || !maps.Equal(log.Config, c.want) {
			t.Errorf("got %v, %v; want %s %v", log, err, c.kind, c.want)
		}
	}
}

func TestLinksDoNotLeadOutOfAllowedDirectories(t *testing.T) {
	dir := t.TempDir()
	allowed := filepath.Join(dir, "allowed")
	if err := os.MkdirAll(filepath.Join(allowed, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc", filepath.Join(allowed, "out")); err != nil {
		t.Fatal(err)
	}
	rules := Rules{HostPaths: []string{allowed}}
	for path, ok := range map[string]bool{allowed: true, allowed + "/data": true, allowed + "/out": false, allowed + "2": false, dir: false} {
		if err := rules.hostPath(path); (err == nil) != ok {
			t.Errorf("%s: %v, want allowed %v", path, err, ok)
		}
	}
}

func TestCommandFollowsTheEntrypointUnlessItIsAShell(t *testing.T) {
	for _, c := range []struct {
		command         *mesos.CommandInfo
		entrypoint, cmd []string
	}{
		{&mesos.CommandInfo{Value: ptr("a b")}, []string{"/bin/sh"}, []string{"-c", "a b"}},
		{&mesos.CommandInfo{Shell: ptr(false), Value: ptr("a"), Arguments: []string{"b"}}, nil, []string{"a", "b"}},
		{&mesos.CommandInfo{Shell: ptr(false)}, nil, nil},
		{&mesos.CommandInfo{Arguments: []string{"x"}}, nil, []string{"x"}},
	} {
		got, err := describe(dockerSpec(func(s *containerizer.Spec) { s.Command = c.command }), "a", Rules{})
		if err != nil || !slices.Equal(got.Config.Entrypoint, c.entrypoint) || !slices.Equal(got.Config.Cmd, c.cmd) {
			t.Errorf("%v: got %v %v, %v", c.command, got.Config.Entrypoint, got.Config.Cmd, err)
		}
	}
}

func TestResourcesAreRequestsAndLimits(t *testing.T) {
	list := []*mesos.Resource{scalarOf("cpus", 0.5), scalarOf("mem", 64)}
	plain := resources(list, nil, Rules{})
	if plain.CPUShares != 512 || plain.CPUQuota != 0 || plain.Memory != 64<<20 || plain.MemorySwap != 64<<20 || plain.MemoryReservation != 0 {
		t.Errorf("requests alone: %+v", plain)
	}
	if capped := resources(list, nil, Rules{CFS: true}); capped.CPUQuota != 50000 || capped.CPUPeriod != 100000 {
		t.Errorf("with CFS: %+v", capped)
	}
	if limited := resources(list, map[string]float64{"cpus": 2, "mem": 128}, Rules{}); limited.CPUQuota != 200000 || limited.Memory != 128<<20 || limited.MemoryReservation != 64<<20 {
		t.Errorf("with limits: %+v", limited)
	}
}

func TestLoginsAreToldToTheirRegistryOnly(t *testing.T) {
	all, err := logins.Parse([]byte(`{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"reg.example:5000":{"username":"a","password":"b"}}}`))
	if err != nil {
		t.Fatal(err)
	}
	for image, user := range map[string]string{"busybox": "u", "docker.io/x/y:1": "u", "reg.example:5000/x": "a", "reg.example/x": "", "evil.example/reg.example:5000/x": ""} {
		named, err := reference.ParseNormalizedNamed(image)
		if err != nil {
			if user != "" {
				t.Error(err)
			}
			continue
		}
		header, err := header(all, named)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if header != "" {
			login, err := authconfig.Decode(header)
			if err != nil {
				t.Fatal(err)
			}
			got = login.Username
		}
		if got != user {
			t.Errorf("%s: login of %q, want %q", image, got, user)
		}
	}
}

// TestNoFiguresAreNotZero: an Engine of which containerd has lost a group answers with an empty sample.
func TestNoFiguresAreNotZero(t *testing.T) {
	var none, some mesos.ResourceStatistics
	fill(&none, container.StatsResponse{Name: "/mesos-one", ID: "1"})
	if !proto.Equal(&none, &mesos.ResourceStatistics{}) {
		t.Errorf("from no sample: %v, want nothing", &none)
	}
	fill(&some, container.StatsResponse{Read: time.Now()})
	if some.MemTotalBytes == nil || some.CpusUserTimeSecs == nil {
		t.Errorf("from a sample: %v, want figures", &some)
	}
}
