// Package imagekit builds small container images for tests, as OCI layouts, docker
// archives, or pushed to a registry.
//
// It promises images that are the same in every run. It refuses to be part of the
// product: only tests import it.
package imagekit

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// File is one entry of a layer; a name ending in / is a directory.
type File struct {
	Name, Content, Link string
	Mode                int64
}

// Tar makes an archive of the given entries.
func Tar(files ...File) ([]byte, error) {
	var buffer bytes.Buffer
	w := tar.NewWriter(&buffer)
	for _, f := range files {
		h := &tar.Header{Name: f.Name, Mode: f.Mode, Size: int64(len(f.Content)), Linkname: f.Link, Typeflag: tar.TypeReg}
		switch {
		case f.Link != "":
			h.Typeflag = tar.TypeSymlink
		case f.Name[len(f.Name)-1] == '/':
			h.Typeflag = tar.TypeDir
		}
		if h.Mode == 0 {
			h.Mode = 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := io.WriteString(w, f.Content); err != nil {
			return nil, err
		}
	}
	return buffer.Bytes(), w.Close()
}

// Busybox returns the entries of a root with busybox-static and links for its commands,
// or an error when the package is not installed.
func Busybox() ([]File, error) {
	binary, err := os.ReadFile("/bin/busybox")
	if err != nil {
		return nil, fmt.Errorf("install busybox-static: %w", err)
	}
	files := []File{{Name: "bin/"}, {Name: "etc/"}, {Name: "proc/"}, {Name: "dev/"}, {Name: "sys/"}, {Name: "tmp/", Mode: 0o1777},
		{Name: "etc/passwd", Content: "root:x:0:0:root:/:/bin/sh\n", Mode: 0o644}, {Name: "bin/busybox", Content: string(binary)}}
	for _, applet := range []string{"sh", "ls", "cat", "echo", "sleep", "true", "false", "env", "id", "ps", "httpd", "wget", "hostname"} {
		files = append(files, File{Name: "bin/" + applet, Link: "busybox"})
	}
	return files, nil
}

// Image makes an image of layers, the lowest first, each a tar archive.
func Image(config v1.Config, layers ...[]byte) (v1.Image, error) {
	image, err := mutate.Config(empty.Image, config)
	if err != nil {
		return nil, err
	}
	file, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	file = file.DeepCopy()
	file.OS, file.Architecture = "linux", runtime.GOARCH
	if image, err = mutate.ConfigFile(image, file); err != nil {
		return nil, err
	}
	for _, data := range layers {
		layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(data)), nil })
		if err != nil {
			return nil, err
		}
		if image, err = mutate.AppendLayers(image, layer); err != nil {
			return nil, err
		}
	}
	return image, nil
}

// Push sends an image to a registry, by plain http.
func Push(reference string, image v1.Image, options ...remote.Option) error {
	ref, err := name.ParseReference(reference, name.Insecure)
	if err != nil {
		return err
	}
	return remote.Write(ref, image, options...)
}

// PushDocker is Push with docker's media types, for what knows no others.
func PushDocker(reference string, image v1.Image) error {
	layers, err := image.Layers()
	if err != nil {
		return err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return err
	}
	out := mutate.ConfigMediaType(mutate.MediaType(empty.Image, types.DockerManifestSchema2), types.DockerConfigJSON)
	for _, layer := range layers {
		if out, err = mutate.Append(out, mutate.Addendum{Layer: layer, MediaType: types.DockerLayer}); err != nil {
			return err
		}
	}
	if out, err = mutate.ConfigFile(out, config); err != nil {
		return err
	}
	return Push(reference, out)
}

// Layout writes an image as an OCI layout directory.
func Layout(dir string, image v1.Image) error {
	path, err := layout.Write(dir, empty.Index)
	if err != nil {
		return err
	}
	return path.AppendImage(image)
}

// DockerArchive writes an image as `docker save` does.
func DockerArchive(path, reference string, image v1.Image) error {
	ref, err := name.NewTag(reference)
	if err != nil {
		return err
	}
	return tarball.WriteToFile(path, ref, image)
}
