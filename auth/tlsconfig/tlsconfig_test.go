package tlsconfig

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"agora.dev/agora/auth/httpauth"
	"agora.dev/agora/internal/flags"
)

func authority(t *testing.T) *Authority {
	t.Helper()
	a, err := NewAuthority("test")
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func open(t *testing.T, a *Authority, name string, leaf Leaf, change func(*Options)) *Source {
	t.Helper()
	options, err := a.IssueFiles(t.TempDir(), name, leaf)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&options)
	}
	s, err := Open(options)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// handshake connects a client to a server, and gives what the server saw and either's error.
func handshake(t *testing.T, server, client *tls.Config, name string) (tls.ConnectionState, error) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	type result struct {
		state tls.ConnectionState
		err   error
	}
	accepted := make(chan result, 1)
	go func() {
		raw, err := listener.Accept()
		if err != nil {
			accepted <- result{err: err}
			return
		}
		conn := tls.Server(raw, server)
		defer conn.Close()
		err = conn.Handshake()
		if err == nil {
			_, err = io.WriteString(conn, "x")
		}
		accepted <- result{conn.ConnectionState(), err}
	}()
	client = client.Clone()
	client.ServerName = name
	conn, err := tls.Dial("tcp", listener.Addr().String(), client)
	if err == nil {
		_, err = conn.Read(make([]byte, 1)) // a ticket comes with it
		conn.Close()
	}
	got := <-accepted
	if err == nil {
		err = got.err
	}
	return got.state, err
}

func TestBothSidesKnowEachOtherAndResume(t *testing.T) {
	a := authority(t)
	server := open(t, a, "master", Leaf{Principal: "master", Hosts: []string{"master.example", "127.0.0.1"}},
		func(o *Options) { o.RequireClientCert = true })
	client := open(t, a, "agent", Leaf{Principal: "agents"}, nil)
	listening := server.Server()
	for i, resumed := range []bool{false, true, true} {
		state, err := handshake(t, listening, client.Client(), "master.example")
		if err != nil {
			t.Fatal(err)
		}
		if got := httpauth.IdentityOf(state.VerifiedChains[0][0]); got != "agents" || state.DidResume != resumed || state.Version < tls.VersionTLS13 {
			t.Errorf("connection %d: identity %q, resumed %v, version %x", i, got, state.DidResume, state.Version)
		}
	}
}

