package agent

import (
	"fmt"

	"agora.dev/agora/agent/containerlogger"
	"agora.dev/agora/internal/flags"
)

// LoggerOptions bound what containers write to stdout and stderr. Mesos has them as parameters of
// its module LogrotateContainerLogger.
type LoggerOptions struct {
	ContainerLogger string
	// MaxStdoutSize and MaxStderrSize are in bytes; 0 for none.
	MaxStdoutSize, MaxStderrSize int64
	// StdoutOptions and StderrOptions are logrotate's, as "rotate 9".
	StdoutOptions, StderrOptions string
}

func defaultLogger() LoggerOptions {
	return LoggerOptions{MaxStdoutSize: containerlogger.DefaultBytes, MaxStderrSize: containerlogger.DefaultBytes}
}

func (c *Config) loggerFlags(set *flags.Set) {
	set.String(&c.ContainerLogger, "container_logger", "sandbox, or "+containerlogger.Logrotate+
		"; both write to files of the sandbox and rotate them")
	set.Bytes(&c.MaxStdoutSize, "max_stdout_size", "size at which a container's stdout is rotated, as 10MB; 0B: never")
	set.Bytes(&c.MaxStderrSize, "max_stderr_size", "size at which a container's stderr is rotated, as 10MB; 0B: never")
	set.String(&c.StdoutOptions, "logrotate_stdout_options", "logrotate's options for stdout, as 'rotate 9' for nine old files; default: rotate 1")
	set.String(&c.StderrOptions, "logrotate_stderr_options", "the same for stderr")
}

func (c *Config) checkLogger() error {
	if name := c.ContainerLogger; name != "" && name != containerlogger.Sandbox && name != containerlogger.Logrotate {
		return fmt.Errorf("--container_logger=%s is unknown: use %s or %s", name, containerlogger.Sandbox, containerlogger.Logrotate)
	}
	for name, size := range map[string]int64{"max_stdout_size": c.MaxStdoutSize, "max_stderr_size": c.MaxStderrSize} {
		if err := containerlogger.CheckSize(size); err != nil {
			return fmt.Errorf("--%s: %w", name, err)
		}
	}
	_, err := c.Output()
	return err
}

// Output are the bounds of what containers write.
func (o *LoggerOptions) Output() (out containerlogger.Bounds, err error) {
	out.Stdout = containerlogger.Bound{MaxBytes: o.MaxStdoutSize, Keep: containerlogger.DefaultKeep}
	out.Stderr = containerlogger.Bound{MaxBytes: o.MaxStderrSize, Keep: containerlogger.DefaultKeep}
	if err := out.Stdout.Options(o.StdoutOptions); err != nil {
		return out, fmt.Errorf("--logrotate_stdout_options: %w", err)
	}
	if err := out.Stderr.Options(o.StderrOptions); err != nil {
		return out, fmt.Errorf("--logrotate_stderr_options: %w", err)
	}
	return out, nil
}
