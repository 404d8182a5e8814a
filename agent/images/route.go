package images

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"agora.dev/agora/agent/images/logins"
)

// Mirrors are the registries that are asked in the place of another, in their order, and
// before it. The key * is for registries without an entry.
type Mirrors map[string][]string

// ParseMirrors reads REGISTRY=MIRROR,...;REGISTRY=... A mirror may have a path, below
// which it keeps the other's repositories.
func ParseMirrors(option string) (Mirrors, error) {
	out := Mirrors{}
	for part := range strings.SplitSeq(option, ";") {
		if part = strings.TrimSpace(part); part == "" {
			continue
		}
		registry, list, ok := strings.Cut(part, "=")
		if registry = strings.TrimSpace(registry); !ok || registry == "" {
			return nil, fmt.Errorf("mirrors %q: write them as REGISTRY=MIRROR,MIRROR;REGISTRY=MIRROR", part)
		}
		if _, twice := out[registry]; twice {
			return nil, fmt.Errorf("mirrors of %s are given twice", registry)
		}
		for mirror := range strings.SplitSeq(list, ",") {
			mirror = strings.TrimRight(strings.TrimSpace(mirror), "/")
			if strings.Contains(mirror, "://") {
				return nil, fmt.Errorf("mirror %q: write it as HOST[:PORT][/PATH], without a scheme", mirror)
			}
			host, path, _ := strings.Cut(mirror, "/")
			_, err := name.NewRegistry(host)
			if host == "" || err != nil || path != "" && checkRepository(mirror, path) != nil {
				return nil, fmt.Errorf("mirror %q of %s: write it as HOST[:PORT][/PATH]", mirror, registry)
			}
			out[registry] = append(out[registry], mirror)
		}
	}
	return out, nil
}

func (m Mirrors) of(registry string) []string {
	if list, ok := m[registry]; ok {
		return list
	}
	return m["*"]
}

// route is who may have an image, the mirrors first.
type route struct {
	sources []*registry
	foreign foreign
	limits  Limits
	spool   string // directory for layers that have to be measured
}

func (s *Store) route(ref Reference, given logins.Logins) (*route, error) {
	out := &route{foreign: foreign{hosts: s.config.ForeignHosts, limits: s.config.Limits}, limits: s.config.Limits, spool: s.path(tmpDir)}
	for _, host := range append(slices.Clone(s.config.Mirrors.of(ref.Registry)), ref.Registry) {
		login := s.login(given, host, ref.Repository)
		source, err := s.registry(host, ref.Repository, login)
		if err != nil {
			return nil, err
		}
		out.sources = append(out.sources, source)
	}
	out.sources[len(out.sources)-1].patient = true
	return out, nil
}

// login prefers what came with the image to what the agent has.
func (s *Store) login(given logins.Logins, host, repository string) logins.Login {
	server, prefix, _ := strings.Cut(host, "/")
	repository = strings.TrimPrefix(prefix+"/"+repository, "/")
	if login := given.For(server, repository); login != (logins.Login{}) {
		return login
	}
	return s.config.Logins.For(server, repository)
}

// resolve asks one after the other. The error is that of the registry itself; what the
// mirrors said is added.
func (r *route) resolve(ctx context.Context, ref Reference, config Config) (*candidate, error) {
	var trouble []string
	for i, source := range r.sources {
		rest := &route{sources: r.sources[i:], foreign: r.foreign, limits: r.limits, spool: r.spool}
		c, err := rest.resolveAt(ctx, source, ref, config)
		if err == nil || ctx.Err() != nil {
			return c, err
		}
		if i < len(r.sources)-1 {
			trouble = append(trouble, fmt.Sprintf("mirror %s: %s", source.host, oneLine(err)))
			continue
		}
		if len(trouble) > 0 {
			err = fmt.Errorf("%w (%s)", err, strings.Join(trouble, "; "))
		}
		return nil, err
	}
	return nil, errors.New("no registry")
}

// open reads a layer from the first that has it, and goes on with the next when one
// fails for good.
func (r *route) open(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
	digest := string(d.Digest)
	return newResumingReader(ctx, r.limits, d.Size, func(ctx context.Context, offset int64) (io.ReadCloser, error) {
		var err error
		for _, source := range r.sources {
			var body io.ReadCloser
			if body, err = source.blob(ctx, digest, offset); err == nil || ctx.Err() != nil {
				return body, err
			}
		}
		if !isForeign(d.MediaType) || len(d.URLs) == 0 {
			return nil, err
		}
		return r.foreign.open(ctx, d, offset)
	})
}
