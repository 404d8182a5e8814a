package cni_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/isolators/cni"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/internal/testkit/netkit"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { os.Exit(netkit.Main(m)) }

// site is a machine with configurations and plugins.
type site struct {
	*cni.Isolator
	t                         *testing.T
	dir, config, plugins, log string
	settings                  cni.Config
}

func newSite(t *testing.T, change ...func(*cni.Config)) *site {
	t.Helper()
	netkit.Need(t)
	root := t.TempDir()
	s := &site{t: t, dir: filepath.Join(root, "networks"), config: filepath.Join(root, "net.d"), plugins: filepath.Join(root, "bin"), log: filepath.Join(root, "log")}
	for _, dir := range []string{s.config, s.plugins, s.log} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	s.settings = cni.Config{Dir: s.dir, ConfigDir: s.config, PluginDirs: []string{s.plugins}, Timeout: 20 * time.Second}
	for _, f := range change {
		f(&s.settings)
	}
	s.open()
	t.Cleanup(func() {
		if err := s.Clear(context.Background()); err != nil {
			t.Error(err)
		}
		s.Close()
		if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), root) {
			t.Error("a mount was left")
		}
	})
	return s
}

func (s *site) open() {
	s.t.Helper()
	var err error
	if s.Isolator, err = cni.New(s.settings); err != nil {
		s.t.Fatal(err)
	}
}

func (s *site) configure(file, content string) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.config, file), []byte(content), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

// plugin writes a program that notes how it was called and then runs a script.
func (s *site) plugin(name, script string) {
	s.t.Helper()
	text := fmt.Sprintf("#!/bin/sh\nn=%s/$(ls %s | wc -l)-$CNI_COMMAND\nenv > $n.env\ncat > $n.json\n%s\n", s.log, s.log, script)
	if err := os.WriteFile(filepath.Join(s.plugins, name), []byte(text), 0o755); err != nil {
		s.t.Fatal(err)
	}
}

const good = `[ $CNI_COMMAND = DEL ] || echo '{"cniVersion":"0.3.1","ips":[{"version":"4","address":"198.51.100.7/24"}],"dns":{"nameservers":["198.51.100.1"],"search":["a.example"],"options":["ndots:2"]}}'`

// called lists the calls of plugins with a command: environment and configuration.
func (s *site) called(command string) (environments []string, configs []map[string]any) {
	s.t.Helper()
	files, _ := filepath.Glob(filepath.Join(s.log, "*-"+command+".env"))
	for _, file := range files {
		b, _ := os.ReadFile(file)
		environments = append(environments, string(b))
		var config map[string]any
		b, _ = os.ReadFile(strings.TrimSuffix(file, ".env") + ".json")
		if err := json.Unmarshal(b, &config); err != nil {
			s.t.Errorf("%s: %v", file, err)
		}
		configs = append(configs, config)
	}
	return environments, configs
}

func (s *site) attach(id string, names ...string) (*cni.Attached, error) {
	r := cni.Request{Container: id, Hostname: "host-" + id}
	for _, name := range names {
		key, value := "tier", "front"
		host, inside := uint32(31000), uint32(80)
		r.Networks = append(r.Networks, &mesos.NetworkInfo{Name: &name, Groups: []string{"g"}, Labels: &mesos.Labels{Labels: []*mesos.Label{{Key: &key, Value: &value}}},
			PortMappings: []*mesos.NetworkInfo_PortMapping{{HostPort: &host, ContainerPort: &inside}}})
	}
	return s.Attach(s.t.Context(), r)
}

func (s *site) read(a *cni.Attached, file string) string {
	s.t.Helper()
	b, err := os.ReadFile(a.Files[file])
	if err != nil {
		s.t.Error(err)
	}
	return string(b)
}

