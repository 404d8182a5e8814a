package httpapi

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"agora.dev/agora/agent/containerizer"
	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	agentapi "agora.dev/agora/api/mesos/v1/agent"
	"agora.dev/agora/api/recordio"
)

// sessions are the processes that were started by LAUNCH_NESTED_CONTAINER_SESSION and
// whose request is still open.
type sessions struct {
	mu   sync.Mutex
	open map[containerizer.ID]*session
	// past are sessions that have ended a short while ago: who started one may ask how
	// it ended after its output did.
	past map[containerizer.ID]*session
}

// pastTime is how long the end of a session is remembered.
const pastTime = time.Minute

type session struct {
	containerizer.Session
	input bool // an ATTACH_CONTAINER_INPUT is at work
	// done is closed when the command has ended; how is set before.
	done chan struct{}
	how  containerizer.Termination

	mu      sync.Mutex
	readers map[chan *agentapi.ProcessIO]bool
	ended   bool
}

// readerQueue bounds the output that waits for one attached reader; one that lets it
// fill is cut off.
const readerQueue = 256

// copySize is the largest piece of output in one record, in bytes.
const copySize = 32 << 10

// launchSession runs a command in a live container and streams its output; the end of
// the request ends the command.
func (s *Server) launchSession(w http.ResponseWriter, r *http.Request, call *agentapi.Call_LaunchNestedContainerSession, out codec.MediaType, g granted) {
	media, err := streamType(r, out)
	if err != nil {
		answer(w, err)
		return
	}
	id := containerizer.IDOf(call.GetContainerId())
	opened, err := s.openSession(r.Context(), id, call, g.user)
	s.changed(r, agentapi.Call_LAUNCH_NESTED_CONTAINER_SESSION, g, err)
	if err != nil {
		answer(w, err)
		return
	}
	defer s.closeSession(id, opened)
	s.streamOutput(w, r, opened, out, media, func(ctx context.Context, emit func(*agentapi.ProcessIO) bool) {
		opened.copyOutput(emit)
		opened.Wait(ctx)
	})
}

// streamType is the encoding of the records of a streaming answer.
func streamType(r *http.Request, out codec.MediaType) (codec.MediaType, error) {
	if out != codec.RecordIO {
		return out, nil // bare records: what scheduler streams have
	}
	media, ok := accept(r.Header.Get("Message-Accept"), codec.JSON, codec.Protobuf)
	if !ok {
		return "", refuse(http.StatusNotAcceptable,
			"Expecting 'Message-Accept' to allow application/json or application/x-protobuf")
	}
	return media, nil
}

func (s *Server) openSession(ctx context.Context, id containerizer.ID, call *agentapi.Call_LaunchNestedContainerSession, user string) (*session, error) {
	parent, nested := id.Parent()
	if !nested {
		return nil, refuse(http.StatusBadRequest,
			"Failed to validate agent::Call: Expecting 'launch_nested_container_session.container_id.parent' to be present")
	}
	snapshot, err := s.Backend.Snapshot(ctx)
	if err != nil {
		return nil, refuse(http.StatusServiceUnavailable, "%s", err)
	}
	if _, ok := findContainer(snapshot, parent); !ok {
		return nil, refuse(http.StatusBadRequest, "Parent container %s does not exist", parent)
	}
	sandbox := filepath.Join(s.SessionDir, filepath.Base(string(id)))
	if err := os.MkdirAll(sandbox, 0o700); err != nil {
		return nil, err
	}
	spec := containerizer.Exec{
		ID: id, Command: call.GetCommand(), KeepStdin: true, Sandbox: sandbox, User: user,
	}
	if tty := call.GetContainer().GetTtyInfo(); tty != nil {
		spec.TTY = true
		spec.Rows, spec.Cols = uint16(tty.GetWindowSize().GetRows()), uint16(tty.GetWindowSize().GetColumns())
	}
	s.sessions.mu.Lock()
	_, taken := s.sessions.open[id]
	s.sessions.mu.Unlock()
	if taken {
		return nil, refuse(http.StatusBadRequest, "Container %s is already launched", id)
	}
	running, err := s.Containers.Exec(ctx, spec)
	if err != nil {
		os.RemoveAll(sandbox)
		return nil, refuse(http.StatusBadRequest, "%s", err)
	}
	opened := &session{Session: running, readers: map[chan *agentapi.ProcessIO]bool{}, done: make(chan struct{})}
	go func() {
		defer close(opened.done)
		// It ends at the latest when the session is closed.
		if how, err := running.Wait(context.WithoutCancel(ctx)); err == nil {
			opened.how = how
		}
	}()
	s.sessions.mu.Lock()
	s.sessions.open[id] = opened
	s.sessions.mu.Unlock()
	return opened, nil
}

