package e2e

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"agora.dev/agora/auth/tlsconfig"
)

// TestSecuredMasterAndAgent has a master that asks everybody who they are, over TLS, an agent that
// shows its credential, and commands as principals with different rights.
func TestSecuredMasterAndAgent(t *testing.T) {
	needRoot(t)
	dir := t.TempDir()
	authority, err := tlsconfig.LoadAuthority(filepath.Join(dir, "ca"), "e2e")
	if err != nil {
		t.Fatal(err)
	}
	files, err := authority.IssueFiles(dir, "master", tlsconfig.Leaf{Hosts: []string{"127.0.0.1", "localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	port, agentPort := freePort(t), freePort(t)
	addr := fmt.Sprintf("https://127.0.0.1:%d", port)
	start(t, "agora master", "master", fmt.Sprintf("--port=%d", port), "--credentials="+write("credentials", "admin admin-secret\nagents agent-secret\nguest guest-secret\nops ops-secret\nmarathon marathon-secret\n"),
		"--authenticate_http_readonly", "--authenticate_http_readwrite", "--authenticate_http_frameworks", "--authenticate_agents",
		"--ssl_cert_file="+files.CertFile, "--ssl_key_file="+files.KeyFile,
		`--acls={"register_agents":[{"principals":{"values":["agents"]},"agents":{"type":"ANY"}},{"principals":{"type":"NONE"},"agents":{"type":"ANY"}}],
			"register_frameworks":[{"principals":{"values":["guest"]},"roles":{"type":"NONE"}}],"view_tasks":[{"principals":{"values":["guest"]},"users":{"type":"NONE"}}]}`)
	start(t, "agora agent", "agent", fmt.Sprintf("--port=%d", agentPort), fmt.Sprintf("--master=127.0.0.1:%d", port), "--work_dir="+filepath.Join(dir, "agent"),
		"--resources=cpus:2;mem:512;disk:100", "--credential="+write("credential", "agents agent-secret"), "--ssl_enabled", "--ssl_ca_file="+files.CAFile,
		"--http_credentials="+write("operators", "nobody here\n"), `--acls={"launch_nested_container_sessions_under_parent_with_user":[
			{"principals":{"values":["admin"]},"users":{"type":"ANY"}},{"principals":{"type":"ANY"},"users":{"type":"NONE"}}],
			"access_sandboxes":[{"principals":{"values":["guest"]},"users":{"type":"NONE"}}]}`).farewell = syscall.SIGUSR1
	as := func(principal string, args ...string) (int, string, string) {
		return agora(t, append([]string{"--master", addr, "--tls-ca", files.CAFile, "--principal", principal,
			"--secret", "file://" + write(principal, principal+"-secret")}, args...)...)
	}
	eventually(t, "the agent is registered", 30*time.Second, func() error {
		if _, out, errOut := as("admin", "node", "ls"); !strings.Contains(out, fmt.Sprint(agentPort)) && !strings.Contains(out, "UP") && !strings.Contains(out, "active") {
			return errors.New(out + errOut)
		}
		return nil
	})
	if code, out, errOut := as("admin", "run", "--name", "greeting", "builtin/shell", "--", "echo", "hello"); code != 0 || !strings.Contains(out, "hello") {
		t.Errorf("run as admin: %d, %s%s", code, out, errOut)
	}
	securedAgent(t, agentPort, as, func(args ...string) {
		start(t, "agora run", append([]string{"--master", addr, "--tls-ca", files.CAFile, "--principal", "admin", "--secret", "admin-secret", "run"}, args...)...)
	})
	if _, out, errOut := as("admin", "ps", "-a"); !strings.Contains(out, "greeting") {
		t.Errorf("ps as admin: %s%s", out, errOut)
	}
	if _, out, errOut := as("guest", "ps", "-a"); strings.Contains(out, "greeting") {
		t.Errorf("ps as guest shows what a guest may not view: %s%s", out, errOut)
	}
	securedOrchestrator(t, port, dir, files, write, as)
	if code, _, errOut := as("guest", "run", "builtin/shell", "--", "echo", "hello"); code == 0 || !strings.Contains(errOut, "Not authorized to use roles") {
		t.Errorf("run as guest: %d, %s", code, errOut)
	}
	if code, _, errOut := agora(t, "--master", addr, "--tls-ca", files.CAFile, "ps"); code != 1 || !strings.Contains(errOut, "no valid credential") {
		t.Errorf("ps as nobody: %d, %s", code, errOut)
	}
	if code, _, errOut := agora(t, "--master", addr, "--principal", "admin", "--secret", "admin-secret", "ps"); code == 0 || !strings.Contains(errOut, "certificate") {
		t.Errorf("a master of an authority that is not trusted: %d, %s", code, errOut)
	}
}

// securedAgent has principals whom the master knows ask for a task's container: the agent decides.
func securedAgent(t *testing.T, port int, as func(principal string, args ...string) (int, string, string), run func(args ...string)) {
	t.Helper()
	run("--name", "busy", "builtin/shell", "--", "sh", "-c", "echo said; sleep 100")
	eventually(t, "busy runs", 30*time.Second, func() error {
		if _, out, errOut := as("admin", "ps", "busy"); !strings.Contains(out, "RUNNING") {
			return errors.New(out + errOut)
		}
		return nil
	})
	if code, out, errOut := as("admin", "exec", "busy", "--", "echo", "inside"); code != 0 || out != "inside\n" {
		t.Errorf("exec as admin: %d, %s%s", code, out, errOut)
	}
	if code, out, errOut := as("admin", "logs", "busy"); code != 0 || out != "said\n" {
		t.Errorf("logs as admin: %d, %s%s", code, out, errOut)
	}
	if code, _, errOut := as("ops", "exec", "busy", "--", "echo", "inside"); code == 0 || !strings.Contains(errOut, "Not authorized: LAUNCH_NESTED_CONTAINER_SESSION") {
		t.Errorf("exec as ops: %d, %s", code, errOut)
	}
	if code, out, errOut := as("ops", "logs", "busy"); code != 0 || out != "said\n" {
		t.Errorf("logs as ops: %d, %s%s", code, out, errOut)
	}
	response, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/state", port))
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusUnauthorized {
		t.Errorf("the agent itself: %s", response.Status)
	}
}

// securedOrchestrator has an orchestrator that authenticates at the master and asks its own users.
func securedOrchestrator(t *testing.T, master int, dir string, files tlsconfig.Options, write func(name, text string) string,
	as func(principal string, args ...string) (int, string, string)) {
	t.Helper()
	port := freePort(t)
	start(t, "agora orchestrator", "orchestrator", fmt.Sprintf("--master=127.0.0.1:%d", master), fmt.Sprintf("--http_port=%d", port), "--work_dir="+filepath.Join(dir, "orchestrator"),
		"--mesos_authentication_principal=marathon", "--mesos_authentication_secret_file="+write("marathon", "marathon-secret\n"), "--http_credentials=file://"+write("admins", "admin:admin-secret\n"),
		"--ssl_cert_file="+files.CertFile, "--ssl_key_file="+files.KeyFile, "--ssl_ca_file="+files.CAFile)
	eventually(t, "the app runs", 60*time.Second, func() error {
		if code, _, errOut := as("admin", "run", "-d", "--name", "kept", "builtin/shell", "--", "sleep", "1000"); code != 0 {
			return errors.New(errOut)
		}
		if _, out, errOut := as("admin", "ps"); !strings.Contains(out, "kept") || !strings.Contains(out, "RUNNING") {
			return errors.New(out + errOut)
		}
		return nil
	})
	if code, _, errOut := as("ops", "run", "-d", "--name", "stranger", "builtin/shell", "--", "sleep", "1000"); code == 0 || !strings.Contains(errOut, "no valid credential for the realm Mesosphere") {
		t.Errorf("run -d as ops: %d, %s", code, errOut)
	}
	if code, _, errOut := as("admin", "kill", "kept"); code != 0 {
		t.Errorf("kill: %d, %s", code, errOut)
	}
}
