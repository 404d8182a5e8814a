package buildinfo

import (
	"debug/elf"
	"fmt"
	"io"
)

// ID is what the linker stamped an executable with: two that differ in any way have different
// ones. An executable of another system, or one built without, is an error.
func ID(executable io.ReaderAt) (string, error) {
	file, err := elf.NewFile(executable)
	if err != nil {
		return "", fmt.Errorf("build id: %w", err)
	}
	defer file.Close()
	section := file.Section(".note.go.buildid")
	if section == nil {
		return "", fmt.Errorf("build id: the executable has none")
	}
	note, err := section.Data()
	if err != nil {
		return "", fmt.Errorf("build id: %w", err)
	}
	// Sizes of name and description, a type, the name "Go\0\0".
	if len(note) < 16 {
		return "", fmt.Errorf("build id: a note of %d bytes", len(note))
	}
	size := int(file.ByteOrder.Uint32(note[4:]))
	if size == 0 || size > len(note)-16 {
		return "", fmt.Errorf("build id: %d bytes of %d", size, len(note)-16)
	}
	return string(note[16 : 16+size]), nil
}