func (s *Server) closeSession(id containerizer.ID, opened *session) {
	opened.Close()
	opened.finish()
	s.sessions.mu.Lock()
	delete(s.sessions.open, id)
	s.sessions.past[id] = opened
	s.sessions.mu.Unlock()
	time.AfterFunc(pastTime, func() {
		s.sessions.mu.Lock()
		defer s.sessions.mu.Unlock()
		delete(s.sessions.past, id)
	})
	os.RemoveAll(filepath.Join(s.SessionDir, filepath.Base(string(id))))
}

// streamOutput writes what produce emits, with heartbeats, until it returns or the
// client goes away.
func (s *Server) streamOutput(w http.ResponseWriter, r *http.Request, opened *session, out, media codec.MediaType,
	produce func(context.Context, func(*agentapi.ProcessIO) bool)) {
	w.Header().Set("Content-Type", string(out))
	if out == codec.RecordIO {
		w.Header().Set("Message-Content-Type", string(media))
	}
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	control.Flush()
	records := make(chan *agentapi.ProcessIO)
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(r.Context())
	go func() {
		defer close(done)
		produce(ctx, func(io *agentapi.ProcessIO) bool {
			select {
			case records <- io:
				return true
			case <-ctx.Done():
				return false
			}
		})
	}()
	s.writeRecords(ctx, recordio.NewWriter(w, control.Flush), media, records, done)
	cancel()
	if opened != nil {
		opened.Close() // what produce reads from ends
	}
	<-done
}

func (s *Server) writeRecords(ctx context.Context, w *recordio.Writer, media codec.MediaType,
	records <-chan *agentapi.ProcessIO, done <-chan struct{}) {
	beat := time.NewTicker(s.Heartbeat)
	defer beat.Stop()
	for {
		var record *agentapi.ProcessIO
		select {
		case record = <-records:
		case <-beat.C:
			record = heartbeat(s.Heartbeat)
		case <-done:
			return
		case <-ctx.Done():
			return
		}
		data, err := codec.Marshal(media, record)
		if err != nil {
			return
		}
		if _, err := w.Write(data); err != nil {
			return
		}
	}
}

func heartbeat(interval time.Duration) *agentapi.ProcessIO {
	n := int64(interval)
	return &agentapi.ProcessIO{Type: agentapi.ProcessIO_CONTROL.Enum(), Control: &agentapi.ProcessIO_Control{
		Type:      agentapi.ProcessIO_Control_HEARTBEAT.Enum(),
		Heartbeat: &agentapi.ProcessIO_Control_Heartbeat{Interval: &mesos.DurationInfo{Nanoseconds: &n}},
	}}
}

// copyOutput reads both outputs until they end.
func (o *session) copyOutput(emit func(*agentapi.ProcessIO) bool) {
	var wg sync.WaitGroup
	pump := func(kind agentapi.ProcessIO_Data_Type, from io.Reader) {
		defer wg.Done()
		buffer := make([]byte, copySize)
		for {
			n, err := from.Read(buffer)
			if n > 0 {
				record := &agentapi.ProcessIO{Type: agentapi.ProcessIO_DATA.Enum(), Data: &agentapi.ProcessIO_Data{
					Type: &kind, Data: append([]byte(nil), buffer[:n]...),
				}}
				o.share(record)
				if !emit(record) {
					return
				}
			}
			if err != nil {
				return
			}
		}
	}
	wg.Add(1)
	go pump(agentapi.ProcessIO_Data_STDOUT, o.Stdout())
	if stderr := o.Stderr(); stderr != nil {
		wg.Add(1)
		go pump(agentapi.ProcessIO_Data_STDERR, stderr)
	}
	wg.Wait()
}

// share passes a record to the attached readers.
func (o *session) share(record *agentapi.ProcessIO) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for reader := range o.readers {
		select {
		case reader <- record:
		default:
			close(reader)
			delete(o.readers, reader)
		}
	}
}

func (o *session) finish() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended = true
	for reader := range o.readers {
		close(reader)
		delete(o.readers, reader)
	}
}

func (s *Server) find(id *mesos.ContainerID) (*session, error) {
	flat := containerizer.IDOf(id)
	s.sessions.mu.Lock()
	defer s.sessions.mu.Unlock()
	if opened := s.sessions.open[flat]; opened != nil {
		return opened, nil
	}
	return nil, refuse(http.StatusNotFound, "Container %s cannot be found", flat)
}

// attachOutput lets another client read a session's output from now on.
func (s *Server) attachOutput(w http.ResponseWriter, r *http.Request, id *mesos.ContainerID, out codec.MediaType) {
	media, err := streamType(r, out)
	if err != nil {
		answer(w, err)
		return
	}
	opened, err := s.find(id)
	if err != nil {
		s.attachTask(w, r, containerizer.IDOf(id), out, media)
		return
	}
	reader := make(chan *agentapi.ProcessIO, readerQueue)
	opened.mu.Lock()
	if !opened.ended {
		opened.readers[reader] = true
	} else {
		close(reader)
	}
	opened.mu.Unlock()
	s.streamOutput(w, r, nil, out, media, func(ctx context.Context, emit func(*agentapi.ProcessIO) bool) {
		for {
			select {
			case record, ok := <-reader:
				if !ok || !emit(record) {
					return
				}
			case <-ctx.Done():
				return
			}
		}
	})
	opened.mu.Lock()
	delete(opened.readers, reader)
	opened.mu.Unlock()
}

