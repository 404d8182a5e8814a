// Package probe makes the probes of checks that need no process in the container: HTTP
// and TCP, to the task's own address and nowhere else.
//
// It promises that a probe ends with its timeout, reads a bounded amount, follows a
// redirect only within the address and port that it was given, and never starts a
// process. It refuses to judge what it sees: that is package checks.
package probe

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"agora.dev/agora/executor/checks"
)

const (
	// maxHeader bounds what is read of an answer before its body, in bytes.
	maxHeader = 64 << 10
	// maxBody is how much of a body is read, so that a server does not see its answer cut.
	maxBody = 64 << 10
	// bodyTime bounds the reading of the body. The status is known before.
	bodyTime = 200 * time.Millisecond
	// maxRedirects is how many redirects are followed.
	maxRedirects = 10
)

// Dial connects to an address of the task, "127.0.0.1:80" or "[::1]:80".
type Dial func(ctx context.Context, address string) (net.Conn, error)

// Network makes an HTTP or TCP probe. Why there is no answer is the error; the result is
// then fit to be reported as it is.
func Network(ctx context.Context, p checks.Probe, dial Dial) (checks.Result, error) {
	if p.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.Timeout)
		defer cancel()
	}
	switch {
	case p.HTTP != nil:
		address, err := address(p.HTTP.Port, p.HTTP.IPv6)
		if err != nil {
			return checks.Result{}, err
		}
		status, err := follow(ctx, p.HTTP, address, dial)
		if err != nil {
			return checks.Result{}, err
		}
		return checks.Result{StatusCode: &status}, nil
	case p.TCP != nil:
		address, err := address(p.TCP.Port, p.TCP.IPv6)
		if err != nil {
			return checks.Result{}, err
		}
		return connect(ctx, address, dial)
	}
	return checks.Result{}, errors.New("the probe is neither HTTP nor TCP")
}

func address(port uint32, ipv6 bool) (string, error) {
	if port == 0 || port > 65535 {
		return "", fmt.Errorf("port %d does not exist", port)
	}
	host := "127.0.0.1"
	if ipv6 {
		host = "::1"
	}
	return net.JoinHostPort(host, strconv.Itoa(int(port))), nil
}

func connect(ctx context.Context, address string, dial Dial) (checks.Result, error) {
	conn, err := dial(ctx, address)
	connected := err == nil
	if connected {
		conn.Close()
	}
	if connected || errors.Is(err, syscall.ECONNREFUSED) {
		return checks.Result{Connected: &connected}, nil
	}
	return checks.Result{}, err
}

// follow asks until an answer is no redirect to the same server. One that leads elsewhere
// is the answer: we do not go there.
func follow(ctx context.Context, p *checks.HTTP, address string, dial Dial) (uint32, error) {
	next, err := url.ParseRequestURI(p.Path)
	if err != nil {
		return 0, fmt.Errorf("path of the check: %w", err)
	}
	next.Scheme, next.Host = p.Scheme, address
	for hop := 0; ; hop++ {
		status, location, err := get(ctx, next, address, dial)
		if err != nil {
			return 0, err
		}
		if status < 300 || status >= 400 || location == "" || hop == maxRedirects {
			return status, nil
		}
		to, err := next.Parse(location)
		if err != nil || to.Host != address || to.Scheme != "http" && to.Scheme != "https" {
			return status, nil
		}
		next = to
	}
}

// get makes one request on a connection of its own: a server that accepts no more is not
// healthy.
func get(ctx context.Context, u *url.URL, address string, dial Dial) (status uint32, location string, err error) {
	conn, err := dial(ctx, address)
	if err != nil {
		return 0, "", err
	}
	defer conn.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := conn.SetDeadline(deadline); err != nil {
			return 0, "", err
		}
	}
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if u.Scheme == "https" {
		// As in Mesos: the certificate of a server at the loopback address cannot be verified.
		conn = tls.Client(conn, &tls.Config{InsecureSkipVerify: true}) //nolint:gosec
	}
	request := "GET " + requestURI(u) + " HTTP/1.1\r\nHost: " + address +
		"\r\nUser-Agent: agora-check\r\nAccept: */*\r\nConnection: close\r\n\r\n"
	if _, err := io.WriteString(conn, request); err != nil {
		return 0, "", err
	}
	return read(conn)
}

// requestURI is the path and query, always with one slash first: two name a host.
func requestURI(u *url.URL) string {
	return "/" + strings.TrimLeft(u.RequestURI(), "/")
}

func read(conn net.Conn) (status uint32, location string, err error) {
	answer := &io.LimitedReader{R: conn, N: maxHeader}
	buffer := bufio.NewReaderSize(answer, 1024)
	response, err := http.ReadResponse(buffer, nil)
	for err == nil && response.StatusCode < 200 && response.StatusCode != http.StatusSwitchingProtocols {
		response, err = http.ReadResponse(buffer, nil) // what comes before the answer
	}
	if err != nil {
		if answer.N <= 0 {
			err = fmt.Errorf("the header of the answer is longer than %d bytes", maxHeader)
		}
		return 0, "", err
	}
	_ = conn.SetDeadline(time.Now().Add(bodyTime))
	answer.N = maxBody
	_, _ = io.Copy(io.Discard, response.Body)
	return uint32(response.StatusCode), response.Header.Get("Location"), nil
}
