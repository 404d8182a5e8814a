package agent

import (
	"crypto/tls"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/internal/fakecontainers"
	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	executorpb "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/auth/tlsconfig"
	"agora.dev/agora/client/executor"
	"agora.dev/agora/internal/flags"
	"google.golang.org/protobuf/proto"
)

const operatorKey = "0123456789abcdef0123456789abcdef"

// TestASecuredAgentAsksEverybody has an agent that serves by TLS, and operators with a secret, a token and a certificate.
func TestASecuredAgentAsksEverybody(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	authority, err := tlsconfig.LoadAuthority(filepath.Join(dir, "ca"), "test")
	if err != nil {
		t.Fatal(err)
	}
	files, err := authority.IssueFiles(dir, "agent", tlsconfig.Leaf{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	audit := filepath.Join(dir, "audit")
	m, machine := newMaster(t), fakecontainers.New()
	a := startWith(t, dir, 0, Deps{Containerizer: machine, Dialer: m}, func(c *Config) {
		set := flags.New("MESOS_")
		c.Flags(set)
		args := []string{"--http_credentials=" + write("credentials", "ops canary-1\nguest canary-1\n"), "--jwt_secret_key=" + write("key", operatorKey),
			"--ssl_cert_file=" + files.CertFile, "--ssl_key_file=" + files.KeyFile, "--ssl_ca_file=" + files.CAFile, "--audit_log=" + audit,
			`--acls={"view_flags":[{"principals":{"values":["guest"]},"flags":{"type":"NONE"}}]}`}
		if _, err := set.Parse(args, nil); err != nil {
			t.Fatal(err)
		}
	})
	defer a.stop()
	m.register()
	token, err := httpauth.Sign([]byte(operatorKey), map[string]any{"sub": "ops", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, principal, authorization, path string
		want                                 int
	}{
		{"nobody", "", "", "/state", 401},
		{"nobody", "", "", "/health", 200},
		{"a secret", "", httpauth.BasicHeader("ops", "canary-1"), "/flags", 200},
		{"a token", "", "Bearer " + token, "/flags", 200},
		{"a certificate", "ops", "", "/flags", 200},
		{"a certificate", "guest", "", "/flags", 403},
		{"a secret", "", httpauth.BasicHeader("guest", "canary-1"), "/flags", 403},
		{"a wrong secret", "", httpauth.BasicHeader("ops", "wrong"), "/flags", 401},
	} {
		client := &http.Client{Transport: &http.Transport{TLSClientConfig: clientTLS(t, authority, files.CAFile, c.principal)}}
		request, _ := http.NewRequest("GET", "https://"+a.Address()+c.path, nil)
		if c.authorization != "" {
			request.Header.Set("Authorization", c.authorization)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		response.Body.Close()
		client.CloseIdleConnections()
		if response.StatusCode != c.want {
			t.Errorf("%s of %q, %s: %d, want %d", c.name, c.principal, c.path, response.StatusCode, c.want)
		}
	}
	if response, err := http.Get("http://" + a.Address() + "/health"); err == nil {
		response.Body.Close()
		if response.StatusCode == http.StatusOK {
			t.Error("the agent answers in plain text")
		}
	}
	log, err := os.ReadFile(audit)
	if err != nil || strings.Count(string(log), "audit: refused") != 4 || strings.Contains(string(log), "canary") || strings.Contains(string(log), "eyJ") {
		t.Errorf("audit log: %v\n%s", err, log)
	}
	executorOverTLS(t, machine, m)
}

func clientTLS(t *testing.T, authority *tlsconfig.Authority, roots, principal string) *tls.Config {
	t.Helper()
	options := tlsconfig.Options{CAFile: roots, VerifyServerCert: true}
	if principal != "" {
		var err error
		if options, err = authority.IssueFiles(t.TempDir(), "client", tlsconfig.Leaf{Principal: principal}); err != nil {
			t.Fatal(err)
		}
		options.VerifyServerCert = true
	}
	source, err := tlsconfig.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return source.Client()
}

// executorOverTLS has a custom executor call with nothing but its environment.
func executorOverTLS(t *testing.T, machine *fakecontainers.Machine, m *master) {
	t.Helper()
	task := commandTask("t", "")
	task.Command = nil
	task.Executor = &mesos.ExecutorInfo{ExecutorId: &mesos.ExecutorID{Value: proto.String("e")}, Type: mesos.ExecutorInfo_CUSTOM.Enum(),
		Command: &mesos.CommandInfo{Value: proto.String("an executor")}, FrameworkId: &mesos.FrameworkID{Value: proto.String("f")}}
	m.run(task)
	spec, err := machine.Await(t.Context(), func(containerizer.Spec) bool { return true })
	if err != nil {
		t.Fatal(err)
	}
	env, err := executor.ReadEnvironment(func(name string) string { return spec.Env[name] })
	if err != nil || env.TLS == nil {
		t.Fatalf("environment %v: %v", spec.Env, err)
	}
	client := executor.New(executor.Config{Environment: env, MediaType: codec.JSON})
	defer client.Close()
	if err := client.Call(t.Context(), &executorpb.Call{Type: executorpb.Call_HEARTBEAT.Enum()}); err != nil {
		t.Error(err)
	}
	env.Token = ""
	stranger := executor.New(executor.Config{Environment: env, MediaType: codec.JSON})
	defer stranger.Close()
	if err := stranger.Call(t.Context(), &executorpb.Call{Type: executorpb.Call_HEARTBEAT.Enum()}); err == nil || !strings.Contains(err.Error(), "no valid credential") {
		t.Errorf("without a token: %v", err)
	}
}

func TestWhoListensToStrangersAsksThem(t *testing.T) {
	for _, c := range []struct {
		args string
		want string
	}{
		{"--ip=0.0.0.0", "give --authenticate_http_readonly, --authenticate_http_readwrite"},
		{"--ip=0.0.0.0 --http_credentials=/x --authenticate_http_readwrite", "give --authenticate_http_readonly with"},
		{"--ip=0.0.0.0 --http_credentials=/x", ""},
		{"--ip=0.0.0.0 --jwt_secret_key=/x --authenticate_http_readwrite --authenticate_http_readonly", ""},
		{"--ip=0.0.0.0 --insecure", ""},
		{"--ip=127.0.0.1", ""},
	} {
		config, set := Default(), flags.New("MESOS_")
		config.Flags(set)
		if _, err := set.Parse(append(strings.Fields(c.args), "--work_dir="+t.TempDir()), nil); err != nil {
			t.Fatal(err)
		}
		err := config.Check()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.args, err, c.want)
		}
	}
}

func TestOptionsOfAccessThatCannotBeKeptAreErrors(t *testing.T) {
	dir := t.TempDir()
	short := filepath.Join(dir, "short")
	if err := os.WriteFile(short, []byte("short"), 0o600); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"--acls={\"view_flag\":[]}":                                      "unknown key",
		"--authenticate_http_readwrite":                                  "none are configured",
		"--http_credentials=/nothing":                                    "no such file",
		"--jwt_secret_key=" + short:                                      "at least 32",
		"--firewall_rules={\"disabled_endpoints\":{\"paths\":[\"/x\"]}}": "there is no endpoint",
		"--rate_limits={\"limit\":[]}":                                   "unknown field",
		"--ssl_cert_file=/x":                                             "belong together",
	} {
		config, set := Default(), flags.New("MESOS_")
		config.Flags(set)
		config.WorkDir, config.Port, config.Hostname = t.TempDir(), 0, "h"
		if _, err := set.Parse([]string{args}, nil); err != nil {
			t.Fatal(err)
		}
		a, err := New(config, Deps{Containerizer: fakecontainers.New(), Dialer: newMaster(t)})
		if err == nil {
			a.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", args, err, want)
		}
	}
}