// attachTask lets a client read the output of a task's own command from now on.
func (s *Server) attachTask(w http.ResponseWriter, r *http.Request, id containerizer.ID, out, media codec.MediaType) {
	sandbox, err := s.sandboxOf(r.Context(), id)
	if err != nil {
		answer(w, err)
		return
	}
	files := s.followOutput(id, sandbox) // before the client is told that it is attached, and types
	defer func() {
		for _, f := range files {
			f.file.Close()
		}
	}()
	s.streamOutput(w, r, nil, out, media, func(ctx context.Context, emit func(*agentapi.ProcessIO) bool) {
		s.tailContainer(ctx, id, files, emit)
	})
}

// attachInput feeds a session from a streaming request.
func (s *Server) attachInput(w http.ResponseWriter, r *http.Request) {
	media, ok := accept(r.Header.Get("Message-Content-Type"), codec.JSON, codec.Protobuf)
	if r.Header.Get("Message-Content-Type") == "" || !ok {
		answer(w, refuse(http.StatusUnsupportedMediaType,
			"Expecting 'Message-Content-Type' of application/json or application/x-protobuf"))
		return
	}
	http.NewResponseController(w).EnableFullDuplex()
	records := recordio.NewReader(r.Body, codec.MaxCallSize)
	first, err := nextInput(records, media)
	if err != nil {
		answer(w, refuse(http.StatusBadRequest, "%s", err))
		return
	}
	if first.GetType() != agentapi.Call_AttachContainerInput_CONTAINER_ID || first.GetContainerId() == nil {
		answer(w, refuse(http.StatusBadRequest, "Expecting 'attach_container_input.container_id' to be present in the first record"))
		return
	}
	g, ok := s.askCall(w, r, &agentapi.Call{Type: agentapi.Call_ATTACH_CONTAINER_INPUT.Enum(), AttachContainerInput: first})
	if !ok {
		return
	}
	apply, release, err := s.takeInput(r.Context(), first.GetContainerId())
	s.changed(r, agentapi.Call_ATTACH_CONTAINER_INPUT, g, err)
	if err != nil {
		answer(w, err)
		return
	}
	defer release()
	for {
		input, err := nextInput(records, media)
		if errors.Is(err, io.EOF) {
			w.WriteHeader(http.StatusOK)
			return
		}
		if err == nil {
			err = apply(input.GetProcessIo())
		}
		if err != nil {
			answer(w, refuse(http.StatusBadRequest, "%s", err))
			return
		}
	}
}

// takeInput finds where a container's input goes: to a session, or to the terminal of a task.
func (s *Server) takeInput(ctx context.Context, id *mesos.ContainerID) (apply func(*agentapi.ProcessIO) error, release func(), err error) {
	if opened, err := s.find(id); err == nil {
		return opened.apply, opened.releaseInput, opened.takeInput()
	}
	terminal, release, err := s.input(ctx, containerizer.IDOf(id))
	return terminal.apply, release, err
}

func nextInput(records *recordio.Reader, media codec.MediaType) (*agentapi.Call_AttachContainerInput, error) {
	data, err := records.Read()
	if err != nil {
		return nil, err
	}
	call := &agentapi.Call{}
	if err := codec.Unmarshal(media, data, call); err != nil {
		return nil, errors.New(codec.Describe("Call", err))
	}
	if call.GetType() != agentapi.Call_ATTACH_CONTAINER_INPUT || call.GetAttachContainerInput() == nil {
		return nil, errors.New("Failed to validate agent::Call: Expecting 'attach_container_input' to be present")
	}
	return call.GetAttachContainerInput(), nil
}

func (o *session) takeInput() error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.input {
		return refuse(http.StatusConflict, "Multiple input connections are not allowed")
	}
	o.input = true
	return nil
}

func (o *session) releaseInput() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.input = false
}

// apply carries out one record of input: bytes (none: end of input), a new size of the
// terminal, or a heartbeat.
func (o *session) apply(in *agentapi.ProcessIO) error {
	switch in.GetType() {
	case agentapi.ProcessIO_DATA:
		stdin := o.Stdin()
		if in.GetData().GetType() != agentapi.ProcessIO_Data_STDIN || stdin == nil {
			return errors.New("Expecting 'data' of type STDIN")
		}
		if len(in.GetData().GetData()) == 0 {
			stdin.Close()
			return nil
		}
		_, err := stdin.Write(in.GetData().GetData())
		return err
	case agentapi.ProcessIO_CONTROL:
		if size := in.GetControl().GetTtyInfo().GetWindowSize(); size != nil {
			return o.Resize(uint16(size.GetRows()), uint16(size.GetColumns()))
		}
		return nil
	}
	return errors.New("Expecting 'process_io.type' to be present")
}
