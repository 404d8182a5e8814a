// Package builtin holds the small programs of the builtin images: a shell, the commands
// one expects beside it, and the demo application. They are all one binary, which acts
// by the name under which it is called.
//
// It promises that they need nothing but the binary itself. It refuses to be a full
// replacement of the tools whose names they bear: each applet knows the common options.
package builtin

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"syscall"
)

// proc is what an applet gets: its arguments without the name, its streams, its
// environment and its directory, which inside of the shell are not the process's.
type proc struct {
	ctx            context.Context
	name           string
	args           []string
	stdin          io.Reader
	stdout, stderr io.Writer
	env            []string
	dir            string
}

// path resolves a file name against the applet's directory.
func (p *proc) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, name)
}

// fail prints an error and returns the exit status for it.
func (p *proc) fail(err error) int {
	fmt.Fprintf(p.stderr, "%s: %v\n", p.name, err)
	return 1
}

// usage prints how the applet is called; its status is 2.
func (p *proc) usage(text string) int {
	fmt.Fprintf(p.stderr, "usage: %s %s\n", p.name, text)
	return 2
}

func (p *proc) printf(format string, args ...any) { fmt.Fprintf(p.stdout, format, args...) }

type applet func(*proc) int

// lookup finds an applet. It is a function and not a table so that nothing is built
// when the binary starts in another role.
func lookup(name string) applet {
	for _, find := range []func(string) applet{shellApplet, textApplet, fileApplet, systemApplet, networkApplet, demoApplet} {
		if a := find(name); a != nil {
			return a
		}
	}
	return nil
}

// Names returns the names of all applets, sorted.
func Names() []string {
	names := []string{
		"sh", "echo", "cat", "head", "tail", "grep", "true", "false", "ls", "mkdir", "rm", "cp", "touch", "pwd",
		"ps", "env", "id", "mount", "sleep", "kill", "hostname", "uname", "date", "df", "free", "wget", "nslookup",
		"ip", "httpd", "demo", "crash", "stress",
	}
	slices.Sort(names)
	return names
}

// Is tells whether a program called by this name, or path, is an applet.
func Is(argv0 string) bool { return lookup(filepath.Base(argv0)) != nil }

// Main runs the applet that args[0] names, and returns its exit status.
func Main(args []string) int {
	if len(args) == 0 {
		return 127
	}
	ctx := context.Background()
	dir, _ := os.Getwd()
	p := &proc{ctx: ctx, name: filepath.Base(args[0]), args: args[1:], stdin: os.Stdin, stdout: os.Stdout,
		stderr: os.Stderr, env: os.Environ(), dir: dir}
	return p.run()
}

func (p *proc) run() int {
	run := lookup(p.name)
	if run == nil {
		fmt.Fprintf(p.stderr, "%s: applet not found\n", p.name)
		return 127
	}
	return run(p)
}

// terminated returns a context that ends with SIGTERM or SIGINT.
func (p *proc) terminated() (context.Context, context.CancelFunc) {
	return signal.NotifyContext(p.ctx, syscall.SIGTERM, syscall.SIGINT)
}

// getenv reads the applet's own environment.
func (p *proc) getenv(key string) string {
	value := ""
	for _, entry := range p.env {
		if len(entry) > len(key) && entry[len(key)] == '=' && entry[:len(key)] == key {
			value = entry[len(key)+1:]
		}
	}
	return value
}
