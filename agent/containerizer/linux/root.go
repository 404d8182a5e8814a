package linux

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/agent/isolators/userns"
	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/rootfs"
)

// copied is a directory that is a copy of an image.
type copied struct {
	Dir   string // below the container's own
	Bytes uint64 // that it took when it was made
}

// chooseBackend finds out how containers get the files of their images: as the operator
// says, or else by overlay where that works.
func (c *Containerizer) chooseBackend() error {
	c.backend = c.config.Backend
	if c.config.Images == nil || c.backend == rootfs.Copy {
		return nil
	}
	layers := c.config.Layers
	if layers == "" {
		layers = c.config.Dir
	}
	err := rootfs.Probe(layers, filepath.Join(c.config.Dir, "containers"))
	switch {
	case err == nil:
		c.backend = rootfs.Overlay
	case c.backend == rootfs.Overlay:
		return fmt.Errorf("--image_provisioner_backend=overlay: %w; use copy, or put the work directory on another file system", err)
	default:
		c.backend = rootfs.Copy
		c.log.Warn("the files of images are copied for each container, since overlayfs does not work here", "reason", err)
	}
	return nil
}

// copies decides whether an image is copied. Where nobody chose, one of more layers than a
// mount takes is.
func (c *Containerizer) copies(id containerizer.ID, o launcher.Overlay) (bool, error) {
	if c.backend == rootfs.Copy {
		return true, nil
	}
	_, err := o.Data()
	if err == nil || c.config.Backend != rootfs.Auto {
		return false, err
	}
	c.log.Info("the files of an image are copied, since overlayfs does not take its layers", "container", id, "reason", err)
	return true, nil
}

// makeRoot gives the container its image: at a path, or as an overlay that the launcher
// mounts there.
func (c *Containerizer) makeRoot(ctx context.Context, b *box, layers []string) (path string, overlay *launcher.Overlay, err error) {
	dir := c.dir(b.id)
	o := launcher.Overlay{Lower: layers, Upper: filepath.Join(dir, "upper"), Work: filepath.Join(dir, "work")}
	copies, err := c.copies(b.id, o)
	if err != nil {
		return "", nil, err
	}
	if copies {
		path, err = c.copyImage(ctx, b, "image", layers)
		return path, nil, err
	}
	path = filepath.Join(dir, "root")
	for _, d := range []string{path, o.Upper, o.Work} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return "", nil, err
		}
	}
	return path, &o, nil
}

// copyImage makes a copy of an image below the container's own directory, where only the
// machine's root comes: it has the image's set-user-id programs in it.
func (c *Containerizer) copyImage(ctx context.Context, b *box, name string, layers []string) (string, error) {
	if err := os.MkdirAll(filepath.Join(c.dir(b.id), name), 0o700); err != nil {
		return "", err
	}
	at := filepath.Join(name, "copy")
	what := rootfs.Copying{Layers: layers}
	if b.UserFirst != 0 {
		what.First, what.Size = b.UserFirst, userns.Size
	}
	began := time.Now()
	done, err := what.To(ctx, filepath.Join(c.dir(b.id), at))
	if err != nil {
		return "", err
	}
	c.mu.Lock()
	b.Copies = append(b.Copies, copied{Dir: at, Bytes: done.Bytes})
	c.mu.Unlock()
	c.log.Debug("image copied", "container", b.id, "files", done.Files, "bytes", done.Bytes, "took", time.Since(began))
	if done.Left > 0 {
		c.log.Warn("extended attributes of an image are left out, since the file system has none", "container", b.id, "attributes", done.Left)
	}
	return filepath.Join(c.dir(b.id), at), nil
}

// written is a directory where what a container changes in an image is kept; of its bytes
// those of the image itself are not the container's.
type written struct {
	dir   string
	image uint64
}

// writable are those of a container and of what is nested in it.
func (c *Containerizer) writable(id containerizer.ID) (out []written) {
	copies := map[containerizer.ID][]copied{}
	c.mu.Lock()
	for each, b := range c.boxes {
		if each == id || strings.HasPrefix(string(each), string(id)+".") {
			copies[each] = b.Copies
		}
	}
	c.mu.Unlock()
	for each, made := range copies {
		dirs := []string{filepath.Join(c.dir(each), "upper")}
		if found, err := filepath.Glob(filepath.Join(c.dir(each), "volume*", "upper")); err == nil {
			dirs = append(dirs, found...)
		}
		for _, dir := range dirs {
			out = append(out, written{dir: dir})
		}
		for _, one := range made {
			out = append(out, written{dir: filepath.Join(c.dir(each), one.Dir), image: one.Bytes})
		}
	}
	return out
}
