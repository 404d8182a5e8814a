// Package fetcher brings the URIs of a command into a sandbox: files of the host, what http,
// https and ftp servers give, and what a client of Hadoop brings, unpacked when they are archives.
//
// It promises that nothing is written outside of the sandbox, that a failed or cancelled
// fetch leaves none of its files, and that what it fetched belongs to the task's user. It
// refuses link-local addresses whatever name or redirect leads to them, and archives
// with entries that leave the sandbox.
package fetcher

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"agora.dev/agora/agent/sandboxes"
	mesos "agora.dev/agora/api/mesos/v1"
)

// Error classes of a fetch.
var (
	ErrURI     = errors.New("URI is malformed")
	ErrRefused = errors.New("refused")
	ErrStalled = errors.New("download has stalled")
	ErrTooBig  = errors.New("too big")
	ErrUser    = errors.New("unknown user")
)

// Config bounds a fetcher. Zero fields take their defaults.
type Config struct {
	// CacheDir keeps files fetched with cache=true; empty: nothing is cached.
	CacheDir  string
	CacheSize int64 // default 2 GiB, as fetcher_cache_size
	// FrameworksHome is what relative URIs are relative to.
	FrameworksHome string
	// HadoopHome has bin/hadoop, which brings hdfs, hftp and s3; empty: the one of PATH.
	HadoopHome    string
	RetryAfter    time.Duration // before the second attempt, doubled for each more; default 500 ms
	StallAfter    time.Duration // default 1 min, as fetcher_stall_timeout
	FileBytes     int64         // of one download; default 64 GiB
	UnpackedBytes int64         // of one archive; default 128 GiB
	Entries       int           // of one archive; default 1,000,000
}

// Fetcher fetches; its methods may be called from any goroutine.
type Fetcher struct {
	config Config
	client *http.Client
	mu     sync.Mutex // of the cache
	// turns has who fetches for a key of the cache.
	turns map[string]chan struct{}
	// succeeded and failed count the fetches of whole tasks.
	succeeded, failed atomic.Uint64
}

// Figures gives the fetcher's metrics under Mesos's names.
func (f *Fetcher) Figures(emit func(name string, value float64)) {
	emit("containerizer/fetcher/task_fetches_succeeded", float64(f.succeeded.Load()))
	emit("containerizer/fetcher/task_fetches_failed", float64(f.failed.Load()))
	emit("containerizer/fetcher/cache_size_total_bytes", float64(f.config.CacheSize))
	_, used, _ := f.cached() // without a cache nothing
	emit("containerizer/fetcher/cache_size_used_bytes", float64(used))
}

// New returns a fetcher, and makes its cache directory.
func New(config Config) (*Fetcher, error) {
	config.CacheSize = cmp.Or(config.CacheSize, 2<<30)
	config.RetryAfter = cmp.Or(config.RetryAfter, 500*time.Millisecond)
	config.StallAfter = cmp.Or(config.StallAfter, time.Minute)
	config.FileBytes = cmp.Or(config.FileBytes, 64<<30)
	config.UnpackedBytes = cmp.Or(config.UnpackedBytes, 128<<30)
	config.Entries = cmp.Or(config.Entries, 1_000_000)
	if config.CacheDir != "" {
		if err := os.MkdirAll(config.CacheDir, 0o700); err != nil {
			return nil, fmt.Errorf("fetcher cache %s: %w", config.CacheDir, err)
		}
		leftovers, _ := filepath.Glob(filepath.Join(config.CacheDir, ".fetch-*"))
		for _, path := range leftovers {
			_ = os.RemoveAll(path)
		}
	}
	return &Fetcher{config: config, client: newClient(config.StallAfter), turns: map[string]chan struct{}{}}, nil
}

// newClient checks every address at the moment it is dialled: neither a redirect nor a
// name that changes its address gets past that.
func newClient(stall time.Duration) *http.Client {
	return &http.Client{
		Transport: &http.Transport{
			DialContext: dialer().DialContext, TLSHandshakeTimeout: 20 * time.Second, ResponseHeaderTimeout: stall,
			DisableCompression: true, IdleConnTimeout: 5 * time.Second, ForceAttemptHTTP2: true,
		},
		CheckRedirect: func(request *http.Request, via []*http.Request) error {
			if len(via) >= 10 {
				return fmt.Errorf("%w: more than 10 redirects", ErrRefused)
			}
			if request.URL.User != nil || request.URL.Scheme != "http" && request.URL.Scheme != "https" {
				return fmt.Errorf("%w: it redirects to another scheme, or with user information", ErrRefused)
			}
			return checkURL(request.URL)
		},
	}
}

func dialer() *net.Dialer {
	return &net.Dialer{Timeout: 20 * time.Second, Control: func(_, address string, _ syscall.RawConn) error {
		at, err := netip.ParseAddrPort(address)
		if err != nil {
			return err
		}
		return refuseAddress(at.Addr())
	}}
}

func refuseAddress(a netip.Addr) error {
	a = a.Unmap()
	if a.IsLinkLocalUnicast() || a.IsLinkLocalMulticast() || a.IsMulticast() || a == netip.MustParseAddr("fd00:ec2::254") {
		return fmt.Errorf("%w: %s is a link-local address", ErrRefused, a)
	}
	return nil
}

