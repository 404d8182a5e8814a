package etcdkv_test

import (
	"bufio"
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/server/v3/embed"
	"go.uber.org/zap"

	"agora.dev/agora/kv"
	"agora.dev/agora/kv/etcdkv"
	"agora.dev/agora/kv/kvtest"
)

const childVar = "ETCDKV_TEST_WRITE_IN"

// TestMain is also the child process of the kill -9 test.
func TestMain(m *testing.M) {
	if dir := os.Getenv(childVar); dir != "" {
		writeForEver(dir)
	}
	os.Exit(m.Run())
}

func openEmbedded(t *testing.T, dir string) *etcdkv.Store {
	t.Helper()
	s, err := etcdkv.OpenEmbedded(t.Context(), etcdkv.EmbeddedConfig{Dir: dir, NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestEmbeddedKeepsTheContract(t *testing.T) {
	kvtest.Run(t, func(t *testing.T) kv.Store { return openEmbedded(t, t.TempDir()) })
}

func TestExternalKeepsTheContract(t *testing.T) {
	address := startServer(t)
	n := 0
	kvtest.Run(t, func(t *testing.T) kv.Store {
		n++
		s, err := etcdkv.Dial(t.Context(), etcdkv.ExternalConfig{Endpoints: []string{address}, Prefix: fmt.Sprintf("/test%d/", n)})
		if err != nil {
			t.Fatal(err)
		}
		return s
	})
}

// startServer runs an etcd that listens, as a site's own would.
func startServer(t *testing.T) string {
	t.Helper()
	c := embed.NewConfig()
	any := []url.URL{{Scheme: "http", Host: "127.0.0.1:0"}}
	c.Dir, c.ListenClientUrls, c.ListenPeerUrls = t.TempDir(), any, any
	c.AdvertiseClientUrls, c.AdvertisePeerUrls = any, any
	c.InitialCluster = c.InitialClusterFromName(c.Name)
	c.MaxTxnOps, c.MaxRequestBytes, c.UnsafeNoFsync = 2*kv.MaxOps, 4<<20, true
	c.ZapLoggerBuilder = embed.NewZapLoggerBuilder(zap.NewNop())
	server, err := embed.StartEtcd(c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(server.Close)
	<-server.Server.ReadyNotify()
	return "http://" + server.Clients[0].Addr().String()
}

func TestDialToNobodySaysSo(t *testing.T) {
	_, err := etcdkv.Dial(t.Context(), etcdkv.ExternalConfig{Endpoints: []string{"127.0.0.1:1"}, DialTimeout: 300 * time.Millisecond})
	if err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %v, want one line with the address", err)
	}
}

func TestASecondProcessOnTheDirectoryIsRefused(t *testing.T) {
	dir := t.TempDir()
	s := openEmbedded(t, dir)
	defer s.Close()
	_, err := etcdkv.OpenEmbedded(t.Context(), etcdkv.EmbeddedConfig{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "in use by process "+strconv.Itoa(os.Getpid())) {
		t.Fatalf("got %v, want the holder named", err)
	}
}

func TestADamagedDirectoryIsOneClearLine(t *testing.T) {
	dir := t.TempDir()
	s := openEmbedded(t, dir)
	if _, err := s.Txn(t.Context(), kv.Txn{Then: []kv.Op{kv.Put("a", nil)}}); err != nil {
		t.Fatal(err)
	}
	s.Close()
	files, _ := filepath.Glob(filepath.Join(dir, "etcd/member/wal/*.wal"))
	for _, file := range files {
		if err := os.WriteFile(file, []byte("not a log"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	_, err := etcdkv.OpenEmbedded(t.Context(), etcdkv.EmbeddedConfig{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), dir) || strings.Contains(err.Error(), "\n") {
		t.Fatalf("got %v, want one line that names %s", err, dir)
	}
}

// writeForEver puts ever higher numbers and prints each once it is acknowledged.
func writeForEver(dir string) {
	s, err := etcdkv.OpenEmbedded(context.Background(), etcdkv.EmbeddedConfig{Dir: dir})
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for n := 1; ; n++ {
		if _, err := s.Txn(context.Background(), kv.Txn{Then: []kv.Op{kv.Put("n", []byte(strconv.Itoa(n)))}}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(n)
	}
}

func TestAcknowledgedWritesSurviveKillNine(t *testing.T) {
	dir := t.TempDir()
	for round := range 2 {
		child := exec.Command(os.Args[0])
		child.Env = append(os.Environ(), childVar+"="+dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		last := 0
		lines := bufio.NewScanner(out)
		for last < 20+round && lines.Scan() {
			if last, err = strconv.Atoi(lines.Text()); err != nil {
				t.Fatalf("child: %s", lines.Text())
			}
		}
		child.Process.Kill()
		child.Wait()
		s := openEmbedded(t, dir)
		entry, found, err := s.Get(t.Context(), "n")
		if err != nil || !found {
			t.Fatalf("after the kill: %v %v", found, err)
		}
		if got, _ := strconv.Atoi(string(entry.Value)); got < last || last < 20 {
			t.Fatalf("found %d, but %d was acknowledged", got, last)
		}
		s.Close()
	}
}
