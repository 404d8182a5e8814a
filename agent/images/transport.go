package images

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"golang.org/x/net/publicsuffix"
)

// errStalled ends a transfer that brings nothing any more.
var errStalled = errors.New("the transfer has stalled")

// insecure tells whether a registry may be spoken to by plain http.
func (c Config) insecure(registry string) bool {
	return loopback(registry) || slices.Contains(c.Insecure, registry) || slices.Contains(c.Insecure, hostOf(registry))
}

func hostOf(hostport string) string {
	if host, _, err := net.SplitHostPort(hostport); err == nil {
		return host
	}
	return strings.Trim(hostport, "[]")
}

func loopback(hostport string) bool {
	host := hostOf(hostport)
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}

// guardedTransport sends credentials to the registry and its token server only, and
// speaks plain http only with registries that are listed as insecure.
type guardedTransport struct {
	inner    http.RoundTripper
	registry string
	insecure bool
}

func (c Config) transport(registry string) http.RoundTripper {
	insecure := c.insecure(registry)
	dialer := &net.Dialer{Timeout: 20 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		return refuseLinkLocal(address)
	}}
	return &guardedTransport{registry: registry, insecure: insecure, inner: &http.Transport{
		Proxy: http.ProxyFromEnvironment, DialContext: dialer.DialContext, ForceAttemptHTTP2: true,
		TLSHandshakeTimeout: 20 * time.Second, ResponseHeaderTimeout: c.Limits.StallAfter,
		MaxIdleConnsPerHost: 4, IdleConnTimeout: 10 * time.Second,
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: insecure && !loopback(registry)},
	}}
}

// refuseLinkLocal holds registries and their redirects off the metadata services of
// clouds. It looks at the address that is dialled, so that no name can hide it.
func refuseLinkLocal(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err == nil && at.Addr().Unmap().IsLinkLocalUnicast() {
		return fmt.Errorf("%w: the registry leads to the link-local address %s", ErrHostile, at.Addr())
	}
	return nil
}

func (t *guardedTransport) RoundTrip(request *http.Request) (*http.Response, error) {
	if request.URL.Scheme == "http" && !(t.insecure && related(request.URL.Host, t.registry)) {
		// Also the way by which the library finds out that a registry has no TLS.
		return nil, fmt.Errorf("%w: %s would be asked by plain http: list %s as insecure registry if that is meant", ErrUnreachable, request.URL.Host, t.registry)
	}
	// A token server gets an identity token in the body of a POST.
	secret := request.Header.Get("Authorization") != "" || request.Method == http.MethodPost
	if secret && !related(request.URL.Host, t.registry) {
		return nil, fmt.Errorf("%w: %s wants the credentials to be sent to %s, which does not belong to it", ErrUnauthorized, t.registry, request.URL.Host)
	}
	return t.inner.RoundTrip(request)
}

// related tells hosts of one owner: the same, or under the same registered domain.
func related(a, b string) bool {
	a, b = strings.ToLower(hostOf(a)), strings.ToLower(hostOf(b))
	if a == b || loopback(a) && loopback(b) {
		return true
	}
	domainA, errA := publicsuffix.EffectiveTLDPlusOne(a)
	domainB, errB := publicsuffix.EffectiveTLDPlusOne(b)
	_, isIP := netip.ParseAddr(a)
	return isIP != nil && errA == nil && errB == nil && domainA == domainB
}

// stallReader cancels the transfer when no byte came for a while.
type stallReader struct {
	ctx    context.Context
	inner  io.ReadCloser
	timer  *time.Timer
	after  time.Duration
	cancel context.CancelCauseFunc
}

func newStallReader(ctx context.Context, inner io.ReadCloser, cancel context.CancelCauseFunc, after time.Duration) *stallReader {
	timer := time.AfterFunc(after, func() { cancel(errStalled) })
	return &stallReader{ctx: ctx, inner: inner, timer: timer, after: after, cancel: cancel}
}

func (r *stallReader) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	if err != nil && !errors.Is(err, io.EOF) && errors.Is(context.Cause(r.ctx), errStalled) {
		return n, fmt.Errorf("%w: nothing came for %s", errStalled, r.after)
	}
	if n > 0 {
		r.timer.Reset(r.after)
	}
	return n, err
}

func (r *stallReader) Close() error {
	r.timer.Stop()
	err := r.inner.Close()
	r.cancel(nil)
	return err
}
