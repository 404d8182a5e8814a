// Package records is what launchers of every kind keep of a container on disk: JSON that is
// replaced as a whole, and by which a process is known again.
//
// It promises that a reader finds the old or the new record, never half of one. It survives the
// launcher, not the machine: with the machine the containers are gone too.
package records

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"agora.dev/agora/internal/vfs"
)

var validID = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.:-]{0,250}$`)

// CheckID refuses container ids that cannot be names of directories.
func CheckID(id string) error {
	if !validID.MatchString(id) {
		return fmt.Errorf("container id %q: not usable as a file name", id)
	}
	return nil
}

// Write replaces a file.
func Write(file string, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if err := os.WriteFile(file+".new", b, 0o600); err != nil {
		return err
	}
	return vfs.Replace(vfs.OS{}, file+".new", file)
}

// Read reads what Write has written.
func Read(file string, v any) error {
	b, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, v)
}

// Status reads the raw wait status that a container's init wrote into its directory when its
// command ended; known is false before.
func Status(dir string) (status int32, known bool) {
	b, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil || len(b) != 4 {
		return 0, false
	}
	return int32(binary.LittleEndian.Uint32(b)), true
}

// BootID is that of the machine's present boot.
func BootID() (string, error) {
	b, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b)), err
}

// StartTime is when a process began, in ticks since the boot: field 22 of its stat file. The
// command's name before it, in parentheses, may hold anything.
func StartTime(pid int) (uint64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 20 {
		return 0, fmt.Errorf("process %d: short stat", pid)
	}
	return strconv.ParseUint(fields[19], 10, 64)
}
