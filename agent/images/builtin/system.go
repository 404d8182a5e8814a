package builtin

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

func systemApplet(name string) applet {
	switch name {
	case "ps":
		return ps
	case "env":
		return env
	case "id":
		return id
	case "mount":
		return mounts
	case "sleep":
		return sleep
	case "kill":
		return kill
	case "hostname":
		return hostname
	case "uname":
		return uname
	case "date":
		return func(p *proc) int { p.printf("%s\n", time.Now().Format(time.UnixDate)); return 0 }
	case "free":
		return free
	case "crash":
		return crash
	case "stress":
		return stress
	}
	return nil
}

func ps(p *proc) int {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return p.fail(err)
	}
	p.printf("%7s %7s %s  %s\n", "PID", "PPID", "S", "COMMAND")
	for _, entry := range entries {
		if _, err := strconv.Atoi(entry.Name()); err != nil {
			continue
		}
		stat, err := os.ReadFile("/proc/" + entry.Name() + "/stat")
		end := bytes.LastIndexByte(stat, ')')
		if err != nil || end < 0 {
			continue
		}
		fields := strings.Fields(string(stat[end+1:]))
		line, _ := os.ReadFile("/proc/" + entry.Name() + "/cmdline")
		command := strings.TrimSpace(string(bytes.ReplaceAll(line, []byte{0}, []byte{' '})))
		if command == "" {
			command = "[" + string(stat[bytes.IndexByte(stat, '(')+1:end]) + "]"
		}
		if len(fields) > 1 {
			p.printf("%7s %7s %s  %s\n", entry.Name(), fields[1], fields[0], command)
		}
	}
	return 0
}

func env(p *proc) int {
	environment, args := append([]string(nil), p.env...), p.args
	if len(args) > 0 && args[0] == "-i" {
		environment, args = nil, args[1:]
	}
	for len(args) > 0 && strings.Contains(args[0], "=") {
		environment, args = append(environment, args[0]), args[1:]
	}
	if len(args) == 0 {
		p.printf("%s", strings.Join(append(environment, ""), "\n"))
		return 0
	}
	command := exec.CommandContext(p.ctx, args[0], args[1:]...)
	command.Env, command.Dir, command.Stdin, command.Stdout, command.Stderr = environment, p.dir, p.stdin, p.stdout, p.stderr
	if err := command.Run(); err != nil {
		if command.ProcessState != nil {
			return command.ProcessState.ExitCode()
		}
		p.fail(err)
		return 127
	}
	return 0
}

func id(p *proc) int {
	groups, _ := os.Getgroups()
	if len(p.args) > 0 && p.args[0] == "-u" {
		p.printf("%d\n", os.Geteuid())
		return 0
	}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(groups), " ", ","), "[]")
	p.printf("uid=%d gid=%d groups=%s\n", os.Geteuid(), os.Getegid(), list)
	return 0
}

func mounts(p *proc) int {
	if len(p.args) > 0 {
		return p.usage("(it only lists)")
	}
	data, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return p.fail(err)
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) >= 4 {
			p.printf("%s on %s type %s (%s)\n", f[0], f[1], f[2], f[3])
		}
	}
	return 0
}

func sleep(p *proc) int {
	var total time.Duration
	for _, arg := range p.args {
		if _, err := strconv.ParseFloat(arg, 64); err == nil {
			arg += "s"
		}
		d, err := time.ParseDuration(arg)
		if err != nil || d < 0 {
			return p.usage("SECONDS")
		}
		total += d
	}
	if len(p.args) == 0 {
		return p.usage("SECONDS")
	}
	timer := time.NewTimer(total)
	defer timer.Stop()
	select {
	case <-timer.C:
		return 0
	case <-p.ctx.Done():
		return 130
	}
}

func kill(p *proc) int {
	signal, args := syscall.SIGTERM, p.args
	if len(args) > 0 && strings.HasPrefix(args[0], "-") {
		name := strings.TrimPrefix(strings.ToUpper(args[0][1:]), "SIG")
		if n, err := strconv.Atoi(name); err == nil {
			signal = syscall.Signal(n)
		} else if signal = unix.SignalNum("SIG" + name); signal == 0 {
			return p.usage("[-SIGNAL] PID...")
		}
		args = args[1:]
	}
	status := 0
	for _, arg := range args {
		pid, err := strconv.Atoi(arg)
		if err == nil {
			err = syscall.Kill(pid, signal)
		}
		if err != nil {
			status = p.fail(fmt.Errorf("%s: %w", arg, err))
		}
	}
	return status
}

func hostname(p *proc) int {
	name, err := os.Hostname()
	if err != nil {
		return p.fail(err)
	}
	p.printf("%s\n", name)
	return 0
}

func uname(p *proc) int {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return p.fail(err)
	}
	text := func(field [65]byte) string { return unix.ByteSliceToString(field[:]) }
	switch strings.Join(p.args, " ") {
	case "-a":
		p.printf("%s %s %s %s %s\n", text(u.Sysname), text(u.Nodename), text(u.Release), text(u.Version), text(u.Machine))
	case "-r":
		p.printf("%s\n", text(u.Release))
	case "-m":
		p.printf("%s\n", text(u.Machine))
	case "-n":
		p.printf("%s\n", text(u.Nodename))
	default:
		p.printf("%s\n", text(u.Sysname))
	}
	return 0
}

func free(p *proc) int {
	data, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return p.fail(err)
	}
	for line := range strings.Lines(string(data)) {
		for _, key := range []string{"MemTotal:", "MemFree:", "MemAvailable:", "SwapTotal:", "SwapFree:"} {
			if strings.HasPrefix(line, key) {
				p.printf("%s", line)
			}
		}
	}
	return 0
}

// crash ends badly after a moment: crash [SECONDS [STATUS]].
func crash(p *proc) int {
	wait, status := 1.0, 1
	if len(p.args) > 0 {
		wait, _ = strconv.ParseFloat(p.args[0], 64)
	}
	if len(p.args) > 1 {
		status, _ = strconv.Atoi(p.args[1])
	}
	fmt.Fprintf(p.stderr, "crash: ending with status %d in %gs\n", status, wait)
	time.Sleep(time.Duration(wait * float64(time.Second)))
	return status
}

// stress uses cpu and memory: stress [--cpu N] [--mem MIB] [--time SECONDS].
func stress(p *proc) int {
	values := map[string]int{"--cpu": 0, "--mem": 0, "--time": 0}
	for i := 0; i+1 < len(p.args); i += 2 {
		n, err := strconv.Atoi(p.args[i+1])
		if _, known := values[p.args[i]]; !known || err != nil || n < 0 {
			return p.usage("[--cpu N] [--mem MIB] [--time SECONDS]")
		}
		values[p.args[i]] = n
	}
	if values["--cpu"] == 0 && values["--mem"] == 0 {
		values["--cpu"] = 1
	}
	ctx, stop := p.terminated()
	defer stop()
	if seconds := values["--time"]; seconds > 0 {
		time.AfterFunc(time.Duration(seconds)*time.Second, stop)
	}
	var group sync.WaitGroup
	for range values["--cpu"] {
		group.Go(func() {
			for n := 0; ctx.Err() == nil; n++ {
			}
		})
	}
	held := make([][]byte, 0, values["--mem"])
	for range values["--mem"] {
		block := make([]byte, 1<<20)
		for i := 0; i < len(block); i += 4096 {
			block[i] = 1
		}
		held = append(held, block)
	}
	p.printf("stress: %d cpus, %d MiB\n", values["--cpu"], len(held))
	<-ctx.Done()
	group.Wait()
	return 0
}
