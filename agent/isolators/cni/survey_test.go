package cni_test

import (
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/cni"
	"agora.dev/agora/internal/testkit/netkit"
	"github.com/vishvananda/netlink"
)

// speaking is a plugin that declares versions.
func speaking(versions, rest string) string {
	return `[ $CNI_COMMAND = VERSION ] && { echo '{"cniVersion":"1.0.0","supportedVersions":[` + versions + `]}'; exit 0; }
case $CNI_COMMAND in ADD) echo '{"cniVersion":"1.0.0","ips":[{"address":"198.51.100.7/24"}]}';; esac
` + rest
}

// restart has the next agent take up containers, and waits until it has asked plugins.
func (s *site) restart(last string, live ...string) {
	s.t.Helper()
	s.Close()
	s.open()
	if err := s.Recover(live); err != nil {
		s.t.Fatal(err)
	}
	await(s.t, func() bool { return len(live) == 0 || s.Find(last) == nil || s.Find(last).Broken != nil })
}

// figure is one of the metrics.
func (s *site) figure(name string) (out float64) {
	s.t.Helper()
	found := false
	s.Figures(func(key string, value float64) {
		if key == "containerizer/mesos/network/cni/"+name {
			out, found = value, true
		}
	})
	if !found {
		s.t.Errorf("no figure %s", name)
	}
	return out
}

func TestPluginsAreAskedWhatTheyDeclare(t *testing.T) {
	s := newSite(t, func(c *cni.Config) { c.Collect = true })
	s.plugin("modern", speaking(`"1.0.0","1.1.0"`, ""))
	s.plugin("older", speaking(`"0.4.0","1.0.0"`, ""))
	s.configure("1.conflist", `{"cniVersion":"1.1.0","name":"both","plugins":[{"type":"modern","mark":"both"},{"type":"older"}]}`)
	s.configure("2.conflist", `{"cniVersion":"1.1.0","name":"shared","disableGC":true,"plugins":[{"type":"modern","mark":"shared"}]}`)
	s.configure("3.conflist", `{"cniVersion":"1.0.0","name":"before","plugins":[{"type":"modern","mark":"before"}]}`)
	s.configure("4.conf", `{"cniVersion":"0.3.1","name":"ancient","type":"modern","mark":"ancient"}`)
	s.configure("5.conf", `{`)
	for id, networks := range map[string][]string{"alive": {"both", "shared"}, "dead": {"both"}, "plain": {"ancient"}} {
		if _, err := s.attach(id, networks...); err != nil {
			t.Fatal(err)
		}
	}
	s.restart("alive", "alive", "plain")
	if got := s.Find("alive").Broken; len(got) != 0 {
		t.Errorf("broken: %v", got)
	}
	_, configs := s.called("GC")
	if len(configs) != 1 || configs[0]["mark"] != "both" || configs[0]["name"] != "both" {
		t.Fatalf("GC of %v, want the one network that may be collected, by the plugin that declares it", configs)
	}
	for _, key := range []string{"cni.dev/valid-attachments", "cni.dev/attachments"} {
		if b, _ := json.Marshal(configs[0][key]); string(b) != `[{"containerID":"alive","ifname":"eth0"}]` {
			t.Errorf("%s is %s", key, b)
		}
	}
	if _, configs := s.called("STATUS"); len(configs) != 2 || configs[0]["mark"] != "both" || configs[1]["mark"] != "shared" {
		t.Errorf("STATUS of %v", configs)
	}
	environments, configs := s.called("CHECK")
	if len(configs) != 3 {
		t.Fatalf("CHECK of %v, want two plugins of the first network and one of the second", configs)
	}
	for n, config := range configs {
		if b, _ := json.Marshal(config["prevResult"]); !strings.Contains(string(b), "198.51.100.7/24") || !strings.Contains(environments[n], "CNI_CONTAINERID=alive\n") {
			t.Errorf("CHECK with %s", b)
		}
	}
	if got := s.figure("networks_unavailable"); got != 0 {
		t.Errorf("%v networks are unavailable", got)
	}
	if attached, failed := s.figure("containers_attached"), s.figure("detach_errors"); attached != 2 || failed != 0 {
		t.Errorf("%v attached, %v failed to detach", attached, failed)
	}
}

