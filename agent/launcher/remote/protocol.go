// Package remote speaks between an agent and its launcher's process: frames of JSON
// over a path socket in a directory of mode 0700, with descriptors attached.
//
// It promises that an older and a newer side understand each other or say that they
// do not, and that a call whose connection breaks is an error and is never repeated by
// itself. It refuses peers of other users.
package remote

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"syscall"

	"agora.dev/agora/agent/launcher"
	"agora.dev/agora/agent/launchtrace"
	specs "github.com/opencontainers/runtime-spec/specs-go"
)

// Version is the protocol's. A side accepts what has its own or a lower one.
//
// Version 2 adds what a start needs. A call says the lowest version that has its words, so a start
// that needs a feature is refused by a launcher that knows of none; all else goes to it as before.
const Version = 2

const versionOfNeeds = 2

// speaks begins the answer of a launcher to a later version; every launcher says it.
const speaks = "launcher speaks version "

// maxFrame bounds a frame; a start carries an environment of at most a few MiB.
const maxFrame = 16 << 20

// SocketName is the socket's file in the launcher's directory.
const SocketName = "launcher.sock"

// call is a request; one field beside Version and Method is set.
type call struct {
	Version int
	Method  string
	ID      string            `json:",omitempty"`
	Signal  int               `json:",omitempty"`
	Start   *launcher.Request `json:",omitempty"`
	Needs   []string          `json:",omitempty"` // features of Start
	Enter   *enterCall        `json:",omitempty"`
	// Trace asks for the times of the steps of a start.
	Trace bool `json:",omitempty"`
}

// enterCall is launcher.Enter; its files travel as descriptors.
type enterCall struct {
	ID, Parent string
	Process    *specs.Process
	Seccomp    *specs.LinuxSeccomp
}

type answer struct {
	Error   string               `json:",omitempty"`
	Unknown bool                 `json:",omitempty"` // the container
	PID     int                  `json:",omitempty"`
	Exit    *launcher.Exit       `json:",omitempty"`
	List    []launcher.Container `json:",omitempty"`
	Build   string               `json:",omitempty"` // of the launcher's program
	Marks   []launchtrace.Mark   `json:",omitempty"`

	Features []string `json:",omitempty"` // of the launcher, beside Build
	Lacks    []string `json:",omitempty"` // needs that refused a start

	terminal *os.File // travels as a descriptor
}

// remoteError keeps the text of the launcher's error and its class.
type remoteError struct {
	text    string
	unknown bool
}

func (e *remoteError) Error() string { return e.text }

// Is lets errors.Is find ErrUnknownContainer.
func (e *remoteError) Is(target error) bool {
	return e.unknown && target == launcher.ErrUnknownContainer
}

func (a answer) err() error {
	if a.Error == "" {
		return nil
	}
	return &remoteError{a.Error, a.Unknown}
}

// send writes a frame with at most three descriptors.
func send(conn *net.UnixConn, v any, files ...*os.File) error {
	body, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(body) > maxFrame {
		return fmt.Errorf("message of %d bytes: more than %d", len(body), maxFrame)
	}
	frame := append(binary.BigEndian.AppendUint32(nil, uint32(len(body))), body...)
	var rights []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			fd, err := descriptor(f)
			if err != nil {
				return err
			}
			fds[i] = fd
		}
		rights = syscall.UnixRights(fds...)
	}
	n, _, err := conn.WriteMsgUnix(frame, rights, nil)
	if err == nil && n < len(frame) {
		_, err = conn.Write(frame[n:])
	}
	return err
}

// descriptor is the number of an open file; unlike Fd it leaves its mode alone.
func descriptor(f *os.File) (number int, err error) {
	raw, err := f.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) { number = int(fd) })
	}
	return number, err
}

// receive reads a frame and the descriptors that came with its beginning.
func receive(conn *net.UnixConn, v any) (files []*os.File, err error) {
	head, control := make([]byte, 4), make([]byte, syscall.CmsgSpace(3*4))
	n, rights, flags, _, err := conn.ReadMsgUnix(head, control)
	if rights > 0 {
		files = descriptors(control[:rights])
	}
	defer func() {
		if err != nil {
			closeAll(files)
			files = nil
		}
	}()
	if err != nil {
		return files, err
	}
	if n == 0 {
		return files, io.EOF
	}
	if flags&syscall.MSG_CTRUNC != 0 {
		return files, errors.New("too many descriptors")
	}
	if _, err = io.ReadFull(conn, head[n:]); err != nil {
		return files, err
	}
	length := binary.BigEndian.Uint32(head)
	if length > maxFrame {
		return files, fmt.Errorf("message of %d bytes: more than %d", length, maxFrame)
	}
	body := make([]byte, length)
	if _, err = io.ReadFull(conn, body); err != nil {
		return files, err
	}
	return files, json.Unmarshal(body, v)
}

func descriptors(control []byte) (files []*os.File) {
	messages, err := syscall.ParseSocketControlMessage(control)
	if err != nil {
		return nil
	}
	for _, m := range messages {
		fds, err := syscall.ParseUnixRights(&m)
		if err != nil {
			continue
		}
		for _, fd := range fds {
			syscall.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files
}

func closeAll(files []*os.File) {
	for _, f := range files {
		f.Close()
	}
}