// Fetch brings all URIs into the sandbox. On an error it removes what it brought.
func (f *Fetcher) Fetch(ctx context.Context, uris []*mesos.CommandInfo_URI, sandbox, account string, stderr io.Writer) (err error) {
	if len(uris) == 0 {
		return nil
	}
	defer func() {
		if err != nil {
			f.failed.Add(1)
		} else {
			f.succeeded.Add(1)
		}
	}()
	owner, err := lookUp(account)
	if err != nil {
		return err
	}
	root, err := sandboxes.Open(sandbox)
	if err != nil {
		return fmt.Errorf("fetch into %s: %w", sandbox, err)
	}
	defer root.Close()
	run := &run{Fetcher: f, root: root, sandbox: sandbox, owner: owner, log: stderr}
	defer func() {
		if err != nil {
			run.undo()
		}
	}()
	for _, uri := range uris {
		item, err := f.config.plan(uri)
		if err == nil {
			fmt.Fprintf(stderr, "fetching %s\n", item.shown)
			err = run.fetch(ctx, item)
		}
		if err != nil {
			err = fmt.Errorf("fetch %s: %w", redact(uri.GetValue()), err)
			fmt.Fprintln(stderr, err)
			return err
		}
	}
	return nil
}

// owner is who gets the files; keep is set when that is who we are.
type owner struct {
	uid, gid int
	keep     bool
}

func lookUp(account string) (owner, error) {
	if account == "" || os.Geteuid() != 0 {
		return owner{keep: true}, nil
	}
	found, err := user.Lookup(account)
	if err != nil {
		if found, err = user.LookupId(account); err != nil {
			return owner{}, fmt.Errorf("fetch for %q: %w: add it on this agent, or name another", account, ErrUser)
		}
	}
	uid, uidErr := strconv.Atoi(found.Uid)
	gid, gidErr := strconv.Atoi(found.Gid)
	return owner{uid: uid, gid: gid, keep: uid == os.Geteuid()}, errors.Join(uidErr, gidErr)
}

// run is one Fetch.
type run struct {
	*Fetcher
	root    *os.Root
	sandbox string
	owner   owner
	log     io.Writer
	made    []string // relative to the sandbox, in the order of their making
}

// undo removes what was made, the youngest first; directories with other things in
// them stay.
func (r *run) undo() {
	for i := len(r.made) - 1; i >= 0; i-- {
		_ = r.root.Remove(r.made[i])
	}
}

func (r *run) fetch(ctx context.Context, item item) error {
	content, err := r.download(ctx, item, r.log)
	if err != nil {
		return err
	}
	defer content.Close()
	if item.unpack != "" {
		fmt.Fprintf(r.log, "extracting %s\n", item.name)
		return r.unpack(ctx, content, item)
	}
	mode := os.FileMode(0o644)
	if item.executable {
		mode = 0o755
	}
	return r.put(item.name, mode, &contextReader{ctx, content}, r.config.FileBytes)
}

// put writes a file of the sandbox, in place of what the task's directory had there.
func (r *run) put(name string, mode os.FileMode, content io.Reader, limit int64) error {
	if err := r.mkdirs(filepath.Dir(name)); err != nil {
		return err
	}
	if info, err := r.root.Lstat(name); err == nil && !info.Mode().IsRegular() {
		return fmt.Errorf("%w: %q is in the way", ErrRefused, name)
	} else if err == nil {
		if err := r.root.Remove(name); err != nil {
			return err
		}
	}
	file, err := r.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return err
	}
	r.made = append(r.made, name)
	n, err := io.Copy(file, io.LimitReader(content, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("%w: %q has more than %d bytes", ErrTooBig, name, limit)
	}
	if err == nil && !r.owner.keep {
		err = file.Chown(r.owner.uid, r.owner.gid)
	}
	if err == nil {
		err = file.Chmod(mode.Perm())
	}
	return errors.Join(err, file.Close())
}

func (r *run) mkdirs(dir string) error {
	if dir == "." || dir == "" {
		return nil
	}
	at := ""
	for part := range strings.SplitSeq(dir, "/") {
		at = filepath.Join(at, part)
		err := r.root.Mkdir(at, 0o755)
		if errors.Is(err, os.ErrExist) {
			// Through a link, what an entry's name says would not be where it lands.
			if info, err := r.root.Lstat(at); err != nil || !info.IsDir() {
				return fmt.Errorf("%w: %q is in the way and no directory", ErrRefused, at)
			}
			continue
		} else if err != nil {
			return err
		}
		r.made = append(r.made, at)
		if !r.owner.keep {
			if err := r.root.Lchown(at, r.owner.uid, r.owner.gid); err != nil {
				return err
			}
		}
	}
	return nil
}

type contextReader struct {
	ctx   context.Context
	inner io.Reader
}

func (r *contextReader) Read(p []byte) (int, error) {
	if r.ctx.Err() != nil {
		return 0, context.Cause(r.ctx)
	}
	return r.inner.Read(p)
}
