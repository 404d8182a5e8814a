// Package images keeps container images on an agent: it pulls them from registries,
// loads them from archives, and unpacks their layers into directories that overlayfs
// can use as they are.
//
// It promises that nothing is used before its digest was verified, that layers are
// unpacked once and shared, that concurrent pulls of one image are one pull, and that
// a failed, cancelled or crashed pull leaves nothing that a later one would trust. A
// hostile image touches nothing outside of its own layer. It refuses to take an image's
// configuration for more than data, and to run anything from an image.
package images

import (
	"context"
	"errors"
	"time"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"agora.dev/agora/agent/images/logins"
)

// Error classes. Every error of this package that a user can meet wraps one of them,
// and its text is one line that names the image, the cause and the next step.
var (
	ErrNotFound       = errors.New("image not found")
	ErrUnauthorized   = errors.New("access to image refused")
	ErrUnreachable    = errors.New("registry unreachable")
	ErrDigestMismatch = errors.New("image content does not match its digest")
	ErrNoSpace        = errors.New("no space left for image")
	ErrHostile        = errors.New("image refused")
	ErrReference      = errors.New("image reference is malformed")
	ErrPlatform       = errors.New("image has no variant for this platform")
)

// Config says where a store is and what it accepts. Zero fields take their defaults.
type Config struct {
	// OS, Arch and Variant choose from multi-platform images; default: this binary's.
	OS, Arch, Variant string
	// Insecure lists registries, as host or host:port, that are spoken to by plain
	// http or with unverified certificates. Loopback addresses always are.
	Insecure []string
	// Registry is asked for images whose name has none: HOST[:PORT][/PATH]; default: docker.io.
	Registry string
	// Archives is a directory with IMAGE.tar for such images instead; nothing is asked.
	Archives string
	// Logins are for pulls that bring none of their own.
	Logins  logins.Logins
	Mirrors Mirrors
	// ForeignHosts lists, as host or host:port, where foreign layers are fetched from even
	// by plain http or at a private address.
	ForeignHosts []string
	// Pulled may be nil; it is told how long a pull took that succeeded.
	Pulled func(time.Duration)
	// Executable is what builtin images are made of; default: the running binary.
	Executable string
	// Applets are the names linked to Executable in builtin images; default: all.
	Applets []string
	Limits  Limits
}

// Limits bound what one image may cost.
type Limits struct {
	LayerBytes  int64         // unpacked; default 64 GiB
	ImageBytes  int64         // all layers unpacked; default 128 GiB
	Entries     int           // of one layer; default 2,000,000
	Layers      int           // default 256
	Depth       int           // of a path in a layer; default 256
	Ratio       int64         // of unpacked to packed bytes beyond RatioFloor; default 250
	RatioFloor  int64         // default 64 MiB
	Document    int64         // of a manifest, index or config; default 4 MiB
	StallAfter  time.Duration // without a byte from the registry; default 1 min
	Parallelism int           // layers unpacked at once by one pull; default 3
	Retries     int           // of one transfer without a byte in between; default 5
	RetryAfter  time.Duration // before the first, doubled for each more; default 500 ms
}

// Progress is told about a pull: first of each layer, the lowest first. Nil is fine. It is
// called from several goroutines, one at a time, and must not wait.
type Progress func(Event)

// Event is one piece of news of a pull.
type Event struct {
	Layer   string // digest
	Current int64  // packed bytes read
	Total   int64  // -1: unknown
	Done    bool   // unpacked, or already present
}

// Image is the record of an image in the store.
type Image struct {
	// Reference is the full name, e.g. docker.io/library/busybox:latest.
	Reference string `json:"reference"`
	// ID is the digest of the configuration; Digest that of the manifest (empty for
	// images from docker archives).
	ID     string `json:"id"`
	Digest string `json:"digest,omitempty"`
	// Index is the digest of the index that named the manifest; empty without one.
	Index string `json:"index,omitempty"`
	// Layers are chain ids, the lowest first.
	Layers []string  `json:"layers"`
	Size   int64     `json:"size"` // unpacked bytes, shared layers counted
	Added  time.Time `json:"added"`
	OS     string    `json:"os"`
	Arch   string    `json:"arch"`
	// Builtin is set for images made from the running binary.
	Builtin bool `json:"builtin,omitempty"`
}

// RootFS is an image ready to be mounted.
type RootFS struct {
	// Layers are directories to be used as overlay lowerdirs, the lowest first.
	Layers []string
	Config ocispec.ImageConfig
}

// Pruned says what a Prune removed.
type Pruned struct {
	Images int
	Layers int
	Bytes  int64
}

// Provision returns the root file system of an image, pulling it when it is not in the
// store, or always asking the registry when cached is false.
func (s *Store) Provision(ctx context.Context, ref string, given logins.Logins, cached bool) (RootFS, error) {
	if cached {
		if root, err := s.RootFS(ref); err == nil || !errors.Is(err, ErrNotFound) {
			return root, err
		}
	}
	image, err := s.Pull(ctx, ref, given, nil)
	if err != nil {
		return RootFS{}, err
	}
	return s.RootFS(image.Reference)
}