func TestPluginsAreToldWhatMesosTells(t *testing.T) {
	t.Setenv("CANARY", "secret of the agent")
	s := newSite(t)
	s.plugin("good", good)
	s.configure("10-one.conf", `{"name":"one","type":"good","args":{"mine":1},"big":9007199254740993}`)
	s.configure("20-two.conflist", `{"cniVersion":"0.4.0","name":"two","plugins":[{"type":"good","capabilities":{"portMappings":true}}]}`)
	s.configure("30-broken.conf", `{`)
	a, err := s.attach("c1", "one", "two")
	if err != nil {
		t.Fatal(err)
	}
	environments, configs := s.called("ADD")
	if len(configs) != 2 {
		t.Fatalf("%d calls", len(configs))
	}
	for i, want := range []string{"eth0", "eth1"} {
		for _, variable := range []string{"CNI_CONTAINERID=c1\n", "CNI_IFNAME=" + want + "\n", "CNI_NETNS=" + a.Namespace + "\n", "CNI_PATH=" + s.plugins + "\n"} {
			if !strings.Contains(environments[i], variable) {
				t.Errorf("call %d: no %q in\n%s", i, variable, environments[i])
			}
		}
		if strings.Contains(environments[i], "CANARY") {
			t.Error("a plugin sees the agent's environment")
		}
		b, _ := json.Marshal(configs[i]["args"].(map[string]any)["org.apache.mesos"])
		want := `{"network_info":{"groups":["g"],"labels":{"labels":[{"key":"tier","value":"front"}]},"name":"` + map[int]string{0: "one", 1: "two"}[i] + `","port_mappings":[{"container_port":80,"host_port":31000}]}}`
		if string(b) != want {
			t.Errorf("args %s, want %s", b, want)
		}
	}
	if args := configs[0]["args"].(map[string]any); args["mine"] != 1.0 || configs[0]["runtimeConfig"] != nil {
		t.Errorf("configuration %v", configs[0])
	}
	if got := fmt.Sprint(configs[1]["runtimeConfig"]); got != "map[portMappings:[map[containerPort:80 hostPort:31000 protocol:tcp]]]" {
		t.Errorf("runtimeConfig %s", got)
	}
	if got := s.read(a, "/etc/resolv.conf"); got != "search a.example\noptions ndots:2\nnameserver 198.51.100.1\n" {
		t.Errorf("resolv.conf %q", got)
	}
	if got := s.read(a, "/etc/hosts"); !strings.Contains(got, "198.51.100.7\thost-c1\n") || s.read(a, "/etc/hostname") != "host-c1\n" {
		t.Errorf("hosts %q", got)
	}
	if info := a.Infos[1]; info.GetName() != "two" || info.GetIpAddresses()[0].GetIpAddress() != "198.51.100.7" || info.GetLabels() == nil {
		t.Errorf("info %v", info)
	}
	netkit.Inside(t, a.Namespace, func() error {
		l, err := net.Listen("tcp4", "127.0.0.1:1") // loopback is up
		if err == nil {
			l.Close()
		}
		return err
	})
}

func TestConfigurationIsReadAtEachAttachAndKeptForDetach(t *testing.T) {
	s := newSite(t)
	s.plugin("good", good)
	if _, err := s.attach("early", "net"); err == nil || !strings.Contains(err.Error(), `network "net": unknown`) {
		t.Errorf("got %v", err)
	}
	s.configure("net.conf", `{"name":"net","type":"good","mark":"first"}`)
	if _, err := s.attach("c1", "net"); err != nil {
		t.Fatal(err)
	}
	s.configure("net.conf", `{"name":"net","type":"good","mark":"second"}`)
	if _, err := s.attach("c2", "net"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(s.config, "net.conf")); err != nil {
		t.Fatal(err)
	}
	// The agent dies; the next one takes down the first, and lets the other live.
	s.Close()
	s.open()
	if err := s.Recover([]string{"c2"}); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { _, err := os.Stat(filepath.Join(s.dir, "containers/c1")); return err != nil })
	environments, configs := s.called("DEL")
	if len(configs) != 1 || configs[0]["mark"] != "first" || !strings.Contains(environments[0], "CNI_CONTAINERID=c1\n") {
		t.Errorf("detached with %v", configs)
	}
	if found := s.Find("c2"); found == nil || found.Infos[0].GetIpAddresses() == nil {
		t.Errorf("the live container was recovered as %v", found)
	}
}