func TestNothingIsCollectedUnasked(t *testing.T) {
	s := newSite(t)
	s.plugin("modern", speaking(`"1.1.0"`, ""))
	s.configure("1.conflist", `{"cniVersion":"1.1.0","name":"net","plugins":[{"type":"modern"}]}`)
	s.configure("2.conflist", `{"cniVersion":"1.1.0","name":"last","plugins":[{"type":"modern","mark":"last"}]}`)
	// When the last network was asked, the first would have been collected.
	asked := func(times int) {
		t.Helper()
		await(t, func() bool {
			files, _ := filepath.Glob(filepath.Join(s.log, "*-STATUS.json"))
			n := 0
			for _, file := range files {
				if b, _ := os.ReadFile(file); strings.Contains(string(b), `"mark":"last"`) {
					n++
				}
			}
			return n == times
		})
	}
	if _, err := s.attach("c", "net"); err != nil {
		t.Fatal(err)
	}
	s.restart("c", "c")
	asked(1)
	if _, configs := s.called("GC"); len(configs) != 0 {
		t.Error("a network that others may use was collected")
	}
	// Nor while a live container is not known: it would be taken for dead.
	s.settings.Collect = true
	record := filepath.Join(s.dir, "containers/c/record.json")
	kept, err := os.ReadFile(record)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(record, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.restart("none", "c")
	asked(2)
	if _, configs := s.called("GC"); len(configs) != 0 {
		t.Error("a network was collected with a container that nobody knows")
	}
	if err := os.WriteFile(record, kept, 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestNetworksThatCannotTakeContainersAndBrokenOnesAreTold(t *testing.T) {
	s := newSite(t)
	s.plugin("ill", speaking(`"1.1.0"`, `case $CNI_COMMAND in STATUS) echo '{"code":50,"msg":"no controller"}'; exit 1;; CHECK) echo '{"code":100,"msg":"no route"}'; exit 1;; esac`))
	s.plugin("mute", `[ $CNI_COMMAND = DEL ]`)
	s.configure("1.conflist", `{"cniVersion":"1.1.0","name":"ill","plugins":[{"type":"ill"}]}`)
	s.configure("2.conflist", `{"cniVersion":"1.1.0","name":"mute","plugins":[{"type":"mute"}]}`)
	if _, err := s.attach("c", "ill"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.attach("d", "mute"); err == nil {
		t.Error("a plugin that fails attached a container")
	}
	if got := s.figure("attach_errors"); got != 1 {
		t.Errorf("%v failed to attach, want 1", got)
	}
	s.restart("c", "c")
	found := s.Find("c")
	if !strings.Contains(found.Broken["ill"], "no route") || !strings.Contains(fmt.Sprint(found.Infos[0].GetLabels()), cni.LabelBroken) || len(found.Infos[0].GetLabels().GetLabels()) != 2 {
		t.Errorf("broken %v, told as %v", found.Broken, found.Infos)
	}
	if unavailable, broken := s.figure("networks_unavailable"), s.figure("containers_broken"); unavailable != 1 || broken != 1 {
		t.Errorf("%v networks, %v containers", unavailable, broken)
	}
}

// TestCheckOfTheCNIProject uses what Debian packages.
func TestCheckOfTheCNIProject(t *testing.T) {
	const debian = "/usr/lib/cni"
	if _, err := os.Stat(filepath.Join(debian, "bridge")); err != nil {
		t.Skip("SKIP: plugins are missing; apt-get install containernetworking-plugins")
	}
	s := newSite(t, func(c *cni.Config) { c.PluginDirs, c.Collect = append(c.PluginDirs, debian), true })
	s.configure("net.conflist", `{"cniVersion":"1.0.0","name":"net","plugins":[{"type":"bridge","bridge":"cni-test1","isGateway":true,
		"ipam":{"type":"host-local","subnet":"203.0.113.0/24","dataDir":"`+t.TempDir()+`"}}]}`)
	a, err := s.attach("c", "net")
	if err != nil {
		t.Fatal(err)
	}
	s.restart("c", "c")
	if got := s.Find("c").Broken; len(got) != 0 {
		t.Errorf("broken: %v", got)
	}
	netkit.Inside(t, a.Namespace, func() error {
		link, err := netlink.LinkByName("eth0")
		if err != nil {
			return err
		}
		return netlink.AddrDel(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(a.Infos[0].GetIpAddresses()[0].GetIpAddress()), Mask: net.CIDRMask(24, 32)}})
	})
	s.restart("c", "c")
	if got := s.Find("c").Broken["net"]; !strings.Contains(got, "203.0.113") {
		t.Errorf("an address is missing, and the plugin says %q", got)
	}
}
