package httpapi

import (
	"encoding/json"
	"net/http"
	"net/url"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/master/core"
)

// operationCommand gives the command for the core of calls that change an agent's resources; nil
// for others.
func operationCommand(call *master.Call) core.OperatorCommand {
	switch call.GetType() {
	case master.Call_RESERVE_RESOURCES:
		c := call.GetReserveResources()
		return operate(c.GetAgentId(), reserve(c.GetResources(), c.GetSource()))
	case master.Call_UNRESERVE_RESOURCES:
		return operate(call.GetUnreserveResources().GetAgentId(), unreserve(call.GetUnreserveResources().GetResources()))
	case master.Call_CREATE_VOLUMES:
		return operate(call.GetCreateVolumes().GetAgentId(), create(call.GetCreateVolumes().GetVolumes()))
	case master.Call_DESTROY_VOLUMES:
		return operate(call.GetDestroyVolumes().GetAgentId(), destroy(call.GetDestroyVolumes().GetVolumes()))
	case master.Call_GROW_VOLUME:
		c := call.GetGrowVolume()
		return operate(c.GetAgentId(), &mesos.Offer_Operation{Type: mesos.Offer_Operation_GROW_VOLUME.Enum(),
			GrowVolume: &mesos.Offer_Operation_GrowVolume{Volume: c.GetVolume(), Addition: c.GetAddition()}})
	case master.Call_SHRINK_VOLUME:
		c := call.GetShrinkVolume()
		return operate(c.GetAgentId(), &mesos.Offer_Operation{Type: mesos.Offer_Operation_SHRINK_VOLUME.Enum(),
			ShrinkVolume: &mesos.Offer_Operation_ShrinkVolume{Volume: c.GetVolume(), Subtract: c.GetSubtract()}})
	}
	return nil
}

func operate(agent *mesos.AgentID, op *mesos.Offer_Operation) core.OperatorCommand {
	return core.OperateAgent{Agent: core.AgentID(agent.GetValue()), Operation: op}
}

func reserve(resources, source []*mesos.Resource) *mesos.Offer_Operation {
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_RESERVE.Enum(),
		Reserve: &mesos.Offer_Operation_Reserve{Resources: resources, Source: source}}
}

func unreserve(resources []*mesos.Resource) *mesos.Offer_Operation {
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_UNRESERVE.Enum(),
		Unreserve: &mesos.Offer_Operation_Unreserve{Resources: resources}}
}

func create(volumes []*mesos.Resource) *mesos.Offer_Operation {
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_CREATE.Enum(), Create: &mesos.Offer_Operation_Create{Volumes: volumes}}
}

func destroy(volumes []*mesos.Resource) *mesos.Offer_Operation {
	return &mesos.Offer_Operation{Type: mesos.Offer_Operation_DESTROY.Enum(), Destroy: &mesos.Offer_Operation_Destroy{Volumes: volumes}}
}

// operation is POST /reserve, /unreserve, /create-volumes and /destroy-volumes: a form with slaveId and
// a JSON array of resources in field.
func (s *Server) operation(field string, make func([]*mesos.Resource) *mesos.Offer_Operation) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		form, ok := s.form(w, r)
		if !ok {
			return
		}
		for _, name := range []string{"slaveId", field} {
			if !form.Has(name) {
				text(w, http.StatusBadRequest, "Missing '"+name+"' query parameter in the request body")
				return
			}
		}
		resources, problem := resourceList(form.Get(field))
		if problem != "" {
			text(w, http.StatusBadRequest, "Error parsing '"+field+"' query parameter in the request body: "+problem)
			return
		}
		agent := form.Get("slaveId")
		s.askOperator(w, r, operate(&mesos.AgentID{Value: &agent}, make(resources)))
	}
}

// form reads the body of a POST, or answers and reports false.
func (s *Server) form(w http.ResponseWriter, r *http.Request) (url.Values, bool) {
	if r.Method != http.MethodPost {
		methodNotAllowed(w, r, http.MethodPost)
		return nil, false
	}
	body, ok := s.body(w, r)
	if !ok {
		return nil, false
	}
	form, err := url.ParseQuery(string(body))
	if err != nil {
		text(w, http.StatusBadRequest, "Unable to decode query string: "+err.Error())
	}
	return form, err == nil
}

// resourceList reads a JSON array of resources, and says what is wrong with it.
func resourceList(given string) (resources []*mesos.Resource, problem string) {
	var list []json.RawMessage
	if err := json.Unmarshal([]byte(given), &list); err != nil {
		return nil, jsonError([]byte(given), err, '[')
	}
	for _, one := range list {
		resource := &mesos.Resource{}
		if err := codec.UnmarshalJSON(one, resource); err != nil {
			return nil, err.Error()
		}
		resources = append(resources, resource)
	}
	return resources, ""
}