func TestNoNameLeadsOutOfThePluginsDirectory(t *testing.T) {
	s := newSite(t)
	s.plugin("good", good)
	evil := filepath.Join(filepath.Dir(s.plugins), "evil")
	if err := os.WriteFile(evil, []byte("#!/bin/sh\ntouch "+evil+".ran\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	for i, config := range []string{
		`{"type":"../evil"}`, `{"type":"` + evil + `"}`, `{"type":"."}`, `{"type":".."}`, `{"type":""}`, `{"type":7}`, `{}`,
		`{"type":"Good"}`, `{"type":"good\n"}`, `{"type":"good","ipam":{"type":"../evil"}}`, `{"type":"good","delegate":{"type":"a/b"}}`,
		`{"type":"good","delegate":{"type":"good","ipam":{"type":"/x"}}}`, `{"plugins":[{"type":"good"},{"type":"../evil"}]}`, `{"plugins":[7]}`,
	} {
		name := fmt.Sprint("net", i)
		s.configure("net.conflist", `{"cniVersion":"0.4.0","name":"`+name+`",`+config[1:])
		if config == "{}" {
			s.configure("net.conflist", `{"name":"`+name+`"}`)
		}
		if _, err := s.attach("c", name); err == nil {
			t.Errorf("%s was accepted", config)
		}
	}
	if calls, _ := s.called("ADD"); len(calls) != 0 {
		t.Errorf("a plugin ran: %v", calls)
	}
	if _, err := os.Stat(evil + ".ran"); err == nil {
		t.Error("a program outside the directory ran")
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir, "containers")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestPluginThatHangsIsKilledWithItsChildren(t *testing.T) {
	s := newSite(t, func(c *cni.Config) { c.Timeout = 300 * time.Millisecond })
	s.plugin("stuck", `[ $CNI_COMMAND = DEL ] && exit 0; sleep 1000 & echo $! > `+s.log+`/child; sleep 1000`)
	s.configure("net.conf", `{"name":"net","type":"stuck"}`)
	if _, err := s.attach("c", "net"); err == nil || !strings.Contains(err.Error(), "plugin stuck did not answer in time") {
		t.Errorf("got %v", err)
	}
	b, err := os.ReadFile(filepath.Join(s.log, "child"))
	if err != nil {
		t.Fatal(err)
	}
	var child int
	fmt.Sscan(string(b), &child)
	await(t, func() bool {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", child))
		return err != nil || strings.Contains(string(stat), ") Z ")
	})
	await(t, func() bool { calls, _ := s.called("DEL"); return len(calls) == 1 })
	await(t, func() bool { left, _ := os.ReadDir(filepath.Join(s.dir, "containers")); return len(left) == 0 })
}

func TestDetachIsRepeatedUntilItSucceeds(t *testing.T) {
	s := newSite(t)
	s.plugin("moody", `[ $CNI_COMMAND = DEL ] && [ ! -e `+s.log+`/.mood ] && { echo '{"code":11,"msg":"not now"}'; exit 1; }; `+good)
	s.configure("net.conf", `{"name":"net","type":"moody"}`)
	if _, err := s.attach("c", "net"); err != nil {
		t.Fatal(err)
	}
	if err := s.Detach(t.Context(), "c"); err == nil || !strings.Contains(err.Error(), "not now") {
		t.Errorf("got %v", err)
	}
	if err := os.WriteFile(filepath.Join(s.log, ".mood"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { _, err := os.Stat(filepath.Join(s.dir, "containers/c")); return err != nil })
}

func TestFailedSecondNetworkTakesTheFirstDown(t *testing.T) {
	s := newSite(t)
	s.plugin("good", good)
	s.plugin("bad", `echo "no more addresses" >&2; [ $CNI_COMMAND = DEL ]`)
	s.configure("a.conf", `{"name":"a","type":"good"}`)
	s.configure("b.conf", `{"name":"b","type":"bad"}`)
	if _, err := s.attach("c", "a", "b"); err == nil || !strings.Contains(err.Error(), `network "b"`) || !strings.Contains(err.Error(), "no more addresses") {
		t.Errorf("got %v", err)
	}
	if _, configs := s.called("DEL"); len(configs) != 2 {
		t.Errorf("%d networks were taken down, want both", len(configs))
	}
	if left, _ := os.ReadDir(filepath.Join(s.dir, "containers")); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
}

func TestAfterARebootPluginsAreCalledWithoutNamespace(t *testing.T) {
	s := newSite(t)
	s.plugin("good", good)
	s.configure("net.conf", `{"name":"net","type":"good"}`)
	a, err := s.attach("c", "net")
	if err != nil {
		t.Fatal(err)
	}
	s.Close()
	_ = unix.Unmount(a.Namespace, unix.MNT_DETACH)
	_ = unix.Unmount(filepath.Join(s.dir, "containers"), unix.MNT_DETACH)
	s.open()
	if err := s.Recover(nil); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool { _, err := os.Stat(filepath.Join(s.dir, "containers/c")); return err != nil })
	if environments, _ := s.called("DEL"); len(environments) != 1 || !strings.Contains(environments[0], "CNI_NETNS=\n") {
		t.Errorf("called with %q", environments)
	}
}

func TestDefaultServersOfNames(t *testing.T) {
	dns, err := cni.ParseDNS(`{"mesos":[{"network_mode":"CNI","network_name":"a","dns":{"nameservers":["192.0.2.1"],"search":["x.example"]}},{"network_mode":"CNI","dns":{"nameservers":["192.0.2.2"]}}]}`)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(t, func(c *cni.Config) { c.DNS = dns })
	s.plugin("quiet", `[ $CNI_COMMAND = DEL ] || echo '{"cniVersion":"0.2.0","ip4":{"ip":"198.51.100.8/24"}}'`)
	for name, want := range map[string]string{"a": "search x.example\nnameserver 192.0.2.1\n", "b": "nameserver 192.0.2.2\n"} {
		s.configure(name+".conf", `{"cniVersion":"0.2.0","name":"`+name+`","type":"quiet"}`)
		a, err := s.attach(name, name)
		if err != nil {
			t.Fatal(err)
		}
		if got := s.read(a, "/etc/resolv.conf"); got != want {
			t.Errorf("network %s: resolv.conf %q, want %q", name, got, want)
		}
		if got := a.Infos[0].GetIpAddresses()[0].GetIpAddress(); got != "198.51.100.8" {
			t.Errorf("address %s of a result of version 0.2.0", got)
		}
	}
	for _, bad := range []string{`[`, `{"mesos":[{"network_mode":"HOST","dns":{"nameservers":["192.0.2.1"]}}]}`, `{"mesos":[{"network_mode":"CNI"}]}`,
		`{"mesos":[{"network_mode":"CNI","dns":{"nameservers":["here"]}}]}`, `{"mesos":[{"network_mode":"CNI","dns":{"nameservers":["192.0.2.1"]}},{"network_mode":"CNI","dns":{"nameservers":["192.0.2.1"]}}]}`, `{"messos":[]}`} {
		if _, err := cni.ParseDNS(bad); err == nil || !strings.Contains(err.Error(), "--default_container_dns") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestPluginsOfTheCNIProject uses what Debian packages.
func TestPluginsOfTheCNIProject(t *testing.T) {
	const debian = "/usr/lib/cni"
	if _, err := os.Stat(filepath.Join(debian, "bridge")); err != nil {
		t.Skip("SKIP: plugins are missing; apt-get install containernetworking-plugins")
	}
	s := newSite(t, func(c *cni.Config) { c.PluginDirs = append(c.PluginDirs, debian) })
	leases := t.TempDir()
	s.configure("net.conflist", `{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge","bridge":"cni-test0","isGateway":true,
		"ipam":{"type":"host-local","subnet":"198.51.100.0/24","dataDir":"`+leases+`"}},{"type":"tuning","sysctl":{"net.core.somaxconn":"77"}}]}`)
	a, err := s.attach("c", "net")
	if err != nil {
		t.Fatal(err)
	}
	netkit.Inside(t, a.Namespace, func() error {
		link, err := net.InterfaceByName("eth0")
		if err != nil {
			return err
		}
		addresses, err := link.Addrs()
		if len(addresses) == 0 || !strings.HasPrefix(addresses[0].String(), a.Infos[0].GetIpAddresses()[0].GetIpAddress()) {
			t.Errorf("addresses %v, want %v", addresses, a.Infos)
		}
		if b, _ := os.ReadFile("/proc/sys/net/core/somaxconn"); strings.TrimSpace(string(b)) != "77" {
			t.Errorf("the second plugin of the list did not run: %q", b)
		}
		return err
	})
	if err := s.Detach(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	if left, _ := filepath.Glob(filepath.Join(leases, "net", "198*")); len(left) != 0 {
		t.Errorf("addresses left: %v", left)
	}
}

func await(t *testing.T, done func() bool) {
	t.Helper()
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for end := time.Now().Add(20 * time.Second); time.Now().Before(end); <-tick.C {
		if done() {
			return
		}
	}
	t.Fatal("waited in vain")
}
