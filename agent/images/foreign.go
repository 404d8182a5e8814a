package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// isForeign tells layers that a registry need not have: the manifest says where they are.
func isForeign(mediaType string) bool {
	return strings.HasPrefix(mediaType, "application/vnd.docker.image.rootfs.foreign.") ||
		strings.HasPrefix(mediaType, "application/vnd.oci.image.layer.nondistributable.")
}

// foreign fetches from addresses that the author of an image chose: with https, without
// credentials, and from public addresses only, but for the listed hosts.
type foreign struct {
	hosts  []string // host or host:port
	limits Limits
}

// errForeign says that a layer is foreign and how to allow its host.
var errForeign = errors.New("foreign layer cannot be fetched")

func (f foreign) open(ctx context.Context, d ocispec.Descriptor, offset int64) (io.ReadCloser, error) {
	client := f.client()
	var err error
	for _, address := range d.URLs[:min(len(d.URLs), 8)] {
		var body io.ReadCloser
		body, err = openAt(ctx, offset, f.limits.StallAfter, func(ctx context.Context, header http.Header, codes ...int) (*http.Response, error) {
			return f.get(ctx, client, address, header, codes...)
		})
		if err == nil || ctx.Err() != nil {
			return body, err
		}
	}
	return nil, err
}

func (f foreign) get(ctx context.Context, client *http.Client, address string, header http.Header, codes ...int) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, refused("foreign layer has the address %.200q", address)
	}
	if err := f.check(request.URL); err != nil {
		return nil, err
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errForeign, err)
	}
	if err := transport.CheckError(response, codes...); err != nil {
		response.Body.Close()
		return nil, fmt.Errorf("%w: %w", errForeign, err)
	}
	return response, nil
}

func (f foreign) listed(hostport string) bool {
	return slices.Contains(f.hosts, hostport) || slices.Contains(f.hosts, hostOf(hostport))
}

// check holds the scheme; addresses are checked when they are dialled.
func (f foreign) check(u *url.URL) error {
	if u.User != nil || u.Host == "" || u.Scheme != "https" && !(u.Scheme == "http" && f.listed(u.Host)) {
		return refused("foreign layer is at %.200s: only https is asked; list %s in --docker_foreign_hosts if it is meant", u.Redacted(), u.Host)
	}
	return nil
}

// client has no proxy: a proxy would dial for it, and check nothing.
func (f foreign) client() *http.Client {
	dial := func(ctx context.Context, network, address string) (net.Conn, error) {
		dialer := &net.Dialer{Timeout: 20 * time.Second, Control: func(_, at string, _ syscall.RawConn) error {
			if f.listed(address) {
				return refuseLinkLocal(at)
			}
			return refusePrivate(at)
		}}
		return dialer.DialContext(ctx, network, address)
	}
	return &http.Client{
		Transport: &http.Transport{DialContext: dial, TLSHandshakeTimeout: 20 * time.Second, ResponseHeaderTimeout: f.limits.StallAfter,
			ForceAttemptHTTP2: true, DisableKeepAlives: true},
		CheckRedirect: func(request *http.Request, via []*http.Request) error {
			if len(via) >= 5 {
				return refused("foreign layer: more than 5 redirects")
			}
			return f.check(request.URL)
		},
	}
}

// refusePrivate lets through what the whole Internet can reach.
func refusePrivate(address string) error {
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	a := at.Addr().Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() || sharedSpace.Contains(a) {
		return refused("foreign layer leads to %s, which is not public: list its host in --docker_foreign_hosts if that is meant", a)
	}
	return nil
}

// sharedSpace is what carriers and clouds use inside (RFC 6598).
var sharedSpace = netip.MustParsePrefix("100.64.0.0/10")
