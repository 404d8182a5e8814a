package systemd

import (
	"bufio"
	"encoding/binary"
	"errors"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/godbus/dbus/v5"
)

// manager is a systemd that takes units down and makes none.
type manager struct {
	t      testing.TB
	socket string
	result string // of each job
	refuse string // each unit, with this error
	work   sync.WaitGroup

	mu    sync.Mutex
	conns []net.Conn
	units map[string]map[string]any // properties by name
}

func newManager(t testing.TB) *manager {
	t.Helper()
	m := &manager{t: t, socket: filepath.Join(t.TempDir(), "private"), result: "done", units: map[string]map[string]any{}}
	listener, err := net.Listen("unix", m.socket)
	if err != nil {
		t.Fatal(err)
	}
	m.work.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			m.mu.Lock()
			m.conns = append(m.conns, conn)
			m.mu.Unlock()
			m.work.Go(func() { m.serve(conn) })
		}
	})
	t.Cleanup(func() {
		listener.Close()
		m.mu.Lock()
		for _, conn := range m.conns {
			conn.Close()
		}
		m.mu.Unlock()
		m.work.Wait()
	})
	return m
}

// serve speaks the SASL part of the protocol line by line, then messages.
func (m *manager) serve(conn net.Conn) {
	in := bufio.NewReader(conn)
	for begun := false; !begun; {
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		answer := "ERROR"
		switch words := strings.Fields(strings.TrimLeft(line, "\x00")); {
		case len(words) == 1 && words[0] == "AUTH":
			answer = "REJECTED EXTERNAL"
		case words[0] == "AUTH", words[0] == "DATA":
			answer = "OK 00000000000000000000000000000001"
		case words[0] == "BEGIN":
			begun = true
			continue
		}
		if _, err := conn.Write([]byte(answer + "\r\n")); err != nil {
			return
		}
	}
	for {
		call, err := dbus.DecodeMessage(in)
		if err != nil {
			return
		}
		m.answer(conn, call)
	}
}

func (m *manager) answer(conn net.Conn, call *dbus.Message) {
	send := func(to net.Conn, kind dbus.Type, headers map[dbus.HeaderField]dbus.Variant, body ...any) {
		if len(body) > 0 {
			headers[dbus.FieldSignature] = dbus.MakeVariant(dbus.SignatureOf(body...))
		}
		message := &dbus.Message{Type: kind, Headers: headers, Body: body}
		if err := message.EncodeTo(to, binary.LittleEndian); err != nil && !errors.Is(err, net.ErrClosed) {
			m.t.Errorf("fake systemd: %v", err)
		}
	}
	reply := map[dbus.HeaderField]dbus.Variant{dbus.FieldReplySerial: dbus.MakeVariant(call.Serial())}
	member, _ := call.Headers[dbus.FieldMember].Value().(string)
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case member == "Get":
		send(conn, dbus.TypeMethodReply, reply, dbus.MakeVariant("252 (fake)"))
	case member == "StartTransientUnit" && m.refuse != "":
		reply[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.systemd1.UnitExists")
		send(conn, dbus.TypeError, reply, m.refuse)
	case member == "StartTransientUnit":
		name := call.Body[0].(string)
		m.units[name] = map[string]any{"mode": call.Body[1]}
		for _, pair := range call.Body[2].([][]any) {
			m.units[name][pair[0].(string)] = pair[1].(dbus.Variant).Value()
		}
		job := dbus.ObjectPath("/org/freedesktop/systemd1/job/7")
		send(conn, dbus.TypeMethodReply, reply, job)
		for _, each := range m.conns { // to everybody, as systemd does
			send(each, dbus.TypeSignal, map[dbus.HeaderField]dbus.Variant{
				dbus.FieldPath:      dbus.MakeVariant(dbus.ObjectPath("/org/freedesktop/systemd1")),
				dbus.FieldInterface: dbus.MakeVariant("org.freedesktop.systemd1.Manager"), dbus.FieldMember: dbus.MakeVariant("JobRemoved"),
			}, uint32(7), job, name, m.result)
		}
	default: // there is no bus behind the socket
		reply[dbus.FieldErrorName] = dbus.MakeVariant("org.freedesktop.DBus.Error.UnknownMethod")
		send(conn, dbus.TypeError, reply)
	}
}
