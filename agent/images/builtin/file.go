package builtin

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

func fileApplet(name string) applet {
	switch name {
	case "ls":
		return ls
	case "mkdir":
		return mkdir
	case "rm":
		return rm
	case "cp":
		return cp
	case "touch":
		return touch
	case "pwd":
		return func(p *proc) int { p.printf("%s\n", p.dir); return 0 }
	case "df":
		return df
	}
	return nil
}

// options splits single-letter flags from operands; ok is false for an unknown one.
func (p *proc) options(known string) (flags string, operands []string, ok bool) {
	for i, arg := range p.args {
		if arg == "--" {
			return flags, append(operands, p.args[i+1:]...), true
		}
		if !strings.HasPrefix(arg, "-") || arg == "-" {
			operands = append(operands, arg)
			continue
		}
		for _, flag := range arg[1:] {
			if !strings.ContainsRune(known, flag) {
				return flags, operands, false
			}
			flags += string(flag)
		}
	}
	return flags, operands, true
}

func ls(p *proc) int {
	flags, names, ok := p.options("la1hdR")
	if !ok {
		return p.usage("[-l] [-a] [-d] [FILE...]")
	}
	if len(names) == 0 {
		names = []string{"."}
	}
	status := 0
	for _, name := range names {
		info, err := os.Lstat(p.path(name))
		if err == nil && info.Mode()&os.ModeSymlink != 0 && !strings.Contains(flags, "l") {
			info, err = os.Stat(p.path(name))
		}
		if err != nil {
			status = p.fail(err)
			continue
		}
		if !info.IsDir() || strings.Contains(flags, "d") {
			p.listed(flags, p.path(name), name, info)
			continue
		}
		if len(names) > 1 {
			p.printf("%s:\n", name)
		}
		entries, err := os.ReadDir(p.path(name))
		if err != nil {
			status = p.fail(err)
		}
		for _, entry := range entries {
			if strings.HasPrefix(entry.Name(), ".") && !strings.Contains(flags, "a") {
				continue
			}
			if info, err := entry.Info(); err == nil {
				p.listed(flags, filepath.Join(p.path(name), entry.Name()), entry.Name(), info)
			}
		}
	}
	return status
}

func (p *proc) listed(flags, path, name string, info os.FileInfo) {
	if !strings.Contains(flags, "l") {
		p.printf("%s\n", name)
		return
	}
	var stat unix.Stat_t
	_ = unix.Lstat(path, &stat)
	link := ""
	if target, err := os.Readlink(path); err == nil {
		link = " -> " + target
	}
	p.printf("%s %3d %5d %5d %10d %s %s%s\n", info.Mode(), stat.Nlink, stat.Uid, stat.Gid, info.Size(),
		info.ModTime().Format("2006-01-02 15:04"), name, link)
}

func mkdir(p *proc) int {
	flags, names, ok := p.options("p")
	if !ok || len(names) == 0 {
		return p.usage("[-p] DIRECTORY...")
	}
	status := 0
	for _, name := range names {
		make := os.Mkdir
		if flags != "" {
			make = os.MkdirAll
		}
		if err := make(p.path(name), 0o777); err != nil {
			status = p.fail(err)
		}
	}
	return status
}

func rm(p *proc) int {
	flags, names, ok := p.options("rRf")
	if !ok {
		return p.usage("[-r] [-f] FILE...")
	}
	force := strings.Contains(flags, "f")
	status := 0
	for _, name := range names {
		remove := os.Remove
		if strings.ContainsAny(flags, "rR") {
			remove = os.RemoveAll
		}
		if err := remove(p.path(name)); err != nil && !(force && os.IsNotExist(err)) {
			status = p.fail(err)
		}
	}
	return status
}

func cp(p *proc) int {
	flags, names, ok := p.options("rRa")
	if !ok || len(names) < 2 {
		return p.usage("[-r] SOURCE... TARGET")
	}
	target := p.path(names[len(names)-1])
	into, err := os.Stat(target)
	status := 0
	for _, name := range names[:len(names)-1] {
		source, to := p.path(name), target
		if err == nil && into.IsDir() {
			to = filepath.Join(target, filepath.Base(source))
		}
		info, err := os.Stat(source)
		switch {
		case err != nil:
		case info.IsDir() && flags == "":
			err = &os.PathError{Op: "cp", Path: name, Err: unix.EISDIR}
		case info.IsDir():
			err = os.CopyFS(to, os.DirFS(source))
		default:
			err = copyFile(source, to, info.Mode().Perm())
		}
		if err != nil {
			status = p.fail(err)
		}
	}
	return status
}

func copyFile(from, to string, mode os.FileMode) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer source.Close()
	target, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	if closed := target.Close(); err == nil {
		err = closed
	}
	return err
}

func touch(p *proc) int {
	status := 0
	for _, name := range p.args {
		file, err := os.OpenFile(p.path(name), os.O_WRONLY|os.O_CREATE, 0o666)
		if err == nil {
			file.Close()
			err = os.Chtimes(p.path(name), time.Now(), time.Now())
		}
		if err != nil {
			status = p.fail(err)
		}
	}
	return status
}

func df(p *proc) int {
	names := p.args
	if len(names) == 0 || strings.HasPrefix(names[0], "-") {
		names = []string{"/"}
	}
	p.printf("%-20s %12s %12s %12s\n", "path", "1K-blocks", "used", "available")
	status := 0
	for _, name := range names {
		var stat unix.Statfs_t
		if err := unix.Statfs(p.path(name), &stat); err != nil {
			status = p.fail(err)
			continue
		}
		kib := uint64(stat.Bsize) / 1024
		p.printf("%-20s %12d %12d %12d\n", name, stat.Blocks*kib, (stat.Blocks-stat.Bfree)*kib, stat.Bavail*kib)
	}
	return status
}
