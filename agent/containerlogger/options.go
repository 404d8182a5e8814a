// Package containerlogger bounds what containers write to stdout and stderr: the head of a file
// that has grown too long is moved to stdout.1, stdout.2 and so on, the oldest last, and is gone
// beyond the number to keep.
//
// It promises that a writer never waits and that what it appends meanwhile stays, that no line is
// cut where lines have ends, and that offsets in a file stay what they were: the head becomes a
// hole. It refuses files that are not the container's own: links, and what is no regular file.
package containerlogger

import (
	"fmt"
	"strconv"
	"strings"

	"agora.dev/agora/internal/flags"
)

// Bound is that of one file.
type Bound struct {
	// MaxBytes is the size beyond which the file is rotated; 0 for none.
	MaxBytes int64
	// Keep is how many rotated files there are at most.
	Keep int
}

// Bounds are those of a container's two files.
type Bounds struct{ Stdout, Stderr Bound }

// Names of --container_logger. Mesos has the second as a module.
const (
	Sandbox   = "sandbox"
	Logrotate = "org_apache_mesos_LogrotateContainerLogger"
)

const (
	// DefaultBytes and DefaultKeep hold where the operator says nothing.
	DefaultBytes = 100 << 20
	DefaultKeep  = 1
	// minBytes is a page: less cannot be given back to the disk.
	minBytes = 4096
	// Prefix is that of the variables by which a task asks for its own bounds (Mesos
	// docs/logging.md).
	Prefix = "CONTAINER_LOGGER_"
)

// Options reads logrotate's options as far as they are kept: rotate N. Others are an error that
// names them.
func (b *Bound) Options(text string) error {
	for line := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == '\n' || r == ';' }) {
		words := strings.Fields(line)
		switch {
		case len(words) == 0:
		case len(words) == 2 && words[0] == "rotate":
			n, err := strconv.Atoi(words[1])
			if err != nil || n < 0 || n > 1000 {
				return fmt.Errorf("rotate %s: it must be a number from 0 to 1000", words[1])
			}
			b.Keep = n
		default:
			return fmt.Errorf("logrotate's option %q is not supported: rotate N is", strings.TrimSpace(line))
		}
	}
	return nil
}

// Size reads the size beyond which a file is rotated, as 10MB; 0 for none.
func (b *Bound) Size(text string) error {
	bytes, err := flags.ParseBytes(text)
	if err == nil {
		err = CheckSize(bytes)
	}
	if err != nil {
		return err
	}
	b.MaxBytes = bytes
	return nil
}

// CheckSize refuses sizes that cannot be kept.
func CheckSize(bytes int64) error {
	if bytes < 0 || bytes > 0 && bytes < minBytes {
		return fmt.Errorf("a size must be at least %d bytes, or 0 for no bound", minBytes)
	}
	return nil
}

// For are the bounds of a container with an environment.
func (b Bounds) For(environment func(name string) string) (Bounds, error) {
	for _, one := range []struct {
		name string
		set  func(string) error
	}{
		{"MAX_STDOUT_SIZE", b.Stdout.Size}, {"MAX_STDERR_SIZE", b.Stderr.Size},
		{"LOGROTATE_STDOUT_OPTIONS", b.Stdout.Options}, {"LOGROTATE_STDERR_OPTIONS", b.Stderr.Options},
	} {
		if value := environment(Prefix + one.name); value != "" {
			if err := one.set(value); err != nil {
				return b, fmt.Errorf("environment variable %s: %w", Prefix+one.name, err)
			}
		}
	}
	return b, nil
}
