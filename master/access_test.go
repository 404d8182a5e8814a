package master_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"agora.dev/agora/api/agora/link/v1"
	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	masterpb "agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/auth/tlsconfig"
	"agora.dev/agora/client/agentlink"
	"agora.dev/agora/client/operator"
	schedulerclient "agora.dev/agora/client/scheduler"
	"agora.dev/agora/master"
	"go.uber.org/goleak"
)

const canary = "canary-secret-91c7"

// lockedBuffer collects what is logged.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// secured is a master whose every realm asks, over TLS.
type secured struct {
	*master.Master
	log       *lockedBuffer
	authority *tlsconfig.Authority
	dir       string
}

func startSecured(t *testing.T, arguments ...string) *secured {
	t.Helper()
	s := &secured{log: &lockedBuffer{}, dir: t.TempDir()}
	var err error
	if s.authority, err = tlsconfig.LoadAuthority(filepath.Join(s.dir, "ca"), "test"); err != nil {
		t.Fatal(err)
	}
	files, err := s.authority.IssueFiles(s.dir, "master", tlsconfig.Leaf{Principal: "master", Hosts: []string{"127.0.0.1", "localhost"}})
	if err != nil {
		t.Fatal(err)
	}
	credentials := `{"credentials":[{"principal":"admin","secret":"` + canary + `"},{"principal":"web","secret":"` + canary + `"}]}`
	if err := os.WriteFile(filepath.Join(s.dir, "credentials"), []byte(credentials), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := master.Parse(append([]string{"--port=0", "--credentials=file://" + filepath.Join(s.dir, "credentials"),
		"--authenticate_http_readonly", "--authenticate_http_readwrite", "--authenticate_http_frameworks", "--authenticate_agents",
		"--ssl_cert_file=" + files.CertFile, "--ssl_key_file=" + files.KeyFile, "--ssl_ca_file=" + files.CAFile}, arguments...), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s.Master, err = master.New(cfg, master.Deps{Log: slog.New(slog.NewJSONHandler(s.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		goleak.VerifyNone(t)
	})
	client := s.operator(t, "", httpauth.BasicHeader("admin", canary))
	for deadline := time.Now().Add(10 * time.Second); ; {
		if _, err := client.Get(t.Context(), "/state-summary"); err == nil {
			return s
		} else if time.Now().After(deadline) {
			t.Fatal(err)
		}
	}
}

// source has the certificate of a principal, or none.
func (s *secured) source(t *testing.T, principal string) *tlsconfig.Source {
	t.Helper()
	options := tlsconfig.Options{CAFile: filepath.Join(s.dir, "ca.pem"), VerifyServerCert: true}
	if principal != "" {
		var err error
		if options, err = s.authority.IssueFiles(t.TempDir(), "client", tlsconfig.Leaf{Principal: principal}); err != nil {
			t.Fatal(err)
		}
	}
	source, err := tlsconfig.Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return source
}

func (s *secured) operator(t *testing.T, certificate, authorization string) *operator.Client {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: s.source(t, certificate).Client()}}
	t.Cleanup(client.CloseIdleConnections)
	return operator.New("https://"+s.Addr(), operator.WithHTTPClient(client), operator.WithAuthorization(authorization))
}

func TestASecuredMasterAsksEverybody(t *testing.T) {
	s := startSecured(t)
	call := &masterpb.Call{Type: masterpb.Call_GET_STATE.Enum()}
	for _, c := range []struct {
		name, certificate, authorization string
		want                             string
	}{
		{"basic", "", httpauth.BasicHeader("admin", canary), ""},
		{"certificate", "admin", "", ""},
		{"nothing", "", "", "has no valid credential for the realm mesos-master-readwrite"},
		{"wrong secret", "", httpauth.BasicHeader("admin", "x"), "has no valid credential"},
	} {
		_, err := s.operator(t, c.certificate, c.authorization).Master(t.Context(), call)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	if r, err := http.Get("http://" + s.Addr() + "/state"); err == nil {
		r.Body.Close()
		if r.StatusCode != http.StatusBadRequest {
			t.Errorf("plain text: %s", r.Status)
		}
	}
	if _, err := (agentlink.Dialer{TLS: s.source(t, "").Client}).Dial(t.Context(), s.Addr()); err == nil || !strings.Contains(err.Error(), "401") {
		t.Errorf("an agent without a credential: %v", err)
	}
}

// TestFrameworksAndAgentsOverTLS has a framework and an agent work through a secured master.
func TestFrameworksAndAgentsOverTLS(t *testing.T) {
	s := startSecured(t, `--acls={"permissive":false,"register_agents":[{"principals":{"values":["agents"]},"agents":{"type":"ANY"}}],
		"register_frameworks":[{"principals":{"values":["web"]},"roles":{"values":["web"]}}]}`)
	stranger, err := (agentlink.Dialer{TLS: s.source(t, "web").Client}).Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer stranger.Close()
	register := &link.FromAgent{Message: &link.FromAgent_Register{Register: &link.Register{Version: ptr("1.11.0"),
		Agent: &mesos.AgentInfo{Hostname: ptr("h"), Port: ptr(int32(1)), Resources: []*mesos.Resource{scalar("cpus", 8), scalar("mem", 8192)}}}}}
	_ = stranger.Send(register)
	if m, err := stranger.Recv(); err != nil || !strings.Contains(m.GetRefused().GetReason(), "Not authorized to register as 'web'") {
		t.Fatalf("an agent that is none: %v, %v", m, err)
	}
	agent, err := (agentlink.Dialer{TLS: s.source(t, "agents").Client}).Dial(t.Context(), s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer agent.Close()
	_ = agent.Send(register)
	if m, err := agent.Recv(); err != nil || m.GetRegistered() == nil {
		t.Fatalf("agent: %v, %v", m, err)
	}
	for role, want := range map[string]scheduler.Event_Type{"db": scheduler.Event_ERROR, "web": scheduler.Event_SUBSCRIBED} {
		client := schedulerclient.New(schedulerclient.Config{Masters: []string{"https://" + s.Addr()}, MediaType: codec.JSON,
			Authorization: httpauth.BasicHeader("web", canary), TLS: s.source(t, "").Client()})
		stream, err := client.Subscribe(t.Context(), &scheduler.Call_Subscribe{FrameworkInfo: &mesos.FrameworkInfo{User: ptr("root"), Name: ptr("n"),
			Roles: []string{role}, Capabilities: []*mesos.FrameworkInfo_Capability{{Type: mesos.FrameworkInfo_Capability_MULTI_ROLE.Enum()}}}})
		if err != nil {
			t.Fatal(err)
		}
		if event, err := stream.Next(); err != nil || event.GetType() != want {
			t.Errorf("role %s: %v, %v", role, event, err)
		}
		stream.Close()
		client.Close()
	}
}

// TestNoSecretIsShown looks for secrets in everything that a master shows and logs.
func TestNoSecretIsShown(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(canary+canary), 0o600); err != nil {
		t.Fatal(err)
	}
	s := startSecured(t, "--jwt_secret_key="+key, `--rate_limits={"limits":[{"principal":"web","qps":1000}]}`)
	token, err := httpauth.Sign([]byte(canary+canary), map[string]any{"sub": "admin", "exp": time.Now().Add(time.Hour).Unix()})
	if err != nil {
		t.Fatal(err)
	}
	var shown strings.Builder
	for _, authorization := range []string{httpauth.BasicHeader("admin", canary), "Bearer " + token, httpauth.BasicHeader(canary, canary), "Bearer " + canary, canary} {
		client := s.operator(t, "", authorization)
		for _, path := range []string{"/state", "/flags", "/metrics/snapshot", "/slaves", "/frameworks", "/roles", "/version"} {
			body, err := client.Get(t.Context(), path)
			shown.Write(body)
			if err != nil {
				shown.WriteString(err.Error())
			}
		}
	}
	web := s.operator(t, "", httpauth.BasicHeader("web", canary))
	if _, err := web.Master(t.Context(), &masterpb.Call{Type: masterpb.Call_TEARDOWN.Enum(), Teardown: &masterpb.Call_Teardown{
		FrameworkId: &mesos.FrameworkID{Value: ptr("x")}}}); err == nil {
		t.Error("an unknown framework is torn down")
	}
	log := s.log.String()
	for where, text := range map[string]string{"answers": shown.String(), "log": log} {
		for _, secret := range []string{canary + `"`, canary + canary, token} {
			// As the name of a principal the canary is no secret: only the log may have it.
			if strings.Contains(text, secret) && (where == "answers" || secret != canary+`"`) {
				t.Errorf("%s hold %q", where, secret)
			}
		}
	}
	if !strings.Contains(log, `"audit: changed"`) || !strings.Contains(log, `"audit: refused"`) || !strings.Contains(shown.String(), "messages_processed") {
		t.Error("neither a change nor a refusal is in the audit log, or principals are not counted")
	}
}

func TestRateLimitsHoldForHTTP(t *testing.T) {
	s := startSecured(t, `--rate_limits={"limits":[{"principal":"web","qps":0.001,"capacity":0}]}`)
	web := s.operator(t, "", httpauth.BasicHeader("web", canary))
	codes := []string{}
	for range 3 {
		_, err := web.Get(t.Context(), "/roles")
		codes = append(codes, errorText(err))
	}
	if codes[0] != "" || codes[1] != "Message dropped: capacity(0) exceeded" || codes[2] != codes[1] {
		t.Errorf("got %q", codes)
	}
	if _, err := s.operator(t, "", httpauth.BasicHeader("admin", canary)).Get(t.Context(), "/roles"); err != nil {
		t.Errorf("another principal: %v", err)
	}
}

func errorText(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestBeyondLoopbackAMasterAsksEverybody(t *testing.T) {
	for _, c := range []struct {
		arguments []string
		want      string
	}{
		{[]string{"--ip=0.0.0.0"}, "--authenticate_http_readonly, --authenticate_http_readwrite, --authenticate_http_frameworks, --authenticate_agents"},
		{[]string{"--ip=0.0.0.0", "--insecure"}, ""},
		{[]string{"--ip=0.0.0.0", "--authenticate_http_readonly", "--authenticate_http_readwrite", "--authenticate_frameworks"}, "give --authenticate_agents with"},
		{[]string{"--ip=0.0.0.0", "--authenticate_http_readonly", "--authenticate_http_readwrite", "--authenticate", "--authenticate_slaves"}, ""},
	} {
		if _, err := master.Parse(c.arguments, nil); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: got %v, want %q", c.arguments, err, c.want)
		}
	}
	for _, c := range []struct{ argument, want string }{
		{"--authenticate_agents", "none are configured"},
		{"--acls={", "--acls: acls:"},
		{"--acls=/nowhere", "--acls: "},
		{"--rate_limits={\"x\":1}", "--rate_limits: "},
		{"--authorizers=ranger", "is not there"},
		{"--http_authenticators=kerberos", "is none of basic, jwt, certificate"},
		{"--http_authenticators=jwt", "jwt is not configured"},
		{"--credentials=/nowhere", "no such file"},
		{"--ssl_enabled", "needs --ssl_cert_file"},
	} {
		cfg, err := master.Parse([]string{"--port=0", c.argument}, nil)
		if err != nil {
			t.Fatal(err)
		}
		m, err := master.New(cfg, master.Deps{})
		if err == nil {
			m.Close()
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.argument, err, c.want)
		}
	}
}
