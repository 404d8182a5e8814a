package fetcher

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"syscall"
	"time"
)

// download returns the content of an item as an open file that needs no name.
func (f *Fetcher) download(ctx context.Context, item item, log io.Writer) (*os.File, error) {
	switch {
	case item.url == nil:
		return openHost(item.file)
	case item.cache && f.config.CacheDir != "":
		return f.throughCache(ctx, item, log)
	}
	file, _, err := f.bring(ctx, item, validators{})
	if err != nil {
		return nil, err
	}
	return nameless(file)
}

// nameless removes a file's name and goes to its beginning.
func nameless(file *os.File) (*os.File, error) {
	_, err := file.Seek(0, io.SeekStart)
	if err = errors.Join(err, os.Remove(file.Name())); err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// bring downloads to a new file beside the cache. With validators it may answer
// errUnchanged.
func (f *Fetcher) bring(ctx context.Context, item item, known validators) (*os.File, validators, error) {
	file, err := os.CreateTemp(f.config.CacheDir, ".fetch-")
	if err != nil {
		return nil, known, err
	}
	switch item.url.Scheme {
	case "http", "https":
		known, err = f.http(ctx, item, file, known)
	case "ftp":
		err = f.ftp(ctx, item, file)
	default:
		err = f.hadoop(ctx, item, file)
	}
	if err != nil {
		os.Remove(file.Name())
		file.Close()
		return nil, known, err
	}
	return file, known, nil
}

// openHost opens a file of the agent's host; a pipe or device would block for ever.
func openHost(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%w: %s is not a file", ErrRefused, path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

const (
	attempts    = 3
	maxAttempts = 20 // of a server that brings a little each time
)

// http downloads to a file, and tries again when the server or the network is troubled: from
// where it was, when the server says that it still has the same.
func (f *Fetcher) http(ctx context.Context, item item, file *os.File, known validators) (validators, error) {
	pause := f.config.RetryAfter
	var got validators
	for failures, all := 0, 0; ; all++ {
		at, err := file.Seek(0, io.SeekCurrent)
		if err != nil {
			return known, err
		}
		got, err = f.get(ctx, item, file, known, resumption{at: at, etag: got.ETag})
		if err == nil || errors.Is(err, errUnchanged) {
			return got, err
		}
		if now, seek := file.Seek(0, io.SeekCurrent); seek == nil && now > at {
			failures = 0
		}
		if failures++; failures >= attempts || all >= maxAttempts || ctx.Err() != nil || !passing(err) {
			return known, err
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			timer.Stop()
			return known, context.Cause(ctx)
		case <-timer.C:
		}
		pause *= 2
	}
}

// statusError is an answer that is no success.
type statusError struct {
	code int
	text string
}

func (e statusError) Error() string { return "the server answered " + e.text }

// passing tells errors that another attempt may not meet. Silence is not among them: who
// waits has waited long enough.
func passing(err error) bool {
	var status statusError
	if errors.As(err, &status) {
		return status.code >= 500 && status.code != http.StatusNotImplemented || status.code == http.StatusTooManyRequests || status.code == http.StatusRequestTimeout
	}
	var unknown *net.DNSError
	if errors.Is(err, ErrRefused) || errors.Is(err, ErrURI) || errors.Is(err, ErrStalled) || errors.Is(err, ErrTooBig) || errors.As(err, &unknown) && unknown.IsNotFound {
		return false
	}
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNREFUSED) || errors.Is(err, syscall.EPIPE)
}

// resumption is where a download goes on: at a byte of what had the ETag.
type resumption struct {
	at   int64
	etag string
}

// get makes one attempt, and ends when nothing comes any more. What is in the file stays
// when the server resumes; else the file begins anew.
func (f *Fetcher) get(ctx context.Context, item item, file *os.File, known validators, from resumption) (validators, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := f.stallTimer(cancel)
	defer stalled.Stop()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, item.url.String(), nil)
	if err != nil {
		return known, err
	}
	known.ask(request)
	if from.at > 0 && strings.HasPrefix(from.etag, `"`) {
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", from.at))
		request.Header.Set("If-Range", from.etag)
	}
	response, err := f.client.Do(request)
	if err != nil {
		var failed *url.Error // it holds the whole URL, secrets too
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return known, cause(ctx, err)
	}
	defer response.Body.Close()
	switch {
	case response.StatusCode == http.StatusNotModified && known.any():
		return known, errUnchanged
	case response.StatusCode == http.StatusPartialContent && strings.HasPrefix(response.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-", from.at)) && request.Header.Get("Range") != "":
	case response.StatusCode == http.StatusOK:
		if from, err = (resumption{}), rewind(file); err != nil {
			return known, err
		}
	default:
		return known, statusError{response.StatusCode, response.Status}
	}
	got := validatorsOf(response)
	limit := f.config.FileBytes - from.at
	if response.ContentLength > limit {
		return got, fmt.Errorf("%w: it has %d bytes, more than %d", ErrTooBig, from.at+response.ContentLength, f.config.FileBytes)
	}
	return got, cause(ctx, f.copy(file, response.Body, stalled, limit))
}

func rewind(file *os.File) error {
	_, err := file.Seek(0, io.SeekStart)
	return errors.Join(err, file.Truncate(0))
}

func (f *Fetcher) stallTimer(cancel context.CancelCauseFunc) *time.Timer {
	return time.AfterFunc(f.config.StallAfter, func() {
		cancel(fmt.Errorf("%w: nothing came for %s", ErrStalled, f.config.StallAfter))
	})
}

// copy copies a body of at most limit bytes.
func (f *Fetcher) copy(w io.Writer, body io.Reader, stalled *time.Timer, limit int64) error {
	n, err := io.Copy(w, io.LimitReader(&tickingReader{body, func() { stalled.Reset(f.config.StallAfter) }}, limit+1))
	if err == nil && n > limit {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrTooBig, f.config.FileBytes)
	}
	return err
}

// cause prefers the reason of a cancelled context to the error that it led to.
func cause(ctx context.Context, err error) error {
	if err != nil && ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

type tickingReader struct {
	inner io.Reader
	tick  func()
}

func (r *tickingReader) Read(p []byte) (int, error) {
	n, err := r.inner.Read(p)
	if n > 0 {
		r.tick()
	}
	return n, err
}
