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
	"time"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"

	"agora.dev/agora/agent/images/logins"
)

// Pull asks the registry for the image and makes it present. Nothing is transferred
// when it is there already. Concurrent pulls of one image with the same login are one.
// The given logins go before those of the store.
func (s *Store) Pull(ctx context.Context, ref string, given logins.Logins, progress Progress) (*Image, error) {
	parsed, err := s.parse(ref)
	if err != nil {
		return nil, err
	}
	if parsed.Builtin {
		return s.builtin(ctx, parsed)
	}
	if s.config.Archives != "" && bare(ref) {
		return s.loadNamed(ctx, parsed, ref)
	}
	way, err := s.route(parsed, given)
	if err != nil {
		return nil, err
	}
	key := parsed.String()
	for _, source := range way.sources {
		key += fmt.Sprintf("\x00%q", s.login(given, source.host, parsed.Repository))
	}
	watched, leave := s.underway.watch(key, parsed, ref, progress)
	defer leave()
	image, err := s.pulls.do(ctx, digestOf([]byte(key)), func(ctx context.Context) (*Image, error) {
		return s.pull(ctx, parsed, way, watched.event)
	})
	if err != nil {
		return nil, describe(parsed, err)
	}
	return image, nil
}

func (s *Store) pull(ctx context.Context, ref Reference, way *route, progress Progress) (*Image, error) {
	begun := time.Now()
	c, err := way.resolve(ctx, ref, s.config)
	if err != nil {
		return nil, err
	}
	defer c.close()
	c.reference, c.progress = ref.String(), progress
	for i, layer := range c.layers {
		c.report(Event{Layer: layer.name(c, i), Total: layer.size})
	}
	image, err := s.ingest(ctx, c)
	if err == nil && s.config.Pulled != nil {
		s.config.Pulled(time.Since(begun))
	}
	return image, err
}

// resolveAt follows the indexes of one registry down to the manifest for the store's platform.
func (r *route) resolveAt(ctx context.Context, from *registry, ref Reference, config Config) (*candidate, error) {
	target := ref.Tag
	if ref.Digest != "" {
		target = ref.Digest
	}
	var index string
	var indexData []byte
	for range 4 {
		data, mediaType, err := from.manifest(ctx, target)
		if err != nil {
			return nil, err
		}
		if isSchema1(mediaType) {
			if data, err = schema1Payload(data); err != nil {
				return nil, err
			}
		}
		digest := digestLike(target, data)
		if strings.Contains(target, ":") && target != digest {
			return nil, fmt.Errorf("%w: the manifest is %s", ErrDigestMismatch, digest)
		}
		if isSchema1(mediaType) {
			return r.schema1(ctx, data)
		}
		doc, err := decodeDocument(data, mediaType, r.limits)
		if err != nil {
			return nil, err
		}
		if !isIndex(mediaType) {
			c, err := r.candidate(ctx, doc, digest, data)
			if err == nil {
				c.index, c.indexData = index, indexData
			}
			return c, err
		}
		index, indexData = digest, data
		chosen, err := config.choose(doc)
		if err != nil {
			return nil, err
		}
		target = string(chosen.Digest)
	}
	return nil, refused("its indexes are nested deeper than 4")
}

func (r *route) candidate(ctx context.Context, doc document, digest string, manifest []byte) (*candidate, error) {
	c := &candidate{digest: digest, manifest: manifest, id: string(doc.Config.Digest)}
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
	if got := digestLike(c.id, c.config); got != c.id {
		return nil, fmt.Errorf("%w: the configuration is %s", ErrDigestMismatch, got)
	}
	for _, layer := range doc.Layers {
		c.layers = append(c.layers, layerSource{digest: string(layer.Digest), size: layer.Size,
			open: func(ctx context.Context) (io.ReadCloser, error) { return r.open(ctx, layer) }})
	}
	return c, nil
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
	if errors.Is(err, errForeign) {
		return fmt.Errorf("pull image %s: %w: %s: check that this agent reaches its address", ref, ErrUnreachable, oneLine(err))
	}
	var answer *transport.Error
	if errors.As(err, &answer) {
		return describeAnswer(ref, answer, err)
	}
	var network net.Error
	if errors.As(err, &network) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, errStalled) {
		return fmt.Errorf("pull image %s: %w: %s: check the registry's name and the network (%s)", ref, ErrUnreachable, ref.Registry, oneLine(err))
	}
	return fmt.Errorf("pull image %s: %w", ref, err)
}

func describeAnswer(ref Reference, answer *transport.Error, err error) error {
	cause := fmt.Sprintf("%s answered %d", ref.Registry, answer.StatusCode)
	for _, d := range answer.Errors {
		cause += " " + string(d.Code)
	}
	if _, mirrors, ok := strings.Cut(oneLine(err), " (mirror "); ok {
		cause += " (mirror " + mirrors
	}
	switch answer.StatusCode {
	case http.StatusNotFound:
		return fmt.Errorf("pull image %s: %w: %s: check the name and the tag", ref, ErrNotFound, cause)
	case http.StatusUnauthorized, http.StatusForbidden:
		return fmt.Errorf("pull image %s: %w: %s: check the name, or give credentials for %s", ref, ErrUnauthorized, cause, ref.Registry)
	}
	return fmt.Errorf("pull image %s: %w: %s: try again later", ref, ErrUnreachable, cause)
}
