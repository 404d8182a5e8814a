package orchestrator_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"agora.dev/agora/auth/tlsconfig"
	"agora.dev/agora/internal/flags"
	"agora.dev/agora/kv/memkv"
	"agora.dev/agora/orchestrator"
)

// lines is a log that several goroutines write.
type lines struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func parsed(t *testing.T, args ...string) orchestrator.Options {
	t.Helper()
	options, set := orchestrator.DefaultOptions(), flags.New("MARATHON_")
	options.Flags(set)
	if _, err := set.Parse(args, nil); err != nil {
		t.Fatal(err)
	}
	return options
}

func TestASecuredOrchestratorAsksEverybody(t *testing.T) {
	dir := t.TempDir()
	authority, err := tlsconfig.LoadAuthority(filepath.Join(dir, "ca"), "test")
	if err != nil {
		t.Fatal(err)
	}
	files, err := authority.IssueFiles(dir, "orchestrator", tlsconfig.Leaf{Hosts: []string{"127.0.0.1"}})
	if err != nil {
		t.Fatal(err)
	}
	credentials := filepath.Join(dir, "credentials")
	if err := os.WriteFile(credentials, []byte("ops canary-ops\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	log := &lines{}
	// No master is needed to be asked who one is: nobody listens on port 1.
	p, err := orchestrator.Open(parsed(t, "--master=127.0.0.1:1", "--http_port=0", "--work_dir="+dir, "--http_credentials=admin:canary:with:colons",
		"--credentials="+credentials, "--ssl_cert_file="+files.CertFile, "--ssl_key_file="+files.KeyFile, "--ssl_ca_file="+files.CAFile),
		memkv.New(), slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- p.Run(ctx) }()
	source, err := tlsconfig.Open(tlsconfig.Options{CAFile: files.CAFile, VerifyServerCert: true})
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: source.Client()}}
	for _, c := range []struct {
		method, user, password, origin string
		want                           int
	}{
		{"GET", "", "", "", 401},
		{"GET", "admin", "wrong", "", 401},
		{"GET", "admin", "canary:with:colons", "", 200},
		{"GET", "ops", "canary-ops", "", 200},
		{"DELETE", "", "", "", 401},
		{"DELETE", "ops", "canary-ops", "", 404},
		{"DELETE", "ops", "canary-ops", "http://elsewhere", 403},
	} {
		request, _ := http.NewRequest(c.method, "https://"+p.Addr()+"/v2/info", nil)
		if c.user != "" {
			request.SetBasicAuth(c.user, c.password)
		}
		if c.origin != "" {
			request.Header.Set("Origin", c.origin)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != c.want || (c.want == 401) != (response.Header.Get("WWW-Authenticate") == `Basic realm="Mesosphere"`) {
			t.Errorf("%s as %q %q from %q: %d %q, want %d", c.method, c.user, c.password, c.origin, response.StatusCode, response.Header.Get("WWW-Authenticate"), c.want)
		}
	}
	client.CloseIdleConnections()
	stop()
	if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if text := log.String(); strings.Contains(text, "canary") || strings.Count(text, "audit: refused") != 4 || !strings.Contains(text, "audit: changed") {
		t.Errorf("log:\n%s", text)
	}
}

func TestOptionsThatCannotBeKeptAreErrors(t *testing.T) {
	dir := t.TempDir()
	open := filepath.Join(dir, "open")
	if err := os.WriteFile(open, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string]string{
		"":                                 "--master is missing",
		"--master=zk://h:2181/mesos":       "detection over zk",
		"--http_address=0.0.0.0":           "without authentication",
		"--http_address=x":                 "not an address",
		"--http_port=70000":                "not a port",
		"--http_credentials=nobody":        "not user:password",
		"--http_credentials=:x":            "may not be empty",
		"--credentials=" + open:            "read or written by others",
		"--mesos_authentication_principal": "belong together",
		"--mesos_authentication_principal=p --mesos_authentication_secret_file=" + open: "read or written by others",
		"--ssl_enabled":     "--ssl_enabled needs",
		"--ssl_key_file=/x": "belong together",
	} {
		all := strings.Fields(args)
		if args != "" && !strings.Contains(args, "--master") {
			all = append(all, "--master=127.0.0.1:1")
		}
		for i, one := range all {
			if !strings.Contains(one, "=") && one != "--ssl_enabled" {
				all[i] = one + "=p"
			}
		}
		p, err := orchestrator.Open(parsed(t, append(all, "--work_dir="+dir)...), memkv.New(), slog.New(slog.DiscardHandler))
		if err == nil {
			p.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "secret\n") {
			t.Errorf("%q: %v, want %q", args, err, want)
		}
	}
}
