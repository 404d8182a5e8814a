package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
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

// address is what the agent's API says of its only container, where statistics are too.
func (d *dev) address(t *testing.T) (ip string) {
	t.Helper()
	agent := "http://127.0.0.1:" + d.ports[len(d.ports)-1]
	eventually(t, "the container's address is known", 20*time.Second, func() error {
		body, err := get(agent + "/containers")
		if err != nil {
			return err
		}
		var containers []struct {
			Status struct {
				NetworkInfos []struct {
					Name        string
					IPAddresses []struct {
						IPAddress string `json:"ip_address"`
					} `json:"ip_addresses"`
				} `json:"network_infos"`
			}
			Statistics map[string]any
		}
		if err := json.Unmarshal([]byte(body), &containers); err != nil {
			return err
		}
		if len(containers) != 1 || len(containers[0].Status.NetworkInfos) != 1 {
			return errors.New(body)
		}
		if n, _ := containers[0].Statistics["net_rx_packets"].(float64); n == 0 {
			return errors.New("no packets in " + body)
		}
		ip = containers[0].Status.NetworkInfos[0].IPAddresses[0].IPAddress
		return nil
	})
	return ip
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

