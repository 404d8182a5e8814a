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
func idleClients() (int, error) {
	var limit syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit)
	return min(10_000, int(min(limit.Cur, 1<<20))-500), err
}

// TestMain is the process of the clients when idleAddress says whom they are of.
func TestMain(m *testing.M) {
	if address := os.Getenv(idleAddress); address != "" {
		if err := beIdle(address); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// beIdle connects, and goes on until its input ends.
func beIdle(address string) error {
	begun := []string{"",
		"GET /state HTTP/1.1\r\nHost: x\r\nX-Slow: 1",
		"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{",
		"POST /api/v1 HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 20\r\n\r\n" + `{"type":"SUBSCRIBE"}`}
	n, err := idleClients()
	if err != nil {
		return err
	}
	for i := range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
		defer conn.Close()
		text := begun[i%3]
		if i%100 == 0 {
			text = begun[3] // a stream that nobody reads
		}
		if _, err := io.WriteString(conn, text); err != nil {
			return fmt.Errorf("connection %d: %w", i, err)
		}
	}
	fmt.Printf("connected %d\n", n)
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// TestIdleAndSlowClientsDoNotDisturbAnOfferCycle has 10,000 connections that say nothing, half a header or half a body, and
// streams that nobody reads, while a framework is offered an agent's resources and declines them.
func TestIdleAndSlowClientsDoNotDisturbAnOfferCycle(t *testing.T) {
	m := startMaster(t, master.Deps{})
	clients := exec.Command(os.Args[0])
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
	if connected < 1000 {
		t.Fatalf("%d clients connect", connected)
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
