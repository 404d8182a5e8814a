package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/api/mesos/v1/quota"
	"agora.dev/agora/master/core"
)

// settingCommand gives the command for the core of calls that set weights and quotas; nil for others.
func settingCommand(call *master.Call) core.OperatorCommand {
	switch call.GetType() {
	case master.Call_UPDATE_WEIGHTS:
		return core.UpdateWeights{Weights: call.GetUpdateWeights().GetWeightInfos()}
	case master.Call_UPDATE_QUOTA:
		return core.UpdateQuota{Configs: call.GetUpdateQuota().GetQuotaConfigs(), Force: call.GetUpdateQuota().GetForce()}
	case master.Call_SET_QUOTA:
		return core.SetQuota{Request: call.GetSetQuota().GetQuotaRequest()}
	case master.Call_REMOVE_QUOTA:
		return core.RemoveQuota{Role: call.GetRemoveQuota().GetRole()}
	}
	return nil
}

// weightsProto is nil when no weight was ever set, as Mesos leaves the member out.
func weightsProto(snapshot *core.Snapshot) *master.Response_GetWeights {
	if len(snapshot.Weights) == 0 {
		return nil
	}
	return &master.Response_GetWeights{WeightInfos: weightInfos(snapshot)}
}

func weightInfos(snapshot *core.Snapshot) []*mesos.WeightInfo {
	list := make([]*mesos.WeightInfo, 0, len(snapshot.Weights))
	for _, role := range slices.Sorted(maps.Keys(snapshot.Weights)) {
		list = append(list, &mesos.WeightInfo{Role: &role, Weight: ptr(snapshot.Weights[role])})
	}
	return list
}

// quotaProto lists quotas in the new form, and the guarantees in the old one.
func quotaProto(snapshot *core.Snapshot) *quota.QuotaStatus {
	status := &quota.QuotaStatus{}
	for _, role := range slices.Sorted(maps.Keys(snapshot.Quotas)) {
		config := snapshot.Quotas[role]
		status.Configs = append(status.Configs, config)
		status.Infos = append(status.Infos, &quota.QuotaInfo{Role: &role, Guarantee: scalarsOf(config.GetGuarantees()).resources()})
	}
	return status
}

func scalarsOf(amounts map[string]*mesos.Value_Scalar) quantities {
	q := quantities{}
	for name, amount := range amounts {
		q[name] = int64(math.Round(amount.GetValue() * 1000))
	}
	return q
}

// weights is GET and PUT /weights.
func (s *Server) weights(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		view(w, r, func(out *writer) {
			out.open('[')
			for _, info := range weightInfos(s.visible(r)) {
				out.element(func() {
					out.text("role", info.GetRole())
					out.float("weight", info.GetWeight())
				})
			}
			out.close(']')
		})
	case http.MethodPut:
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		var list []json.RawMessage
		if err := json.Unmarshal(body, &list); err != nil || list == nil {
			text(w, http.StatusBadRequest, "Failed to parse update weights request JSON '"+string(body)+"': "+jsonError(body, err, '['))
			return
		}
		command := core.UpdateWeights{}
		for _, one := range list {
			info := &mesos.WeightInfo{}
			if err := codec.UnmarshalJSON(one, info); err != nil {
				text(w, http.StatusBadRequest, "Failed to convert update weights request JSON array to protobuf '"+string(body)+"': "+err.Error())
				return
			}
			command.Weights = append(command.Weights, info)
		}
		s.askOperator(w, r, command)
	default:
		methodNotAllowed(w, r, "GET", "PUT")
	}
}

// quota is GET and POST /quota, and DELETE /quota/ROLE.
func (s *Server) quota(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		view(w, r, func(out *writer) { out.raw(quotaProto(s.visible(r))) })
	case http.MethodPost:
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(body, &object); err != nil {
			text(w, http.StatusBadRequest, "Failed to parse set quota request JSON '"+string(body)+"': "+jsonError(body, err, '{'))
			return
		}
		request := &quota.QuotaRequest{}
		if err := codec.UnmarshalJSON(body, request); err != nil {
			text(w, http.StatusBadRequest, "Failed to validate set quota request JSON '"+string(body)+"': "+err.Error())
			return
		}
		s.askOperator(w, r, core.SetQuota{Request: request})
	case http.MethodDelete:
		path := r.URL.Path
		_, role, found := strings.Cut(strings.TrimSuffix(path, "/"), "/quota/")
		if !found || role == "" {
			text(w, http.StatusBadRequest, "Failed to parse remove quota request for path '"+path+"': expected /master/quota/ROLE")
			return
		}
		s.askOperator(w, r, core.RemoveQuota{Role: role, Path: path})
	default:
		methodNotAllowed(w, r, "GET", "POST", "DELETE")
	}
}

// body reads a body that is bounded in size and time, or answers and reports false.
func (s *Server) body(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	control := http.NewResponseController(w)
	timed := control.SetReadDeadline(time.Now().Add(s.cfg.BodyTimeout)) == nil
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, s.cfg.MaxBody))
	if timed && err == nil {
		control.SetReadDeadline(time.Time{})
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge):
		text(w, http.StatusRequestEntityTooLarge, "The body is larger than a call may be")
	case err != nil:
		text(w, http.StatusBadRequest, "Failed to read body")
	}
	return body, err == nil
}

// jsonError says in Mesos's words what is wrong with a body that ought to begin with open.
func jsonError(body []byte, err error, open byte) string {
	if trimmed := bytes.TrimSpace(body); len(trimmed) > 0 && trimmed[0] != open && json.Valid(body) {
		return "Unexpected JSON type parsed"
	}
	var syntax *json.SyntaxError
	if errors.As(err, &syntax) {
		at := min(int(syntax.Offset), len(body))
		rest := body[at:]
		return "syntax error at line " + strconv.Itoa(1+bytes.Count(body[:at], []byte{'\n'})) + " near: " + string(rest[:min(len(rest), 32)])
	}
	return err.Error()
}
