package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"

	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Pull asks the registry for the image and makes it present. Nothing is transferred
// when it is there already. Concurrent pulls of one image are one.
func (s *Store) Pull(ctx context.Context, ref string, credentials Credentials, progress Progress) (*Image, error) {
	parsed, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	if parsed.Builtin {
		return s.builtin(ctx, parsed)
	}
	key := digestOf([]byte(strings.Join([]string{parsed.String(), credentials.Username, credentials.Password, credentials.Token}, "\x00")))
	image, err := s.pulls.do(ctx, key, func(ctx context.Context) (*Image, error) {
		return s.pull(ctx, parsed, credentials, progress)
	})
	if err != nil {
		return nil, describe(parsed, err)
	}
	return image, nil
}

// registry is one conversation with the registry of one image.
type registry struct {
	repository name.Repository
	options    []remote.Option
	limits     Limits
}

func (s *Store) pull(ctx context.Context, ref Reference, credentials Credentials, progress Progress) (*Image, error) {
	var options []name.Option
	if s.config.insecure(ref.Registry) {
		options = append(options, name.Insecure)
	}
	repository, err := name.NewRepository(ref.Registry+"/"+ref.Repository, options...)
	if err != nil {
		return nil, malformed(ref.String(), err)
	}
	r := registry{repository: repository, limits: s.config.Limits, options: []remote.Option{
		remote.WithTransport(s.config.transport(ref.Registry)),
		remote.WithAuth(credentials.authenticator()),
	}}
	var target name.Reference = repository.Tag(ref.Tag)
	if ref.Digest != "" {
		target = repository.Digest(ref.Digest)
	}
	c, err := r.resolve(ctx, target, s.config)
	if err != nil {
		return nil, err
	}
	c.reference, c.progress = ref.String(), progress
	return s.ingest(ctx, c)
}

func (c Credentials) authenticator() authn.Authenticator {
	switch {
	case c.Token != "":
		return &authn.Bearer{Token: c.Token}
	case c.Username != "" || c.Password != "":
		return &authn.Basic{Username: c.Username, Password: c.Password}
	}
	return authn.Anonymous
}

// resolve follows indexes down to the manifest for the store's platform.
func (r registry) resolve(ctx context.Context, target name.Reference, config Config) (*candidate, error) {
	for range 4 {
		got, err := remote.Get(target, append(r.options, remote.WithContext(ctx))...)
		if err != nil {
			return nil, err
		}
		if int64(len(got.Manifest)) > r.limits.Document {
			return nil, refused("manifest of %d bytes is larger than %d", len(got.Manifest), r.limits.Document)
		}
		digest := digestOf(got.Manifest)
		if wanted, ok := target.(name.Digest); ok && wanted.DigestStr() != digest {
			return nil, fmt.Errorf("%w: the manifest is %s", ErrDigestMismatch, digest)
		}
		doc, err := decodeDocument(got.Manifest, string(got.MediaType), r.limits)
		if err != nil {
			return nil, err
		}
		if !isIndex(string(got.MediaType)) {
			return r.candidate(ctx, doc, digest, got.Manifest)
		}
		chosen, err := config.choose(doc)
		if err != nil {
			return nil, err
		}
		target = r.repository.Digest(string(chosen.Digest))
	}
	return nil, refused("its indexes are nested deeper than 4")
}

func (r registry) candidate(ctx context.Context, doc document, digest string, manifest []byte) (*candidate, error) {
	c := &candidate{digest: digest, manifest: manifest}
	if doc.Config.Size > r.limits.Document {
		return nil, refused("configuration of %d bytes is larger than %d", doc.Config.Size, r.limits.Document)
	}
	blob, err := r.open(ctx, *doc.Config)
	if err != nil {
		return nil, err
	}
	defer blob.Close()
	c.config, err = io.ReadAll(io.LimitReader(blob, doc.Config.Size+1))
	if err != nil {
		return nil, err
	}
	if digestOf(c.config) != string(doc.Config.Digest) {
		return nil, fmt.Errorf("%w: the configuration is %s", ErrDigestMismatch, digestOf(c.config))
	}
	for _, layer := range doc.Layers {
		c.layers = append(c.layers, layerSource{digest: string(layer.Digest), size: layer.Size,
			open: func(ctx context.Context) (io.ReadCloser, error) { return r.open(ctx, layer) }})
	}
	return c, nil
}

// open reads a blob from this repository by its digest. The addresses that a manifest
// may give for foreign layers are never asked.
func (r registry) open(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	layer, err := remote.Layer(r.repository.Digest(string(d.Digest)), append(r.options, remote.WithContext(ctx))...)
	if err == nil {
		var body io.ReadCloser
		if body, err = layer.Compressed(); err == nil {
			return newStallReader(ctx, body, cancel, r.limits.StallAfter), nil
		}
	}
	cancel(nil)
	return nil, err
}

// describe makes the one line that a user reads.
func describe(ref Reference, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("pull image %s: %w", ref, err)
	}
	for _, class := range []error{ErrNoSpace, ErrHostile, ErrDigestMismatch, ErrPlatform, ErrReference, ErrUnauthorized, ErrUnreachable, ErrNotFound} {
		if errors.Is(err, class) {
			return fmt.Errorf("pull image %s: %w", ref, err)
		}
	}
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("pull image %s: %w: make room in the image directory, or run `agora image prune` (%s)", ref, ErrNoSpace, oneLine(err))
	}
	if strings.Contains(err.Error(), "verifying sha256") || strings.Contains(err.Error(), "manifest digest") {
		return fmt.Errorf("pull image %s: %w: pull it again, or tell the image's owner (%s)", ref, ErrDigestMismatch, oneLine(err))
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		return describeAnswer(ref, answer)
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStalled) {
		return fmt.Errorf("pull image %s: %w: %s: check the registry's name and the network (%s)", ref, ErrUnreachable, ref.Registry, oneLine(err))
	}
	return fmt.Errorf("pull image %s: %w", ref, err)
}

func describeAnswer(ref Reference, answer *transport.Error) error {
	cause := fmt.Sprintf("%s answered %d", ref.Registry, answer.StatusCode)
	for _, d := range answer.Errors {
		cause += " " + string(d.Code)
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("pull image %s: %w: %s: check the name and the tag", ref, ErrNotFound, cause)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("pull image %s: %w: %s: check the name, or give credentials for %s", ref, ErrUnauthorized, cause, ref.Registry)
	}
	return fmt.Errorf("pull image %s: %w: %s: try again later", ref, ErrUnreachable, cause)
}
