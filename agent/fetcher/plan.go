package fetcher

import (
	"fmt"
	"net/netip"
	"net/url"
	"path"
	"path/filepath"
	"strings"
	"unicode"

	mesos "agora.dev/agora/api/mesos/v1"
)

// item is what is to be done for one URI.
type item struct {
	url        *url.URL // nil for a file of the host
	file       string
	shown      string // for logs: without passwords and queries
	name       string // in the sandbox
	unpack     string // the kind of archive; empty: left as it is
	executable bool
	cache      bool
}

// archives are the endings that are unpacked, the longer ones first.
var archives = [...]struct{ ending, kind string }{
	{".tar.gz", "tar+gzip"}, {".tar.bz2", "tar+bzip2"}, {".tar.xz", "tar+xz"}, {".tgz", "tar+gzip"}, {".tbz2", "tar+bzip2"},
	{".txz", "tar+xz"}, {".tar", "tar"}, {".gz", "gzip"}, {".zip", "zip"},
}

// plan checks a URI and decides what becomes of it.
func (c Config) plan(uri *mesos.CommandInfo_URI) (item, error) {
	value := uri.GetValue()
	if value == "" || len(value) > 8192 || strings.ContainsFunc(value, unicode.IsControl) || value[0] == '-' {
		return item{}, fmt.Errorf("%w: give file, http, https, ftp or hdfs and an address", ErrURI)
	}
	out := item{executable: uri.GetExecutable(), cache: uri.GetCache(), shown: redact(value)}
	base, err := c.source(value, &out)
	if err != nil {
		return out, err
	}
	out.name = base
	if uri.GetOutputFile() != "" {
		out.name = uri.GetOutputFile()
	}
	if err := checkName(out.name); err != nil {
		return out, err
	}
	out.name = filepath.Clean(out.name)
	if uri.GetExtract() && !out.executable {
		for _, a := range archives {
			if strings.HasSuffix(strings.ToLower(base), a.ending) {
				out.unpack = a.kind
				break
			}
		}
	}
	return out, nil
}

// source fills in where the bytes come from, and returns the last part of that name.
func (c Config) source(value string, out *item) (string, error) {
	if rest, ok := strings.CutPrefix(value, "file://"); ok {
		rest = strings.TrimPrefix(rest, "localhost")
		if !strings.HasPrefix(rest, "/") {
			return "", fmt.Errorf("%w: file:// needs an absolute path", ErrURI)
		}
		out.file = filepath.Clean(rest)
		return path.Base(out.file), nil
	}
	if !strings.Contains(value, "://") {
		out.file = filepath.Clean(value)
		if !filepath.IsAbs(value) {
			if c.FrameworksHome == "" {
				return "", fmt.Errorf("%w: it is relative, and the agent has no --frameworks_home", ErrURI)
			}
			if !filepath.IsLocal(value) {
				return "", fmt.Errorf("%w: it leaves --frameworks_home", ErrURI)
			}
			out.file = filepath.Join(c.FrameworksHome, value)
		}
		return path.Base(out.file), nil
	}
	parsed, err := url.Parse(value)
	if err != nil {
		return "", fmt.Errorf("%w: it cannot be parsed", ErrURI)
	}
	if err := checkURL(parsed); err != nil {
		return "", err
	}
	out.url = parsed
	return path.Base(parsed.Path), nil
}

// checkURL refuses what no name resolution is needed to refuse; addresses are checked
// again when they are dialled.
func checkURL(u *url.URL) error {
	if hadoopSchemes[u.Scheme] && u.Opaque == "" && u.Path != "" {
		return nil // its client knows where
	}
	if u.Scheme != "http" && u.Scheme != "https" && u.Scheme != "ftp" {
		return fmt.Errorf("%w: scheme %.20q is not supported: use file, http, https, ftp or hdfs", ErrURI, u.Scheme)
	}
	if u.Hostname() == "" || u.Opaque != "" {
		return fmt.Errorf("%w: it names no host", ErrURI)
	}
	if address, err := netip.ParseAddr(u.Hostname()); err == nil {
		return refuseAddress(address)
	}
	return nil
}

// checkName accepts a relative path that stays in the sandbox.
func checkName(name string) error {
	if name == "" || name == "." || name == "/" || !filepath.IsLocal(name) || strings.ContainsRune(name, 0) || strings.HasSuffix(name, "/") {
		return fmt.Errorf("%w: output file %.100q must be a relative path in the sandbox", ErrURI, name)
	}
	if name == "stdout" || name == "stderr" {
		return fmt.Errorf("%w: output file %q is taken by the task's output", ErrURI, name)
	}
	return nil
}

// redact removes what could be a secret from a URI.
func redact(value string) string {
	parsed, err := url.Parse(value)
	if err != nil {
		return "(a URI that cannot be parsed)"
	}
	if parsed.User != nil {
		parsed.User = url.User("...")
	}
	if parsed.RawQuery != "" {
		parsed.RawQuery = "..."
	}
	parsed.Fragment = ""
	return parsed.String()
}
