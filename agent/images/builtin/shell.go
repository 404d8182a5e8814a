package builtin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
	"mvdan.cc/sh/v3/expand"
	"mvdan.cc/sh/v3/interp"
	"mvdan.cc/sh/v3/syntax"
)

func shellApplet(name string) applet {
	if name == "sh" {
		return shell
	}
	return nil
}

// shell is a POSIX shell: sh [-c COMMAND | FILE] [ARG...]. Applets run inside of it;
// everything else is executed.
func shell(p *proc) int {
	args := p.args
	command, hasCommand := "", false
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && len(args[0]) > 1 {
		flag := args[0]
		args = args[1:]
		if strings.Contains(flag, "c") && !strings.HasPrefix(flag, "--") {
			if len(args) == 0 {
				return p.usage("[-c COMMAND | FILE] [ARG...]")
			}
			command, hasCommand, args = args[0], true, args[1:]
			break
		}
	}
	parameters := args
	if len(args) > 0 {
		parameters = args[1:]
	}
	interactive := !hasCommand && len(args) == 0 && isTerminal(p.stdin)
	input := p.stdin
	if !hasCommand && len(args) == 0 && !interactive {
		input = nil // it is the script, which is read to its end before anything runs; two readers would share it
	}
	runner, err := interp.New(interp.StdIO(input, p.stdout, p.stderr), interp.Env(expand.ListEnviron(p.env...)),
		interp.Dir(p.dir), interp.Params(append([]string{"--"}, parameters...)...), interp.Interactive(interactive),
		interp.ExecHandlers(execHandler))
	if err != nil {
		return p.fail(err)
	}
	switch {
	case hasCommand:
		return p.runScript(runner, strings.NewReader(command), "sh")
	case len(args) > 0:
		file, err := os.Open(p.path(args[0]))
		if err != nil {
			p.fail(err)
			return 127
		}
		defer file.Close()
		return p.runScript(runner, file, args[0])
	case interactive:
		return p.interact(runner)
	}
	return p.runScript(runner, p.stdin, "sh")
}

func (p *proc) runScript(runner *interp.Runner, source io.Reader, name string) int {
	script, err := syntax.NewParser(syntax.Variant(syntax.LangBash)).Parse(source, name)
	if err != nil {
		p.fail(err)
		return 2
	}
	return p.status(runner.Run(p.ctx, script))
}

func (p *proc) status(err error) int {
	var status interp.ExitStatus
	if errors.As(err, &status) {
		return int(status)
	}
	if err != nil {
		return p.fail(err)
	}
	return 0
}

// interact reads statements from a terminal; an interrupt ends the statement that runs.
func (p *proc) interact(runner *interp.Runner) int {
	interrupts := make(chan os.Signal, 1)
	signal.Notify(interrupts, syscall.SIGINT)
	defer signal.Stop(interrupts)
	host, _ := os.Hostname()
	prompt := func() {
		mark := "$"
		if os.Geteuid() == 0 {
			mark = "#"
		}
		fmt.Fprintf(p.stdout, "%s:%s %s ", host, runner.Dir, mark)
	}
	last := 0
	parser := syntax.NewParser(syntax.Variant(syntax.LangBash))
	input := bufio.NewReader(p.stdin)
	for {
		prompt()
		err := parser.Interactive(input, func(statements []*syntax.Stmt) bool {
			if parser.Incomplete() {
				fmt.Fprint(p.stdout, "> ")
				return true
			}
			for _, statement := range statements {
				last = p.statement(runner, statement, interrupts)
				if runner.Exited() {
					return false
				}
			}
			prompt()
			return true
		})
		if err == nil || runner.Exited() {
			return last
		}
		fmt.Fprintf(p.stderr, "sh: %v\n", err)
		input.Reset(p.stdin)
		last = 2
	}
}

func (p *proc) statement(runner *interp.Runner, statement *syntax.Stmt, interrupts <-chan os.Signal) int {
	ctx, cancel := context.WithCancel(p.ctx)
	defer cancel()
	done := make(chan struct{})
	defer close(done)
	go func() {
		select {
		case <-interrupts:
			cancel()
		case <-done:
		}
	}()
	err := runner.Run(ctx, statement)
	if ctx.Err() != nil {
		fmt.Fprintln(p.stdout)
		return 130
	}
	return p.status(err)
}

// execHandler runs applets in the process, others as children.
func execHandler(next interp.ExecHandlerFunc) interp.ExecHandlerFunc {
	child := interp.DefaultExecHandler(2 * time.Second)
	return func(ctx context.Context, args []string) error {
		hc := interp.HandlerCtx(ctx)
		name := args[0]
		if base, ok := strings.CutPrefix(name, "/bin/"); ok && lookup(base) != nil && runsApplet(name) {
			name = base
		}
		if strings.Contains(name, "/") || lookup(name) == nil {
			return child(ctx, args)
		}
		var env []string
		hc.Env.Each(func(key string, v expand.Variable) bool {
			if v.Exported && v.IsSet() {
				env = append(env, key+"="+v.String())
			}
			return true
		})
		var stdin io.Reader = strings.NewReader("")
		if hc.Stdin != nil {
			stdin = hc.Stdin
		}
		p := &proc{ctx: ctx, name: name, args: args[1:], stdin: stdin, stdout: hc.Stdout, stderr: hc.Stderr, env: env, dir: hc.Dir}
		if status := p.run(); status != 0 {
			return interp.ExitStatus(status)
		}
		return nil
	}
}

// runsApplet tells that a path leads to this binary.
func runsApplet(path string) bool {
	target, err := os.Readlink(path)
	return err == nil && target == "agora"
}

func isTerminal(r io.Reader) bool {
	file, ok := r.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetTermios(int(file.Fd()), unix.TCGETS)
	return err == nil
}
