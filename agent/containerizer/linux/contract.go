// Package linux makes containers on a Linux host: it turns a containerizer.Spec into
// an OCI runtime specification with the help of the isolators, provides the root
// file system and the fetched files, and has a launcher realise it.
//
// It promises that a launch that fails, or is cancelled, leaves no process, cgroup,
// mount or file of its own behind, and that containers outlive the agent. It refuses
// to start processes itself: only the launcher does.
package linux

import (
	"context"
	"io"

	mesos "agora.dev/agora/api/mesos/v1"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// RootFS is an image ready to be mounted.
type RootFS struct {
	// Layers are host directories, the lowest first. They are read only and stay
	// until the last container that uses them is gone.
	Layers []string
	// Config is what the image says about processes: entrypoint, command,
	// environment, working directory, user. It is data and selects nothing on the
	// host.
	Config ocispec.ImageConfig
}

// Provisioner makes the layers of an image present on this host. Concurrent calls
// for one image are one pull. Cancelling ctx ends the wait.
type Provisioner interface {
	Provision(ctx context.Context, image *mesos.Image) (RootFS, error)
}

// Fetcher brings the URIs of a command into the sandbox, owned by user; what it has
// to say goes to stderr, which is the sandbox's.
type Fetcher interface {
	Fetch(ctx context.Context, uris []*mesos.CommandInfo_URI, sandbox, user string, stderr io.Writer) error
}
