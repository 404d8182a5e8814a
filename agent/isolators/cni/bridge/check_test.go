package bridge_test

import (
	"context"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/cni"
	"agora.dev/agora/internal/testkit/netkit"
	"github.com/vishvananda/netlink"
)

func TestAgentThatReturnsFindsBrokenNetworks(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, dir)
	attached := map[string]*cni.Attached{}
	ids := []string{"whole", "unplugged", "down", "moved"}
	for _, id := range ids {
		attached[id] = m.attach(id)
	}
	m.kill()
	veth := func(id string) netlink.Link {
		files, _ := filepath.Glob(filepath.Join(dir, "bridge/leases/*"))
		for _, file := range files {
			var l struct{ Container, Veth string }
			if b, err := os.ReadFile(file); err != nil || json.Unmarshal(b, &l) != nil {
				t.Fatal(file, err)
			}
			if l.Container == id {
				link, err := netlink.LinkByName(l.Veth)
				if err != nil {
					t.Fatal(err)
				}
				return link
			}
		}
		t.Fatal("no lease of ", id)
		return nil
	}
	if err := netlink.LinkSetNoMaster(veth("unplugged")); err != nil {
		t.Fatal(err)
	}
	inside := func(id string, do func(netlink.Link) error) {
		netkit.Inside(t, attached[id].Namespace, func() error {
			link, err := netlink.LinkByName("eth0")
			if err != nil {
				return err
			}
			return do(link)
		})
	}
	inside("down", netlink.LinkSetDown)
	inside("moved", func(link netlink.Link) error {
		return netlink.AddrDel(link, &netlink.Addr{IPNet: &net.IPNet{IP: net.ParseIP(ip(attached["moved"])), Mask: net.CIDRMask(22, 32)}})
	})
	m = newMachine(t, dir)
	defer m.kill()
	if err := m.Recover(ids); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"unplugged": "not on bridge", "down": "it is down", "moved": "it has no address"}
	await(t, func() bool {
		return m.Find("unplugged").Broken != nil && m.Find("down").Broken != nil && m.Find("moved").Broken != nil && m.Find("whole").Broken != nil
	})
	for _, id := range ids {
		said := ""
		for _, label := range m.Find(id).Infos[0].GetLabels().GetLabels() {
			if label.GetKey() == cni.LabelBroken {
				said = label.GetValue()
			}
		}
		if (said == "") != (want[id] == "") || !strings.Contains(said, want[id]) {
			t.Errorf("the status of %q says %q, want %q", id, said, want[id])
		}
	}
	if got := figure(m, "containers_broken"); got != 3 {
		t.Errorf("%v containers are counted as broken, want 3", got)
	}
	for _, id := range ids {
		if err := m.Detach(t.Context(), id); err != nil {
			t.Error(err)
		}
	}
	if found := left(t, dir); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
}

func figure(m *machine, name string) (out float64) {
	m.Figures(func(key string, value float64) {
		if key == "containerizer/mesos/network/cni/"+name {
			out = value
		}
	})
	return out
}

func TestAddressesThatNobodyHasAreCollected(t *testing.T) {
	dir := t.TempDir()
	m := newMachine(t, dir)
	m.attach("alive")
	lost := m.attach("lost", mapping(18080, 80, "tcp"))
	m.kill()
	// The record is lost, as by a disk that was repaired: nobody would detach it.
	if err := os.Remove(filepath.Join(dir, "containers/lost/record.json")); err != nil {
		t.Fatal(err)
	}
	m = newMachine(t, dir)
	defer m.kill()
	if err := m.Recover([]string{"alive"}); err != nil {
		t.Fatal(err)
	}
	await(t, func() bool {
		_, err := os.Stat(filepath.Join(dir, "bridge/leases", ip(lost)))
		return os.IsNotExist(err)
	})
	if _, err := os.Stat(filepath.Join(dir, "bridge/leases", ip(m.Find("alive")))); err != nil {
		t.Errorf("the address of a live container: %v", err)
	}
	m.attach("next", mapping(18080, 80, "tcp"))
	for _, id := range []string{"alive", "next"} {
		if err := m.Detach(context.Background(), id); err != nil {
			t.Error(err)
		}
	}
	if found := left(t, dir); len(found) != 0 {
		t.Errorf("left: %v", found)
	}
}