func TestWhoIsNotMeantIsRefused(t *testing.T) {
	a, other := authority(t), authority(t)
	server := open(t, a, "master", Leaf{Principal: "master", Hosts: []string{"master.example"}}, func(o *Options) { o.RequireClientCert = true })
	serverOnly := open(t, a, "web", Leaf{Hosts: []string{"web.example"}}, nil)
	good := open(t, a, "agent", Leaf{Principal: "agents"}, nil)
	stranger := open(t, other, "agent", Leaf{Principal: "agents"}, func(o *Options) {
		os.WriteFile(o.CAFile, a.RootPEM(), 0o644)
	})
	nobody, err := Open(Options{CAFile: good.options.CAFile, VerifyServerCert: true})
	if err != nil {
		t.Fatal(err)
	}
	old := good.Client()
	old.MaxVersion = tls.VersionTLS11
	old.MinVersion = tls.VersionTLS10
	for name, c := range map[string]struct {
		server, client *tls.Config
		host           string
	}{
		"another host":                     {server.Server(), good.Client(), "evil.example"},
		"another authority":                {server.Server(), stranger.Client(), "master.example"},
		"no certificate":                   {server.Server(), nobody.Client(), "master.example"},
		"a server's certificate as client": {server.Server(), serverOnly.Client(), "master.example"},
		"a client's certificate as server": {good.Server(), good.Client(), "master.example"},
		"an old version":                   {server.Server(), old, "master.example"},
	} {
		if _, err := handshake(t, c.server, c.client, c.host); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}

func TestCertificateIsOptionalUnlessRequired(t *testing.T) {
	a := authority(t)
	server := open(t, a, "master", Leaf{Hosts: []string{"master.example"}}, nil)
	nobody, err := Open(Options{CAFile: server.options.CAFile, VerifyServerCert: true})
	if err != nil {
		t.Fatal(err)
	}
	state, err := handshake(t, server.Server(), nobody.Client(), "master.example")
	if err != nil || len(state.VerifiedChains) != 0 {
		t.Errorf("got %v, %v", state.VerifiedChains, err)
	}
	if nobody.Server() != nil {
		t.Error("a source without a certificate serves")
	}
}

func TestChangedFilesAreUsedAndSessionsStay(t *testing.T) {
	a := authority(t)
	server := open(t, a, "master", Leaf{Hosts: []string{"master.example"}}, nil)
	client, err := Open(Options{CAFile: server.options.CAFile, VerifyServerCert: true})
	if err != nil {
		t.Fatal(err)
	}
	listening := server.Server()
	if _, err := handshake(t, listening, client.Client(), "master.example"); err != nil {
		t.Fatal(err)
	}
	before := server.pair
	dir := server.options.CertFile[:strings.LastIndexByte(server.options.CertFile, '/')]
	if _, err := a.IssueFiles(dir, "master", Leaf{Hosts: []string{"master.example", "new.example"}}); err != nil {
		t.Fatal(err)
	}
	look := func() { server.mu.Lock(); server.looked = time.Time{}; server.mu.Unlock() }
	look()
	state, err := handshake(t, listening, client.Client(), "master.example")
	if err != nil || !state.DidResume {
		t.Errorf("after rotation: resumed %v, %v", state.DidResume, err)
	}
	if server.pair == before {
		t.Error("the new certificate is not used")
	}
	if _, err := handshake(t, listening, client.Client(), "new.example"); err != nil {
		t.Errorf("the new name: %v", err)
	}
	after := server.pair
	if err := os.WriteFile(server.options.KeyFile, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	look()
	if _, err := handshake(t, listening, client.Client(), "master.example"); err != nil || server.pair != after {
		t.Errorf("a broken file replaced a good one: %v", err)
	}
}

func TestOptionsComeFromMesosVariablesToo(t *testing.T) {
	o := Options{VerifyServerCert: true}
	set := flags.New("MESOS_")
	o.Flags(set)
	if _, err := set.Parse([]string{"--ssl_cert_file=/c"}, []string{"LIBPROCESS_SSL_KEY_FILE=/k", "MESOS_SSL_CA_FILE=/r",
		"LIBPROCESS_SSL_REQUIRE_CERT=true", "LIBPROCESS_PORT=0"}); err != nil {
		t.Fatal(err)
	}
	want := Options{CertFile: "/c", KeyFile: "/k", CAFile: "/r", RequireClientCert: true, VerifyServerCert: true}
	if o != want || !o.On() {
		t.Errorf("got %+v", o)
	}
}

func TestAuthorityStaysTheSame(t *testing.T) {
	dir := t.TempDir()
	first, err := LoadAuthority(dir, "cluster")
	if err != nil {
		t.Fatal(err)
	}
	second, err := LoadAuthority(dir, "cluster")
	if err != nil || string(first.RootPEM()) != string(second.RootPEM()) {
		t.Errorf("the root changed: %v", err)
	}
	if info, err := os.Stat(dir + "/ca-key.pem"); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("key: %v, %v", info, err)
	}
}

func TestBadOptionsSayWhatIsMissing(t *testing.T) {
	for _, c := range []struct {
		options Options
		want    string
	}{
		{Options{CertFile: "/c"}, "belong together"},
		{Options{RequireClientCert: true}, "needs --ssl_ca_file"},
		{Options{CertFile: "/nowhere/c", KeyFile: "/nowhere/k"}, "read certificate"},
		{Options{CAFile: "/dev/null"}, "no certificate in /dev/null"},
	} {
		if _, err := Open(c.options); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.options, err, c.want)
		}
	}
}
