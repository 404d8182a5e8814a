package fetcher

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// hadoopSchemes go to the client of Hadoop, as with Mesos.
var hadoopSchemes = map[string]bool{"hdfs": true, "hftp": true, "s3": true, "s3n": true, "s3a": true}

// errNoHadoop says what is needed for the schemes of Hadoop.
var errNoHadoop = errors.New("there is no client of Hadoop on this agent: install it, or name its directory with --hadoop_home")

// hadoop has the client of Hadoop bring a file. The URI is one argument and begins with its
// scheme, so that it is no option; no shell reads it.
func (f *Fetcher) hadoop(ctx context.Context, item item, file *os.File) error {
	program := filepath.Join(f.config.HadoopHome, "bin", "hadoop")
	if f.config.HadoopHome == "" {
		program = "hadoop"
	}
	program, err := exec.LookPath(program)
	if err != nil {
		return errNoHadoop
	}
	// The client makes the file, and refuses one that is there.
	dir, err := os.MkdirTemp(f.config.CacheDir, ".fetch-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	into := filepath.Join(dir, "file")
	command := exec.CommandContext(ctx, program, "fs", "-copyToLocal", item.url.String(), into)
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	command.Cancel = func() error { return syscall.Kill(-command.Process.Pid, syscall.SIGKILL) }
	command.WaitDelay = 5 * time.Second
	said := &tail{}
	command.Stdout, command.Stderr = said, said
	if err := command.Run(); err != nil {
		text := strings.ReplaceAll(said.String(), item.url.String(), item.shown)
		if password, ok := item.url.User.Password(); ok && password != "" {
			text = strings.ReplaceAll(text, password, "...")
		}
		return cause(ctx, fmt.Errorf("hadoop fs -copyToLocal: %w: %s", err, text))
	}
	from, err := openHost(into)
	if err != nil {
		return fmt.Errorf("hadoop fs -copyToLocal brought no file: %w", err)
	}
	defer from.Close()
	n, err := io.Copy(file, io.LimitReader(from, f.config.FileBytes+1))
	if err == nil && n > f.config.FileBytes {
		err = fmt.Errorf("%w: it has more than %d bytes", ErrTooBig, f.config.FileBytes)
	}
	return err
}

// tail keeps the last kilobyte of what a program says.
type tail struct{ text []byte }

func (t *tail) Write(p []byte) (int, error) {
	t.text = append(t.text, p...)
	if more := len(t.text) - 1024; more > 0 {
		t.text = bytes.Clone(t.text[more:])
	}
	return len(p), nil
}

func (t *tail) String() string { return strings.Join(strings.Fields(string(t.text)), " ") }
