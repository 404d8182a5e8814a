package images

import (
	"fmt"
	"strings"

	"github.com/google/go-containerregistry/pkg/name"
)

// BuiltinPrefix starts the names of the images made from the running binary.
const BuiltinPrefix = "builtin/"

// maxReference is the longest reference that is looked at.
const maxReference = 1024

// Reference is the parsed name of an image.
type Reference struct {
	Registry   string // host[:port] as in docker's names, e.g. docker.io
	Repository string // e.g. library/busybox
	Tag        string // empty when Digest is set
	Digest     string // sha256:... or sha512:...
	Builtin    bool   // Repository is the name after builtin/
}

// ParseReference reads a name as docker does: without a registry it is docker.io, with
// one component library/ comes before it, without tag and digest it is latest. A name
// with both tag and digest is known by its digest.
func ParseReference(text string) (Reference, error) {
	if text == "" || len(text) > maxReference {
		return Reference{}, fmt.Errorf("image name of %d characters: %w: give one of 1 to %d", len(text), ErrReference, maxReference)
	}
	if rest, ok := strings.CutPrefix(text, BuiltinPrefix); ok {
		rest = strings.TrimSuffix(rest, ":latest")
		if _, ok := builtinCommands[rest]; !ok {
			return Reference{}, fmt.Errorf("image %q: %w: the builtin images are %s", text, ErrNotFound, strings.Join(BuiltinNames(), ", "))
		}
		return Reference{Repository: rest, Builtin: true}, nil
	}
	parsed, err := name.ParseReference(text, name.WithDefaultTag("latest"))
	if err != nil {
		return Reference{}, malformed(text, err)
	}
	out := Reference{
		Registry:   parsed.Context().RegistryStr(),
		Repository: parsed.Context().RepositoryStr(),
	}
	if first := out.Registry[0]; first != '[' && !alphanumeric(first) && (first < 'A' || first > 'Z') {
		return Reference{}, malformed(text, fmt.Errorf("registry %q is no host", out.Registry))
	}
	if out.Registry == name.DefaultRegistry {
		out.Registry = "docker.io"
	}
	switch p := parsed.(type) {
	case name.Tag:
		out.Tag = p.TagStr()
	case name.Digest:
		out.Digest = p.DigestStr()
		if _, err := hexOf(out.Digest); err != nil {
			return Reference{}, malformed(text, err)
		}
	}
	return out, checkRepository(text, out.Repository)
}

// bare tells names without a registry, as docker does.
func bare(text string) bool {
	first, _, found := strings.Cut(text, "/")
	return !found || !strings.ContainsAny(first, ".:") && first != "localhost"
}

// parse reads a name; one without a registry belongs to the store's.
func (s *Store) parse(text string) (Reference, error) {
	ref, err := ParseReference(text)
	if err != nil || ref.Builtin || s.config.Registry == "" || !bare(text) {
		return ref, err
	}
	return ParseReference(s.config.Registry + "/" + text)
}

// Registry is whom the store asks for an image.
func (s *Store) Registry(ref string) (string, error) {
	parsed, err := s.parse(ref)
	return parsed.Registry, err
}

// checkRepository holds what docker's grammar asks beyond the library's character set.
func checkRepository(text, repository string) error {
	for part := range strings.SplitSeq(repository, "/") {
		if part == "" || !alphanumeric(part[0]) || !alphanumeric(part[len(part)-1]) || strings.Contains(part, "..") {
			return malformed(text, fmt.Errorf("component %q must begin and end with a letter or digit", part))
		}
	}
	return nil
}

func alphanumeric(c byte) bool { return c >= 'a' && c <= 'z' || c >= '0' && c <= '9' }

func malformed(text string, cause error) error {
	return fmt.Errorf("image %q: %w (%s): write it as [REGISTRY/]NAME[:TAG|@sha256:DIGEST]", text, ErrReference, oneLine(cause))
}

// String is the full name, the key of the image in the store.
func (r Reference) String() string {
	if r.Builtin {
		return BuiltinPrefix + r.Repository
	}
	if r.Digest != "" {
		return r.Registry + "/" + r.Repository + "@" + r.Digest
	}
	return r.Registry + "/" + r.Repository + ":" + r.Tag
}

// Familiar is the short form that a person would type.
func Familiar(full string) string {
	short := strings.TrimPrefix(full, "docker.io/")
	if short != full {
		short = strings.TrimPrefix(short, "library/")
	}
	return strings.TrimSuffix(short, ":latest")
}

// oneLine makes a cause fit for a one-line error.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
