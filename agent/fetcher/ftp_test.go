package fetcher

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"
)

// ftpServer is a small server of one file. pasv is what it says where the data is; empty: the
// truth by EPSV.
type ftpServer struct {
	pasv  string
	stall bool
}

func (s ftpServer) start(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			group.Go(func() { s.serve(conn) })
		}
	})
	t.Cleanup(func() { listener.Close(); group.Wait() })
	return listener.Addr().String()
}

func (s ftpServer) serve(conn net.Conn) {
	defer conn.Close()
	var data net.Listener
	user := ""
	say := func(format string, args ...any) { fmt.Fprintf(conn, format+"\r\n", args...) }
	say("220 here")
	for lines := bufio.NewScanner(conn); lines.Scan(); {
		verb, argument, _ := strings.Cut(lines.Text(), " ")
		switch verb {
		case "USER":
			user = argument
			say("331 password?")
		case "PASS":
			if argument == "wrong" {
				say("530 no")
				return
			}
			say("230 in")
		case "TYPE":
			say("200 ok")
		case "EPSV", "PASV":
			if verb == "EPSV" && s.pasv != "" {
				say("500 no")
				continue
			}
			data, _ = net.Listen("tcp", "127.0.0.1:0")
			defer data.Close()
			port := data.Addr().(*net.TCPAddr).Port
			if verb == "EPSV" {
				say("229 here (|||%d|)", port)
			} else {
				say("227 there (%s,%d,%d)", s.pasv, port/256, port%256)
			}
		case "RETR":
			if argument != "dir/file.txt" {
				say("550 no such file")
				continue
			}
			say("150 now")
			to, err := data.Accept()
			if err != nil {
				return
			}
			if s.stall {
				io.Copy(io.Discard, conn)
				to.Close()
				return
			}
			fmt.Fprintf(to, "for %s", user)
			to.Close()
			say("226 done")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

func TestFilesComeOverFTP(t *testing.T) {
	at := ftpServer{}.start(t)
	for userinfo, want := range map[string]string{"": "for anonymous", "joe:secret@": "for joe"} {
		sandbox, _, err := fetchAll(t, Config{}, uri("ftp://"+userinfo+at+"/dir/file.txt"))
		if err != nil {
			t.Fatal(err)
		}
		if got := content(t, sandbox, "file.txt"); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	for value, want := range map[string]string{"ftp://" + at + "/none": "no such file", "ftp://joe:wrong@" + at + "/dir/file.txt": "log in", "ftp://169.254.169.254/x": "link-local"} {
		_, log, err := fetchAll(t, Config{}, uri(value))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error()+log, ":wrong") {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestAnFTPServerCannotSendUsElsewhere(t *testing.T) {
	at := ftpServer{pasv: "169,254,169,254"}.start(t)
	sandbox, _, err := fetchAll(t, Config{}, uri("ftp://"+at+"/dir/file.txt"))
	if err == nil && content(t, sandbox, "file.txt") != "for anonymous" {
		t.Error("the data came from elsewhere")
	} else if err != nil && !errors.Is(err, ErrRefused) {
		t.Errorf("got %v", err)
	}
}

func TestAStalledFTPServerEnds(t *testing.T) {
	at := ftpServer{stall: true}.start(t)
	if _, _, err := fetchAll(t, Config{StallAfter: 50 * time.Millisecond}, uri("ftp://"+at+"/dir/file.txt")); !errors.Is(err, ErrStalled) {
		t.Errorf("got %v", err)
	}
}
