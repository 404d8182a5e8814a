package oci

import (
	"io"
	"os"

	"agora.dev/agora/agent/launcher/shim"
)

// pipes are the files between the launcher and an init.
type pipes struct {
	code, status       *os.File
	report, reportEnd  *os.File
	gateEnd, gateWrite *os.File
}

func (p *pipes) open(inner *shim.Program, status string) (err error) {
	if p.code, err = programFile(inner); err != nil {
		return err
	}
	if p.status, err = os.OpenFile(status, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600); err != nil {
		return err
	}
	if p.report, p.reportEnd, err = os.Pipe(); err != nil {
		return err
	}
	p.gateEnd, p.gateWrite, err = os.Pipe()
	return err
}

// theirs are the descriptors of the init in their order, its program last.
func (p *pipes) theirs(stdio [3]*os.File, image *os.File) []*os.File {
	return []*os.File{p.reportEnd, p.status, image, stdio[0], stdio[1], stdio[2], p.gateEnd, p.code}
}

func (p *pipes) closeTheirs() {
	for _, f := range []**os.File{&p.code, &p.status, &p.reportEnd, &p.gateEnd} {
		if *f != nil {
			(*f).Close()
			*f = nil
		}
	}
}

func (p *pipes) close() {
	p.closeTheirs()
	for _, f := range []*os.File{p.report, p.gateWrite} {
		if f != nil {
			f.Close()
		}
	}
}

// failure opens the gate and returns what the init could not do, once it has done all
// or is gone.
func (p *pipes) failure(inner *shim.Program) error {
	p.closeTheirs()
	p.gateWrite.Close()
	b, err := io.ReadAll(p.report)
	if err == nil && len(b) >= 8 {
		return startError(inner, b)
	}
	return err
}
