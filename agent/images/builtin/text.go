package builtin

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"
)

func textApplet(name string) applet {
	switch name {
	case "echo":
		return echo
	case "cat":
		return cat
	case "head", "tail":
		return headTail
	case "grep":
		return grep
	case "true":
		return func(*proc) int { return 0 }
	case "false":
		return func(*proc) int { return 1 }
	}
	return nil
}

func echo(p *proc) int {
	args, end := p.args, "\n"
	if len(args) > 0 && args[0] == "-n" {
		args, end = args[1:], ""
	}
	p.printf("%s%s", strings.Join(args, " "), end)
	return 0
}

// each calls work with every named file, or with standard input.
func (p *proc) each(names []string, work func(name string, r io.Reader) error) int {
	if len(names) == 0 {
		names = []string{"-"}
	}
	status := 0
	for _, name := range names {
		if name == "-" {
			if err := work("-", p.stdin); err != nil {
				status = p.fail(err)
			}
			continue
		}
		file, err := os.Open(p.path(name))
		if err == nil {
			err = work(name, file)
			file.Close()
		}
		if err != nil {
			status = p.fail(err)
		}
	}
	return status
}

func cat(p *proc) int {
	return p.each(p.args, func(_ string, r io.Reader) error {
		_, err := io.Copy(p.stdout, r)
		return err
	})
}

func headTail(p *proc) int {
	lines, follow, names := 10, false, []string(nil)
	for i := 0; i < len(p.args); i++ {
		arg := p.args[i]
		digits := strings.TrimPrefix(strings.TrimPrefix(arg, "-n"), "-")
		switch {
		case arg == "-f":
			follow = true
		case arg == "-n" && i+1 < len(p.args):
			i++
			digits = strings.TrimPrefix(p.args[i], "-")
			fallthrough
		case strings.HasPrefix(arg, "-") && arg != "-":
			n, err := strconv.Atoi(digits)
			if err != nil || n < 0 {
				return p.usage("[-n LINES] [-f] [FILE...]")
			}
			lines = n
		default:
			names = append(names, arg)
		}
	}
	return p.each(names, func(_ string, r io.Reader) error {
		if p.name == "head" {
			return head(p.stdout, r, lines)
		}
		if err := tail(p.stdout, r, lines); err != nil || !follow {
			return err
		}
		return p.follow(r)
	})
}

func head(w io.Writer, r io.Reader, lines int) error {
	reader := bufio.NewReader(r)
	for range lines {
		line, err := reader.ReadBytes('\n')
		w.Write(line)
		if err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	}
	return nil
}

func tail(w io.Writer, r io.Reader, lines int) error {
	var last [][]byte
	reader := bufio.NewReader(r)
	for {
		line, err := reader.ReadBytes('\n')
		if len(line) > 0 {
			if last = append(last, line); len(last) > lines {
				last = last[1:]
			}
		}
		if err == io.EOF {
			break
		} else if err != nil {
			return err
		}
	}
	_, err := w.Write(bytes.Join(last, nil))
	return err
}

// follow copies what is appended, until it is interrupted.
func (p *proc) follow(r io.Reader) error {
	ctx, stop := p.terminated()
	defer stop()
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := io.Copy(p.stdout, r); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

func grep(p *proc) int {
	invert, prefix, args := false, "", p.args
	for len(args) > 0 && strings.HasPrefix(args[0], "-") && len(args[0]) > 1 {
		for _, flag := range args[0][1:] {
			switch flag {
			case 'v':
				invert = true
			case 'i':
				prefix = "(?i)"
			case 'E', 'q':
			default:
				return p.usage("[-v] [-i] PATTERN [FILE...]")
			}
		}
		args = args[1:]
	}
	if len(args) == 0 {
		return p.usage("[-v] [-i] PATTERN [FILE...]")
	}
	pattern, err := regexp.Compile(prefix + args[0])
	if err != nil {
		p.fail(err)
		return 2
	}
	found := false
	status := p.each(args[1:], func(_ string, r io.Reader) error {
		scanner := bufio.NewScanner(r)
		scanner.Buffer(nil, 4<<20)
		for scanner.Scan() {
			if pattern.Match(scanner.Bytes()) != invert {
				found = true
				p.printf("%s\n", scanner.Bytes())
			}
		}
		return scanner.Err()
	})
	if status != 0 {
		return 2
	}
	if !found {
		return 1
	}
	return 0
}
