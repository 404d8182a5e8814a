package master

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"time"

	"agora.dev/agora/master/core"
)

// whitelistInterval is how often the file is read.
const whitelistInterval = 5 * time.Second

// whitelist tells the allocator which hosts a file names.
type whitelist struct {
	path string
	post func([]core.AllocatorEvent)
	log  *slog.Logger
	last string
}

// newWhitelist is nil where every host is allowed.
func newWhitelist(path string, post func([]core.AllocatorEvent), log *slog.Logger) *whitelist {
	if path == "" || path == "*" {
		return nil
	}
	return &whitelist{path: strings.TrimPrefix(path, "file://"), post: post, log: log, last: "\x00"}
}

// read passes on what is new in the file.
func (w *whitelist) read() error {
	data, err := os.ReadFile(w.path)
	if err != nil {
		return fmt.Errorf("read --whitelist: %w", err)
	}
	if string(data) == w.last {
		return nil
	}
	w.last = string(data)
	hosts := strings.Fields(w.last)
	w.post([]core.AllocatorEvent{core.AllocatorSetWhitelist{Hostnames: hosts}})
	w.log.Info("whitelist read", "path", w.path, "hosts", len(hosts))
	return nil
}

// run reads the file until ctx ends. While it cannot be read, the last list holds.
func (w *whitelist) run(ctx context.Context) {
	ticker := time.NewTicker(whitelistInterval)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			if err := w.read(); err != nil {
				w.log.Warn("whitelist not read", "error", err)
			}
		case <-ctx.Done():
			return
		}
	}
}
