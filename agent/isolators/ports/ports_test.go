package ports_test

import (
	"net"
	"os"
	"strconv"
	"strings"
	"testing"

	"agora.dev/agora/agent/isolators/ports"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

func TestOnlyWhatIsLookedAtAndNotGivenIsBeyond(t *testing.T) {
	for _, c := range []struct{ within, listens, given, want string }{
		{"", "[80-80]", "[]", "[80-80]"},
		{"", "[31000-31001]", "[31000-31000]", "[31001-31001]"},
		{"", "[31000-31001]", "[31000-32000]", "[]"},
		{"", "[]", "[31000-32000]", "[]"},
		{"[31000-32000]", "[80-80, 31005-31005]", "[31000-31000]", "[31005-31005]"},
		{"[31000-32000]", "[80-80, 40000-40000]", "[]", "[]"},
		{"[1-1]", "[80-80]", "[]", "[]"},
	} {
		rules := ports.Rules{}
		if c.within != "" {
			rules.Within = ranges(t, c.within)
		}
		if got := rules.Beyond(ranges(t, c.listens), ranges(t, c.given)); got.String() != ranges(t, c.want).String() {
			t.Errorf("%+v: got %s", c, got)
		}
	}
}

func TestLimitationNamesContainerAndPorts(t *testing.T) {
	end := ports.Limitation("box", ranges(t, "[80-81, 443-443]"))
	if want := "Container box is listening on unallocated port(s): [80-81, 443-443]"; end.Message != want {
		t.Errorf("got %q, want %q", end.Message, want)
	}
	if end.Reason != mesos.TaskStatus_REASON_CONTAINER_LIMITATION || end.State != mesos.TaskState_TASK_FAILED {
		t.Errorf("got %s, %s", end.State, end.Reason)
	}
	if got := ports.Of(end.Limited); got.String() != ranges(t, "[80-81, 443-443]").String() {
		t.Errorf("the resources of the limitation are %s", got)
	}
}

func TestRangesOfPorts(t *testing.T) {
	for text, want := range map[string]string{
		"31000-32000": "not of the form", "[]": "not of the form", "[5-1]": "not of the form", "[a-b]": "not of the form", "": "not of the form",
		"[1-70000]": "end at 65535", "[1-65535]": "", "[31000-31000, 5-7]": "",
	} {
		_, err := ports.ParseRange(text)
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// TestListeningSocketsOfAProcess holds this process's own sockets against what the kernel says.
func TestListeningSocketsOfAProcess(t *testing.T) {
	var streams, datagrams resources.Ranges
	add := func(to *resources.Ranges, port int) {
		*to = to.Add(resources.NewRanges(resources.Range{Begin: uint64(port), End: uint64(port)}))
	}
	for _, host := range []string{"127.0.0.1", "::1"} {
		l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Logf("not looked at: %v", err)
			continue
		}
		defer l.Close()
		add(&streams, l.Addr().(*net.TCPAddr).Port)
		client, err := net.Dial("tcp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close() // does not listen
		// A port that the kernel picks is a client's; so is that of who has a peer.
		picked, err := net.ListenPacket("udp", net.JoinHostPort(host, "0"))
		if err != nil {
			t.Fatal(err)
		}
		defer picked.Close()
		server := below(t, host)
		defer server.Close()
		add(&datagrams, server.LocalAddr().(*net.UDPAddr).Port)
		peer, err := net.DialUDP("udp", nil, server.LocalAddr().(*net.UDPAddr))
		if err != nil {
			t.Fatal(err)
		}
		defer peer.Close()
	}
	for _, c := range []struct {
		datagrams bool
		want      resources.Ranges
	}{{false, streams}, {true, streams.Add(datagrams)}} {
		sockets, err := ports.Listening(c.datagrams)
		if c.datagrams && err != nil && strings.Contains(err.Error(), "modprobe udp_diag") {
			t.Skip("SKIP: ", err)
		}
		if err != nil {
			t.Fatal(err)
		}
		got, err := sockets.Held(os.Getpid())
		if err != nil || got.String() != c.want.String() || len(c.want) == 0 {
			t.Errorf("with datagrams %t: got %s, %v; want %s", c.datagrams, got, err, c.want)
		}
		if got, err := sockets.Held(1 << 22); len(got) != 0 || err != nil {
			t.Errorf("a process that is not there: %s, %v", got, err)
		}
	}
}

// below binds a port that no client gets.
func below(t *testing.T, host string) net.PacketConn {
	t.Helper()
	for port := 20000; port < 30000; port++ {
		if c, err := net.ListenPacket("udp", net.JoinHostPort(host, strconv.Itoa(port))); err == nil {
			return c
		}
	}
	t.Fatal("no port is free")
	return nil
}

func ranges(t *testing.T, text string) resources.Ranges {
	t.Helper()
	out, err := resources.ParseRanges(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
