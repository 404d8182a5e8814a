package fetcher

import (
	"archive/tar"
	"archive/zip"
	"compress/bzip2"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/gzip"
	"github.com/ulikunitz/xz"
)

// maxRatio is how many times its size an archive beyond ratioFloor may unpack to.
const (
	maxRatio   = 1100
	ratioFloor = 64 << 20
)

// unpack unpacks an archive into the sandbox's top directory.
func (r *run) unpack(ctx context.Context, file *os.File, item item) error {
	info, err := file.Stat()
	if err != nil {
		return err
	}
	limit := min(r.config.UnpackedBytes, max(ratioFloor, info.Size()*maxRatio))
	if item.unpack == "zip" {
		return r.unzip(ctx, file, info.Size(), limit)
	}
	kind, packing, _ := strings.Cut(item.unpack, "+")
	if kind == "gzip" {
		kind, packing = "", "gzip"
	}
	plain, err := open(&contextReader{ctx, file}, packing)
	if err != nil {
		return fmt.Errorf("%s is no %s archive: %w", item.name, packing, err)
	}
	if kind == "" {
		name := item.name
		if ending := filepath.Ext(name); strings.EqualFold(ending, ".gz") {
			name = strings.TrimSuffix(name, ending)
		}
		if err := checkName(name); err != nil {
			return err
		}
		return r.put(name, 0o644, plain, limit)
	}
	return r.untar(plain, limit)
}

func open(packed io.Reader, packing string) (io.Reader, error) {
	switch packing {
	case "gzip":
		return gzip.NewReader(packed)
	case "bzip2":
		return bzip2.NewReader(packed), nil
	case "xz":
		return xz.ReaderConfig{DictCap: 64 << 20}.NewReader(packed)
	}
	return packed, nil
}

func (r *run) untar(plain io.Reader, limit int64) error {
	reader := tar.NewReader(plain)
	for entries := 0; ; entries++ {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("archive is broken: %w", err)
		}
		if entries >= r.config.Entries {
			return fmt.Errorf("%w: the archive has more than %d entries", ErrTooBig, r.config.Entries)
		}
		if limit -= header.Size; limit < 0 {
			return fmt.Errorf("%w: the archive unpacks to too many bytes", ErrTooBig)
		}
		if err := r.tarEntry(header, reader); err != nil {
			return fmt.Errorf("entry %.200q: %w", header.Name, err)
		}
	}
}

func (r *run) tarEntry(h *tar.Header, content io.Reader) error {
	name, err := entryName(h.Name)
	if err != nil || name == "." {
		return err
	}
	switch h.Typeflag {
	case tar.TypeXGlobalHeader:
		return nil
	case tar.TypeDir:
		return r.mkdirs(name)
	case tar.TypeReg:
		return r.put(name, os.FileMode(h.Mode).Perm(), content, h.Size)
	case tar.TypeSymlink:
		return r.link(name, h.Linkname)
	case tar.TypeLink:
		return r.hardLink(name, h.Linkname)
	}
	return fmt.Errorf("%w: it is neither a file, a directory nor a link", ErrRefused)
}

// entryName cleans the name of an entry; one that leaves the sandbox is refused.
func entryName(name string) (string, error) {
	clean := filepath.Clean(name)
	if name == "" || !filepath.IsLocal(clean) || strings.Contains("/"+name+"/", "/../") || strings.ContainsRune(name, 0) {
		return "", fmt.Errorf("%w: it leaves the sandbox", ErrRefused)
	}
	if clean == "stdout" || clean == "stderr" {
		return "", fmt.Errorf("%w: the name is taken by the task's output", ErrRefused)
	}
	return clean, nil
}

// link makes a symbolic link whose target, seen from where it is, stays inside.
func (r *run) link(name, target string) error {
	// A .. after a name could follow another link first, so that only leading ones count.
	rest := target
	for strings.HasPrefix(rest, "../") {
		rest = rest[3:]
	}
	if strings.Contains("/"+rest+"/", "/../") && rest != ".." || filepath.IsAbs(target) || !filepath.IsLocal(filepath.Join(filepath.Dir(name), target)) {
		return fmt.Errorf("%w: it links to %.200q, outside of the sandbox", ErrRefused, target)
	}
	if err := r.mkdirs(filepath.Dir(name)); err != nil {
		return err
	}
	if err := r.root.Symlink(target, name); err != nil {
		return err
	}
	r.made = append(r.made, name)
	if r.owner.keep {
		return nil
	}
	return r.root.Lchown(name, r.owner.uid, r.owner.gid)
}

func (r *run) hardLink(name, target string) error {
	target, err := entryName(target)
	if err != nil {
		return err
	}
	info, err := r.root.Lstat(target)
	if err != nil {
		return err
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("%w: it links to something that is no file", ErrRefused)
	}
	if err := r.mkdirs(filepath.Dir(name)); err != nil {
		return err
	}
	if err := r.root.Link(target, name); err != nil {
		return err
	}
	r.made = append(r.made, name)
	return nil
}

func (r *run) unzip(ctx context.Context, file io.ReaderAt, size, limit int64) error {
	archive, err := zip.NewReader(file, size)
	if err != nil && !errors.Is(err, zip.ErrInsecurePath) {
		return fmt.Errorf("archive is broken: %w", err)
	}
	if len(archive.File) > r.config.Entries {
		return fmt.Errorf("%w: the archive has more than %d entries", ErrTooBig, r.config.Entries)
	}
	for _, entry := range archive.File {
		if limit -= int64(min(entry.UncompressedSize64, 1<<62)); limit < 0 {
			return fmt.Errorf("%w: the archive unpacks to too many bytes", ErrTooBig)
		}
		if err := r.zipEntry(ctx, entry); err != nil {
			return fmt.Errorf("entry %.200q: %w", entry.Name, err)
		}
	}
	return nil
}

func (r *run) zipEntry(ctx context.Context, entry *zip.File) error {
	name, err := entryName(entry.Name)
	if err != nil || name == "." {
		return err
	}
	mode := entry.Mode()
	if mode.IsDir() {
		return r.mkdirs(name)
	}
	content, err := entry.Open()
	if err != nil {
		return err
	}
	defer content.Close()
	switch mode.Type() {
	case 0:
		if mode.Perm() == 0 {
			mode = 0o644
		}
		return r.put(name, mode, &contextReader{ctx, content}, int64(entry.UncompressedSize64))
	case os.ModeSymlink:
		target, err := io.ReadAll(io.LimitReader(content, 4096))
		if err != nil {
			return err
		}
		return r.link(name, string(target))
	}
	return fmt.Errorf("%w: it is neither a file, a directory nor a link", ErrRefused)
}
