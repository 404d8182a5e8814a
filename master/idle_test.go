package master_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/scheduler"
	"agora.dev/agora/master"
)

// idleAddress tells the process of the clients where the master is.
const idleAddress = "AGORA_TEST_IDLE_ADDRESS"

// idleClients is how many connections do nothing, as far as the limit of descriptors allows.
func idleClients(t *testing.T) int {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	return min(10_000, int(min(limit.Cur, 1<<20))-500)
}

// TestIdleClientsHelper is the process of the clients: no test by itself.
func TestIdleClientsHelper(t *testing.T) {
	address := os.Getenv(idleAddress)
	if address == "" {
		t.Skip("runs as a process of TestIdleAndSlowClientsDoNotDisturbAnOfferCycle")
	}
	begun := []string{"",
		"GET /state HTTP/1.1\r\nHost: x\r\nX-Slow: 1",
		"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n" + `{"type":"SUBSCRIBE"}`}
	n := idleClients(t)
	for i := range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatalf("connection %d: %v", i, err)
		}
		defer conn.Close()
		text := begun[i%3]
		if i%100 == 0 {
			text = begun[3] // a stream that nobody reads
		}
		io.WriteString(conn, text)
	}
	fmt.Printf("connected %d\n", n)
	io.Copy(io.Discard, os.Stdin)
}

// TestIdleAndSlowClientsDoNotDisturbAnOfferCycle has 10,000 connections that say nothing, half a header or half a body, and
// streams that nobody reads, while a framework is offered an agent's resources and declines them.
func TestIdleAndSlowClientsDoNotDisturbAnOfferCycle(t *testing.T) {
	m := startMaster(t, master.Deps{})
	clients := exec.Command(os.Args[0], "-test.run=^TestIdleClientsHelper$", "-test.v")
	clients.Env = append(os.Environ(), idleAddress+"="+m.Addr())
	stop, err := clients.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := clients.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := clients.Start(); err != nil {
		t.Fatal(err)
	}
	defer clients.Wait()
	defer stop.Close()
	connected := 0
	for lines := bufio.NewScanner(out); connected == 0 && lines.Scan(); {
		fmt.Sscanf(lines.Text(), "connected %d", &connected)
	}
	if connected == 0 {
		t.Fatal("the clients do not connect")
	}
	t.Logf("%d connections", connected)
	f := subscribe(t, m, codec.JSON, nil)
	startAgent(t, m)
	for range 3 {
		offer := f.expect(scheduler.Event_OFFERS).GetOffers().GetOffers()[0]
		f.call(&scheduler.Call{Type: scheduler.Call_DECLINE.Enum(), Decline: &scheduler.Call_Decline{OfferIds: []*mesos.OfferID{offer.Id}}})
		f.call(&scheduler.Call{Type: scheduler.Call_REVIVE.Enum()})
	}
	if r, _ := get(t, m, "/state"); r.StatusCode != 200 {
		t.Errorf("/state: %s", r.Status)
	}
}
