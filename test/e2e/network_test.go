package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"agora.dev/agora/internal/testkit/netkit"
)

// TestMappedPorts is a user's way from a mapped port to the page behind it, in the
// foreground, as an app, over the death of the agent, and until nothing is left.
func TestMappedPorts(t *testing.T) {
	if !netkit.Alone(t) {
		return
	}
	interfaces, state := countInterfaces(t), t.TempDir()
	d := startDevIn(t, state)
	t.Run("foreground", func(t *testing.T) {
		run := start(t, "agora run", "--master", d.master, "run", "--name", "web", "-p", "8081:80", "builtin/demo")
		page(t, "http://127.0.0.1:8081/", "It runs on Agora")
		ip := d.address(t)
		page(t, "http://"+ip+"/health", "ok")
		code, out, errOut := d.agora(t, "run", "-p", "0:80", "builtin/shell", "--", "wget", "-qO-", "http://"+ip+"/health")
		if code != 0 || out != "ok\n" {
			t.Errorf("from a neighbour: exit %d, %q, %s", code, out, errOut)
		}
		run.stop(syscall.SIGINT)
		eventually(t, "the port is closed", 20*time.Second, func() error {
			if _, err := get("http://127.0.0.1:8081/"); err == nil {
				return errors.New("it answers")
			}
			return nil
		})
		bridgeGone(t)
	})
	t.Run("app", func(t *testing.T) {
		if code, _, errOut := d.agora(t, "run", "--detach", "--name", "site", "-p", "8082:80", "builtin/demo"); code != 0 {
			t.Fatal(errOut)
		}
		page(t, "http://127.0.0.1:8082/", "It runs on Agora")
		body, err := get("http://" + d.marathon + "/v2/apps/site/tasks")
		if err != nil || !strings.Contains(body, `"ports":[8082]`) || !strings.Contains(body, `"ipAddress":"10.63.`) {
			t.Errorf("tasks %s, %v", body, err)
		}
		if code, _, errOut := d.agora(t, "kill", "site"); code != 0 {
			t.Error(errOut)
		}
		bridgeGone(t)
	})
	d.stop(syscall.SIGINT)
	givenBack(t, interfaces, state)
	if b, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); strings.TrimSpace(string(b)) != "0" {
		t.Error("forwarding was left on")
	}
}

// page waits until an address answers with a word.
func page(t *testing.T, url, want string) {
	t.Helper()
	eventually(t, url+" answers", 30*time.Second, func() error {
		body, err := get(url)
		if err == nil && !strings.Contains(body, want) {
			err = fmt.Errorf("no %q in %q", want, body)
		}
		return err
	})
}

// address is that of the agent's only container, once something has passed through its
// interface.
func (d *dev) address(t *testing.T) (ip string) {
	t.Helper()
	port, _ := strconv.Atoi(d.ports[len(d.ports)-1])
	eventually(t, "the container's address is known", 20*time.Second, func() error {
		containers, err := containersOf(port)
		if err != nil {
			return err
		}
		if len(containers) != 1 || len(containers[0].Status.NetworkInfos) != 1 {
			return fmt.Errorf("%+v", containers)
		}
		if n, _ := containers[0].Statistics["net_rx_packets"].(float64); n == 0 {
			return fmt.Errorf("no packets in %+v", containers)
		}
		ip = containers[0].Status.NetworkInfos[0].IPAddresses[0].IPAddress
		return nil
	})
	return ip
}

// containerEntry is what /containers says of one.
type containerEntry struct {
	Status struct {
		ExecutorPID  int `json:"executor_pid"`
		NetworkInfos []struct {
			Name        string
			IPAddresses []struct {
				IPAddress string `json:"ip_address"`
			} `json:"ip_addresses"`
		} `json:"network_infos"`
	}
	Statistics map[string]any
}

func containersOf(agentPort int) (found []containerEntry, err error) {
	body, err := get(fmt.Sprintf("http://127.0.0.1:%d/containers", agentPort))
	if err == nil {
		err = json.Unmarshal([]byte(body), &found)
	}
	return found, err
}

func bridgeGone(t *testing.T) {
	t.Helper()
	eventually(t, "no bridge is left", 20*time.Second, func() error {
		found, err := filepath.Glob("/proc/sys/net/ipv4/conf/ag*")
		if err == nil && len(found) > 0 {
			err = fmt.Errorf("%v", found)
		}
		return err
	})
}

// TestMappedPortOutlivesAgentAndLauncher kills what made the network, twice: the task is
// reached all the time, and its end, seen or not, leaves nothing.
func TestMappedPortOutlivesAgentAndLauncher(t *testing.T) {
	if !netkit.Alone(t) {
		return
	}
	c := startCluster(t)
	serve := func(name, port string) *process {
		p := start(t, "agora run "+name, "--master", c.addr(), "run", "--name", name, "-p", port+":80", "builtin/demo")
		page(t, "http://127.0.0.1:"+port+"/", "It runs on Agora")
		return p
	}
	kept := serve("kept", "31001")
	killBoth(t, c)
	page(t, "http://127.0.0.1:31001/", "It runs on Agora")
	c.startAgent()
	page(t, "http://127.0.0.1:31001/", "It runs on Agora")
	other := serve("other", "31002")
	kept.stop(syscall.SIGINT)
	eventually(t, "the port is closed", 20*time.Second, func() error {
		if _, err := get("http://127.0.0.1:31001/"); err == nil {
			return errors.New("it answers")
		}
		return nil
	})
	page(t, "http://127.0.0.1:31002/", "It runs on Agora")
	// This one ends while nobody looks.
	var pid int
	eventually(t, "one container is left", 20*time.Second, func() error {
		found, err := containersOf(c.agentPort)
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("%d containers", len(found))
		}
		if err == nil {
			pid = found[0].Status.ExecutorPID
		}
		return err
	})
	killBoth(t, c)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	c.startAgent()
	bridgeGone(t)
	<-other.done
}

func killBoth(t *testing.T, c *cluster) {
	t.Helper()
	launcher, err := pidOf("launcher", c.agentDir)
	if err != nil {
		t.Fatal(err)
	}
	c.agent.stop(syscall.SIGKILL)
	if err := syscall.Kill(launcher, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
}
