package httpapi

import (
	"context"
	"errors"
	"net/http"
	"time"

	"agora.dev/agora/agent/core"
	"agora.dev/agora/api/codec"
	mesos "agora.dev/agora/api/mesos/v1"
	execapi "agora.dev/agora/api/mesos/v1/executor"
	"agora.dev/agora/api/recordio"
	"agora.dev/agora/auth"
	"agora.dev/agora/auth/httpauth"
)

// executorHeartbeat is the period of HEARTBEAT events (mesos.md §1.4).
const executorHeartbeat = 30 * time.Minute

func (s *Server) executorAPI(w http.ResponseWriter, r *http.Request) {
	if !onlyPost(w, r) {
		return
	}
	call, err := s.executorCall(w, r)
	if err == nil {
		if err = mayAct(httpauth.PrincipalOf(r), call); err != nil {
			s.guard.Audit.Refused(r, "executor "+call.GetType().String(), http.StatusForbidden, err.Error())
		}
	}
	if err != nil {
		answer(w, err)
		return
	}
	if call.GetType() == execapi.Call_SUBSCRIBE {
		s.subscribe(w, r, call)
		return
	}
	request, reply := s.Broker.expect()
	defer s.Broker.forget(request)
	err = s.Backend.Post(r.Context(), core.ExecutorCall{Request: request, Call: call})
	if err == nil {
		err = await(r.Context(), reply)
	}
	if err != nil {
		answer(w, executorError(err))
		return
	}
	w.WriteHeader(http.StatusAccepted)
}

