package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"time"

	"google.golang.org/protobuf/proto"

	agentpb "agora.dev/agora/api/mesos/v1/agent"

	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/recordio"
)

// inputHeartbeat keeps a silent input stream from being taken for dead.
const inputHeartbeat = 30 * time.Second

// open starts the command and returns the stream of its output.
func (s *session) open(ctx context.Context, call *agentpb.Call) (io.ReadCloser, error) {
	body, err := codec.Marshal(codec.Protobuf, call)
	if err != nil {
		return nil, err
	}
	return s.post(ctx, bytes.NewReader(body), http.Header{
		"Content-Type":   {string(codec.Protobuf)},
		"Accept":         {string(codec.RecordIO)},
		"Message-Accept": {string(codec.Protobuf)},
	})
}

func (s *session) post(ctx context.Context, body io.Reader, header http.Header) (io.ReadCloser, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.url+"/api/v1", body)
	if err != nil {
		return nil, err
	}
	request.Header = header
	response, err := s.app.http().Do(request)
	if err != nil {
		return nil, fmt.Errorf("agent %s: %w", s.agent.GetAgentInfo().GetHostname(), err)
	}
	if response.StatusCode >= 300 {
		defer response.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(response.Body, 4096))
		return nil, exitf(sessionExit(string(text)), "%s: %s", s.args[0], strings.TrimSpace(string(text)))
	}
	return response.Body, nil
}

// sessionExit maps the agent's refusal to the codes of docker exec.
func sessionExit(text string) int {
	switch {
	case strings.Contains(text, "not found"), strings.Contains(text, "no such file"):
		return ExitNoCommand
	case strings.Contains(text, "permission denied"):
		return ExitNotExecutable
	}
	return ExitNotRun
}

// drain copies the output to the user until the stream ends.
func (s *session) drain(output io.Reader) error {
	reader := recordio.NewReader(output, codec.MaxSize)
	for {
		record, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("output of %s: %w", s.args[0], err)
		}
		var part agentpb.ProcessIO
		if err := codec.Unmarshal(codec.Protobuf, record, &part); err != nil {
			return fmt.Errorf("output of %s: %w", s.args[0], err)
		}
		out := s.app.Out
		if part.GetData().GetType() == agentpb.ProcessIO_Data_STDERR {
			out = s.app.Err
		}
		if _, err := out.Write(part.GetData().GetData()); err != nil {
			return err
		}
	}
}

// feed sends input and window sizes until ctx ends. Its errors end the input only:
// what went wrong with the command shows in its output and status.
func (s *session) feed(ctx context.Context, stdin bool) {
	reader, writer := io.Pipe()
	defer writer.Close()
	go func() {
		response, err := s.post(ctx, reader, http.Header{
			"Content-Type":         {string(codec.RecordIO)},
			"Message-Content-Type": {string(codec.Protobuf)},
		})
		if err == nil {
			response.Close()
		}
		reader.CloseWithError(io.ErrClosedPipe)
	}()
	records := recordio.NewWriter(writer, nil)
	send := func(input *agentpb.Call_AttachContainerInput) bool {
		call := &agentpb.Call{Type: agentpb.Call_ATTACH_CONTAINER_INPUT.Enum(), AttachContainerInput: input}
		body, err := proto.Marshal(call)
		if err == nil {
			_, err = records.Write(body)
		}
		return err == nil
	}
	if !send(&agentpb.Call_AttachContainerInput{Type: agentpb.Call_AttachContainerInput_CONTAINER_ID.Enum(), ContainerId: s.id}) {
		return
	}
	pass := func(part *agentpb.ProcessIO) bool {
		return part == nil || send(&agentpb.Call_AttachContainerInput{Type: agentpb.Call_AttachContainerInput_PROCESS_IO.Enum(), ProcessIo: part})
	}
	lines, resized := make(chan []byte), make(chan os.Signal, 1)
	notifyResize(resized)
	defer signal.Stop(resized)
	if s.tty && !pass(s.resize()) { // before anything that is typed
		return
	}
	if stdin {
		go s.readInput(ctx, lines)
	}
	for {
		var part *agentpb.ProcessIO
		select {
		case <-ctx.Done():
			return
		case data, open := <-lines:
			if !open {
				lines = nil
			}
			part = &agentpb.ProcessIO{Type: agentpb.ProcessIO_DATA.Enum(),
				Data: &agentpb.ProcessIO_Data{Type: agentpb.ProcessIO_Data_STDIN.Enum(), Data: data}}
		case <-resized:
			part = s.resize()
		case <-time.After(inputHeartbeat):
			part = &agentpb.ProcessIO{Type: agentpb.ProcessIO_CONTROL.Enum(), Control: &agentpb.ProcessIO_Control{
				Type: agentpb.ProcessIO_Control_HEARTBEAT.Enum(), Heartbeat: &agentpb.ProcessIO_Control_Heartbeat{}}}
		}
		if !pass(part) {
			return
		}
	}
}

// readInput hands on what the user types; a closed channel is its end.
func (s *session) readInput(ctx context.Context, lines chan<- []byte) {
	defer close(lines)
	in := s.input
	if in == nil {
		in = s.app.In
	}
	buffer := make([]byte, 32<<10)
	for {
		n, err := in.Read(buffer)
		if n > 0 {
			select {
			case lines <- bytes.Clone(buffer[:n]):
			case <-ctx.Done():
				return
			}
		}
		if err != nil {
			return
		}
	}
}

func (s *session) resize() *agentpb.ProcessIO {
	rows, cols, ok := s.size()
	if !ok || !s.tty {
		return nil
	}
	return &agentpb.ProcessIO{Type: agentpb.ProcessIO_CONTROL.Enum(), Control: &agentpb.ProcessIO_Control{
		Type: agentpb.ProcessIO_Control_TTY_INFO.Enum(), TtyInfo: &mesos.TTYInfo{
			WindowSize: &mesos.TTYInfo_WindowSize{Rows: &rows, Columns: &cols}}}}
}
