package master_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/master"
)

func TestPipelinedCallsAreAnsweredInOrderAmongOtherRequests(t *testing.T) {
	m := startMaster(t, master.Deps{})
	f := subscribe(t, m, codec.JSON, nil)
	conn, err := net.Dial("tcp", m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var requests strings.Builder
	var want []string
	post := func(body, status string) {
		fmt.Fprintf(&requests, "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nMesos-Stream-Id: %s\r\nContent-Length: %d\r\n\r\n%s",
			f.streamID, len(body), body)
		want = append(want, status)
	}
	revive := fmt.Sprintf(`{"type":"REVIVE","framework_id":{"value":"%s"}}`, f.id.GetValue())
	for range 200 {
		post(revive, "202 ")
		post(`{"type":"REVIVE"}`, "400 Failed to validate scheduler::Call: Expecting 'framework_id' to be present")
		post(`{"type":"REVIVE","framework_id":{"value":"none"}}`, "400 Framework cannot be found")
		post(`{`, "400 Failed to parse body into JSON: syntax error at line 1 near: ")
		requests.WriteString("GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /nothing HTTP/1.1\r\nHost: x\r\n\r\n")
		want = append(want, "200 ", "404 404 Not Found.")
	}
	go io.WriteString(conn, requests.String())
	in := bufio.NewReader(conn)
	for i, expected := range want {
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatalf("answer %d: %v", i, err)
		}
		body, _ := io.ReadAll(r.Body)
		if got := fmt.Sprintf("%d %s", r.StatusCode, body); got != expected {
			t.Fatalf("answer %d: got %q, want %q", i, got, expected)
		}
	}
}

func TestBusyConnectionCanStillSubscribe(t *testing.T) {
	m := startMaster(t, master.Deps{})
	f := subscribe(t, m, codec.JSON, nil)
	conn, err := net.Dial("tcp", m.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	in := bufio.NewReader(conn)
	send := func(header, body string) *http.Response {
		fmt.Fprintf(conn, "POST /api/v1/scheduler HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n%sContent-Length: %d\r\n\r\n%s", header, len(body), body)
		r, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	for range 50 {
		r := send("Mesos-Stream-Id: "+f.streamID+"\r\n", fmt.Sprintf(`{"type":"REVIVE","framework_id":{"value":"%s"}}`, f.id.GetValue()))
		if r.StatusCode != 202 {
			t.Fatalf("got %s", r.Status)
		}
	}
	r := send("", `{"type":"SUBSCRIBE","subscribe":{"framework_info":{"user":"u","name":"n"}}}`)
	if r.StatusCode != 200 || r.Header.Get("Mesos-Stream-Id") == "" {
		t.Fatalf("got %s %v", r.Status, r.Header)
	}
	if first := newEvents(r.Body).next(t); !strings.Contains(first, `"type":"SUBSCRIBED"`) {
		t.Fatalf("got %s", first)
	}
}