func await(ctx context.Context, reply <-chan error) error {
	select {
	case err := <-reply:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// mayAct keeps an executor from speaking for another one. Nobody is who was not asked.
func mayAct(who *auth.Principal, call *execapi.Call) error {
	if who == nil || call.GetType() == execapi.Call_HEARTBEAT {
		return nil
	}
	framework, executor := who.Claims[claimFramework], who.Claims[claimExecutor]
	if call.GetFrameworkId().GetValue() != framework || call.GetExecutorId().GetValue() != executor {
		return refuse(http.StatusForbidden, "Principal of another executor: the credential is for executor '%s' of framework '%s'", executor, framework)
	}
	return nil
}

func executorError(err error) error {
	switch {
	case errors.Is(err, core.ErrRecovering), errors.Is(err, errGone):
		return refuse(http.StatusServiceUnavailable, "%s", err)
	case errors.Is(err, core.ErrNotSubscribed):
		return refuse(http.StatusForbidden, "%s", err)
	case errors.Is(err, core.ErrUnknownFramework), errors.Is(err, core.ErrUnknownExecutor):
		return refuse(http.StatusBadRequest, "%s", err)
	}
	return refuse(http.StatusServiceUnavailable, "%s", err)
}

func (s *Server) executorCall(w http.ResponseWriter, r *http.Request) (*execapi.Call, error) {
	media, err := contentType(r, "application/json or application/x-protobuf", codec.JSON, codec.Protobuf)
	if err != nil {
		return nil, err
	}
	body, err := readBody(w, r)
	if err != nil {
		return nil, err
	}
	call := &execapi.Call{}
	if err := codec.Unmarshal(media, body, call); err != nil {
		return nil, refuse(http.StatusBadRequest, "%s", codec.Describe("Call", err))
	}
	return call, validate(call)
}

func invalid(format string, args ...any) error {
	return refuse(http.StatusBadRequest, "Failed to validate Executor::Call: "+format, args...)
}

func validate(call *execapi.Call) error {
	if call.Type == nil {
		return invalid("Expecting 'type' to be present")
	}
	switch call.GetType() {
	case execapi.Call_SUBSCRIBE:
		if call.GetSubscribe() == nil {
			return invalid("Expecting 'subscribe' to be present")
		}
		for _, u := range call.GetSubscribe().GetUnacknowledgedUpdates() {
			if err := validateUpdate(call, u.GetStatus()); err != nil {
				return err
			}
		}
	case execapi.Call_UPDATE:
		if call.GetUpdate() == nil {
			return invalid("Expecting 'update' to be present")
		}
		return validateUpdate(call, call.GetUpdate().GetStatus())
	case execapi.Call_MESSAGE:
		if call.GetMessage() == nil {
			return invalid("Expecting 'message' to be present")
		}
	case execapi.Call_HEARTBEAT:
	default:
		return refuse(http.StatusNotImplemented, "501 Not Implemented.")
	}
	return nil
}

func validateUpdate(call *execapi.Call, status *mesos.TaskStatus) error {
	switch {
	case status.Uuid == nil:
		return invalid("Expecting 'uuid' to be present")
	case len(status.GetUuid()) != 16 || [16]byte(status.GetUuid()) == [16]byte{}:
		return invalid("Not a valid UUID")
	case status.ExecutorId != nil && status.GetExecutorId().GetValue() != call.GetExecutorId().GetValue():
		return invalid("ExecutorID in Call: %s does not match ExecutorID in TaskStatus: %s",
			call.GetExecutorId().GetValue(), status.GetExecutorId().GetValue())
	case status.GetSource() != mesos.TaskStatus_SOURCE_EXECUTOR:
		return invalid("Received Call from executor %s of framework %s with invalid source, expecting 'SOURCE_EXECUTOR'",
			call.GetExecutorId().GetValue(), call.GetFrameworkId().GetValue())
	case status.GetState() == mesos.TaskState_TASK_STAGING:
		return invalid("Received TASK_STAGING from executor %s of framework %s which is not allowed",
			call.GetExecutorId().GetValue(), call.GetFrameworkId().GetValue())
	}
	return nil
}

// subscribe opens the stream of an executor's events.
func (s *Server) subscribe(w http.ResponseWriter, r *http.Request, call *execapi.Call) {
	media, ok := accept(r.Header.Get("Accept"), codec.JSON, codec.Protobuf)
	if !ok {
		answer(w, refuse(http.StatusNotAcceptable,
			"Expecting 'Accept' to allow 'application/x-protobuf' or 'application/json'"))
		return
	}
	key := core.ExecutorKey{
		Framework: core.FrameworkID(call.GetFrameworkId().GetValue()),
		Executor:  core.ExecutorID(call.GetExecutorId().GetValue()),
	}
	connection, stream := s.Broker.open()
	defer s.Broker.Close(connection)
	request, reply := s.Broker.expect()
	defer s.Broker.forget(request)
	err := s.Backend.Post(r.Context(), core.ExecutorSubscribed{
		Request: request, Connection: connection, Key: key, Subscribe: call.GetSubscribe(),
	})
	if err == nil {
		err = await(r.Context(), reply)
	}
	if err != nil {
		answer(w, executorError(err))
		return
	}
	defer s.Backend.Post(context.WithoutCancel(r.Context()), core.ExecutorDisconnected{Connection: connection, Key: key})
	w.Header().Set("Content-Type", string(media))
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	control.Flush()
	s.stream(r.Context(), recordio.NewWriter(w, control.Flush), media, stream)
}

func (s *Server) stream(ctx context.Context, out *recordio.Writer, media codec.MediaType, from *stream) {
	beat := time.NewTicker(executorHeartbeat)
	defer beat.Stop()
	for {
		var event *execapi.Event
		select {
		case <-ctx.Done():
			return
		case <-beat.C:
			event = &execapi.Event{Type: execapi.Event_HEARTBEAT.Enum()}
		case e, ok := <-from.events:
			if !ok {
				return
			}
			event = e
		}
		data, err := codec.Marshal(media, event)
		if err != nil {
			s.Log.Error("executor event not sent", "error", err)
			return
		}
		if _, err := out.Write(data); err != nil {
			return
		}
	}
}
