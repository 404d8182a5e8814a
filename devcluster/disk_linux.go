package devcluster

import "syscall"

// diskMiB is the size of the file system at dir or the nearest parent that exists, less
// 5 GiB or half of it. What is free would change from run to run, and an agent that comes
// back must offer what it offered.
func diskMiB(dir string) int {
	var stat syscall.Statfs_t
	for syscall.Statfs(dir, &stat) != nil {
		if dir == "/" || dir == "." {
			return 1024
		}
		dir = parent(dir)
	}
	return less(int(stat.Blocks*uint64(stat.Bsize)>>20), 5*1024)
}

func parent(dir string) string {
	for i := len(dir) - 1; i > 0; i-- {
		if dir[i] == '/' {
			return dir[:i]
		}
	}
	return "/"
}
