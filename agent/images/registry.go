package images

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"agora.dev/agora/agent/images/logins"
)

// registry is one repository of one registry: the image's own, or of a mirror.
type registry struct {
	host       string
	repository name.Repository
	limits     Limits
	auth       authn.Authenticator
	guarded    http.RoundTripper
	// patient is set for the last that is asked: the others have somebody behind them.
	patient bool

	mu     sync.Mutex
	client *http.Client // set after the first handshake
}

// registry names a repository; nothing is asked yet.
func (s *Store) registry(host, repository string, login logins.Login) (*registry, error) {
	var options []name.Option
	// A mirror may keep the images of others below a path.
	server, prefix, _ := strings.Cut(host, "/")
	if s.config.insecure(server) {
		options = append(options, name.Insecure)
	}
	named, err := name.NewRepository(strings.TrimSuffix(server+"/"+prefix, "/")+"/"+repository, options...)
	if err != nil {
		return nil, malformed(host+"/"+repository, err)
	}
	return &registry{host: host, repository: named, limits: s.config.Limits, auth: authenticator(login), guarded: s.config.transport(server)}, nil
}

func authenticator(l logins.Login) authn.Authenticator {
	if l == (logins.Login{}) {
		return authn.Anonymous
	}
	return authn.FromConfig(authn.AuthConfig{Username: l.Username, Password: l.Password, IdentityToken: l.IdentityToken, RegistryToken: l.RegistryToken})
}

// connect finds out how the registry wants to be spoken to, once.
func (r *registry) connect(ctx context.Context) (*http.Client, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.client != nil {
		return r.client, nil
	}
	scopes := []string{r.repository.Scope(transport.PullScope)}
	authenticated, err := transport.NewWithContext(ctx, r.repository.Registry, r.auth, r.guarded, scopes)
	if err != nil {
		return nil, err
	}
	r.client = &http.Client{Transport: authenticated}
	return r.client, nil
}

func (r *registry) get(ctx context.Context, path string, header http.Header, codes ...int) (*http.Response, error) {
	client, err := r.connect(ctx)
	if err != nil {
		return nil, err
	}
	url := r.repository.Scheme() + "://" + r.repository.RegistryStr() + "/v2/" + r.repository.RepositoryStr() + path
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	if err := transport.CheckError(response, codes...); err != nil {
		response.Body.Close()
		return nil, err
	}
	return response, nil
}

var accepted = []string{ocispec.MediaTypeImageManifest, ocispec.MediaTypeImageIndex, dockerManifest, dockerIndex, schema1Signed}

// manifest asks for a manifest or an index by tag or digest, again when the registry is
// troubled.
func (r *registry) manifest(ctx context.Context, target string) (data []byte, mediaType string, err error) {
	limits := r.limits
	limits.Retries = min(limits.Retries, 2)
	again := func(err error) bool { return r.patient && passing(err) && !errors.Is(err, syscall.ECONNREFUSED) }
	err = retry(ctx, limits, again, func() (bool, error) {
		data, mediaType, err = r.manifestOnce(ctx, target)
		return false, err
	})
	return data, mediaType, err
}

func (r *registry) manifestOnce(ctx context.Context, target string) ([]byte, string, error) {
	response, err := r.get(ctx, "/manifests/"+target, http.Header{"Accept": accepted}, http.StatusOK)
	if err != nil {
		return nil, "", err
	}
	defer response.Body.Close()
	data, err := io.ReadAll(io.LimitReader(response.Body, r.limits.Document+1))
	if err != nil {
		return nil, "", err
	}
	if int64(len(data)) > r.limits.Document {
		return nil, "", refused("manifest is larger than %d bytes", r.limits.Document)
	}
	mediaType, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
	if err != nil {
		return nil, "", refused("manifest came as %.100q", response.Header.Get("Content-Type"))
	}
	return data, mediaType, nil
}

// blob opens a blob at an offset. What a server sends that cannot do so is skipped.
func (r *registry) blob(ctx context.Context, digest string, offset int64) (io.ReadCloser, error) {
	return openAt(ctx, offset, r.limits.StallAfter, func(ctx context.Context, header http.Header, codes ...int) (*http.Response, error) {
		return r.get(ctx, "/blobs/"+digest, header, codes...)
	})
}

type getter func(ctx context.Context, header http.Header, codes ...int) (*http.Response, error)

// openAt asks for the rest of a blob from an offset on.
func openAt(ctx context.Context, offset int64, stall time.Duration, get getter) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	header, codes := http.Header{}, []int{http.StatusOK}
	if offset > 0 {
		header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		codes = append(codes, http.StatusPartialContent)
	}
	response, err := get(ctx, header, codes...)
	if err != nil {
		cancel(nil)
		return nil, err
	}
	body := newStallReader(ctx, response.Body, cancel, stall)
	if offset > 0 {
		err = positioned(response, body, offset)
	}
	if err != nil {
		body.Close()
		return nil, err
	}
	return body, nil
}

// positioned makes the body begin at the offset.
func positioned(response *http.Response, body io.Reader, offset int64) error {
	if response.StatusCode == http.StatusOK {
		_, err := io.CopyN(io.Discard, body, offset)
		return err
	}
	from, ok := strings.CutPrefix(response.Header.Get("Content-Range"), "bytes ")
	from, _, _ = strings.Cut(from, "-")
	if at, err := strconv.ParseInt(from, 10, 64); !ok || err != nil || at != offset {
		return refused("asked for the bytes from %d on, the registry sent %.100q", offset, response.Header.Get("Content-Range"))
	}
	return nil
}

// passing tells errors that another attempt may not meet.
func passing(err error) bool {
	var answer *transport.Error
	if errors.As(err, &answer) {
		return answer.StatusCode >= 500 && answer.StatusCode != http.StatusNotImplemented ||
			answer.StatusCode == http.StatusTooManyRequests || answer.StatusCode == http.StatusRequestTimeout
	}
	for _, class := range []error{ErrHostile, ErrUnauthorized, ErrUnreachable, ErrDigestMismatch} {
		if errors.Is(err, class) {
			return false
		}
	}
	var unknown *net.DNSError
	var certificate *tls.CertificateVerificationError
	if errors.As(err, &unknown) && unknown.IsNotFound || errors.As(err, &certificate) {
		return false
	}
	var network net.Error
	return errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, errStalled)
}

// retry repeats work while its errors are worth it. Work says whether it came further,
// which makes up for earlier failures.
func retry(ctx context.Context, limits Limits, again func(error) bool, work func() (further bool, err error)) error {
	pause := limits.RetryAfter
	for failures, attempts := 0, 0; ; attempts++ {
		further, err := work()
		if further {
			failures, pause = 0, limits.RetryAfter
		}
		if err == nil || ctx.Err() != nil || !again(err) {
			return err
		}
		if failures++; failures > limits.Retries || attempts > maxAttempts {
			return err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return context.Cause(ctx)
		case <-timer.C:
		}
		pause = min(2*pause, maxPause)
	}
}

const (
	// maxAttempts ends with a server that sends a byte at a time.
	maxAttempts = 100
	maxPause    = 15 * time.Second
)
