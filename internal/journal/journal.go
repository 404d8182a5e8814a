// Package journal owns the log of a daemon: its options of Mesos, where it is written, how much, and which file is shown
// to those who ask for it.
//
// It promises that each line is written at once. It refuses an unknown level.
package journal

import (
	"cmp"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"

	"agora.dev/agora/internal/flags"
)

// Options are those of a daemon's log. The zero value logs to standard error.
type Options struct {
	Level string
	// File is appended to; Dir is where a file of our name is, if File is empty.
	File, Dir string
	// External is a file that somebody else writes, of what comes to standard error, and is shown in place of ours.
	External string
	// Quiet has nothing written to standard error.
	Quiet bool
}

// Flags defines the options.
func (o *Options) Flags(set *flags.Set) {
	o.Level = cmp.Or(o.Level, "INFO")
	set.String(&o.Level, "logging_level", "DEBUG, INFO, WARNING or ERROR")
	set.Path(&o.File, "log_file", "append the log to this file instead of standard error")
	set.Path(&o.Dir, "log_dir", "append the log to a file in this directory, and show the directory in /state")
	set.Path(&o.External, "external_log_file", "file that something else writes of what comes to standard error; it is shown in place of the log's own")
	set.Bool(&o.Quiet, "quiet", "write nothing to standard error")
	set.Fixed("logbufsecs", "each line is written at once")
	set.FixedBool("initialize_driver_logging", "there are no drivers in this process")
}

// Log is an open log.
type Log struct {
	*slog.Logger
	// Level can be changed at any time.
	Level *slog.LevelVar
	file  *os.File // nil: none of our own
}

// Open opens the log of a program; stderr is where it goes without a file.
func (o Options) Open(program string, stderr io.Writer) (*Log, error) {
	levels := map[string]slog.Level{"DEBUG": slog.LevelDebug, "": slog.LevelInfo, "INFO": slog.LevelInfo, "WARNING": slog.LevelWarn, "ERROR": slog.LevelError}
	level, known := levels[o.Level]
	if !known {
		return nil, fmt.Errorf("--logging_level=%s is unknown: use DEBUG, INFO, WARNING or ERROR", o.Level)
	}
	l := &Log{Level: new(slog.LevelVar)}
	l.Level.Set(level)
	out := stderr
	if o.Quiet {
		out = io.Discard
	}
	if name := o.own(program); name != "" {
		opened, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
		if err != nil {
			return nil, fmt.Errorf("log: %w; choose another with --log_file or --log_dir", err)
		}
		l.file, out = opened, opened
	}
	l.Logger = slog.New(slog.NewTextHandler(out, &slog.HandlerOptions{Level: l.Level}))
	return l, nil
}

// own is the file that is written; empty: standard error.
func (o Options) own(program string) string {
	if o.File == "" && o.Dir != "" {
		return filepath.Join(o.Dir, "agora-"+program+".log")
	}
	return o.File
}

// Shown is the file to show to those who ask for the log of a program; empty: there is none.
func (o Options) Shown(program string) string { return cmp.Or(o.External, o.own(program)) }

// Close closes the file.
func (l *Log) Close() error {
	if l.file == nil {
		return nil
	}
	return l.file.Close()
}
