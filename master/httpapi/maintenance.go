package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/maintenance"
	"agora.dev/agora/api/mesos/v1/master"
	"agora.dev/agora/master/core"
	"agora.dev/agora/master/registry"
)

// maintenanceCommand gives the command for the core of calls about maintenance; nil for others.
func maintenanceCommand(call *master.Call) core.OperatorCommand {
	switch call.GetType() {
	case master.Call_UPDATE_MAINTENANCE_SCHEDULE:
		return core.UpdateSchedule{Schedule: call.GetUpdateMaintenanceSchedule().GetSchedule()}
	case master.Call_START_MAINTENANCE:
		return core.StartMaintenance{Machines: call.GetStartMaintenance().GetMachines()}
	case master.Call_STOP_MAINTENANCE:
		return core.StopMaintenance{Machines: call.GetStopMaintenance().GetMachines()}
	}
	return nil
}

// maintenanceQuery answers calls about maintenance that only ask; nil for others.
func maintenanceQuery(call *master.Call, snapshot *core.Snapshot) *master.Response {
	switch call.GetType() {
	case master.Call_GET_MAINTENANCE_SCHEDULE:
		return &master.Response{GetMaintenanceSchedule: &master.Response_GetMaintenanceSchedule{Schedule: scheduleProto(snapshot)}}
	case master.Call_GET_MAINTENANCE_STATUS:
		return &master.Response{GetMaintenanceStatus: &master.Response_GetMaintenanceStatus{Status: clusterStatus(snapshot)}}
	}
	return nil
}

func scheduleProto(snapshot *core.Snapshot) *maintenance.Schedule {
	if snapshot.Maintenance == nil || snapshot.Maintenance.Schedule == nil {
		return &maintenance.Schedule{}
	}
	return snapshot.Maintenance.Schedule
}

// clusterStatus lists the machines that are not UP, and what frameworks say of those that drain.
func clusterStatus(snapshot *core.Snapshot) *maintenance.ClusterStatus {
	status := &maintenance.ClusterStatus{}
	if snapshot.Maintenance == nil {
		return status
	}
	for _, machine := range snapshot.Maintenance.Machines {
		if machine.GetMode() == mesos.MachineInfo_DOWN {
			status.DownMachines = append(status.DownMachines, machine.Id)
			continue
		}
		draining := &maintenance.ClusterStatus_DrainingMachine{Id: machine.Id}
		key := registry.MachineKey(machine.Id)
		for agent := range snapshot.Agents.All() {
			if agent.Machine == key {
				draining.Statuses = append(draining.Statuses, agent.InverseStatuses...)
			}
		}
		status.DrainingMachines = append(status.DrainingMachines, draining)
	}
	return status
}

// maintenanceSchedule is GET and POST /maintenance/schedule.
func (s *Server) maintenanceSchedule(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		view(w, r, func(out *writer) { out.raw(scheduleProto(s.visible(r))) })
	case http.MethodPost:
		body, ok := s.body(w, r)
		if !ok {
			return
		}
		var object map[string]json.RawMessage
		if err := json.Unmarshal(body, &object); err != nil {
			text(w, http.StatusBadRequest, jsonError(body, err, '{'))
			return
		}
		schedule := &maintenance.Schedule{}
		if err := codec.UnmarshalJSON(body, schedule); err != nil {
			text(w, http.StatusBadRequest, err.Error())
			return
		}
		s.askOperator(w, r, core.UpdateSchedule{Schedule: schedule})
	default:
		methodNotAllowed(w, r, "GET", "POST")
	}
}

// maintenanceStatus is GET /maintenance/status.
func (s *Server) maintenanceStatus(w http.ResponseWriter, r *http.Request) {
	view(w, r, func(out *writer) { out.raw(clusterStatus(s.visible(r))) })
}

// machinesDown and machinesUp are POST /machine/down and /machine/up.

func (s *Server) machinesDown(w http.ResponseWriter, r *http.Request) {
	if ids, ok := s.machineList(w, r); ok {
		s.askOperator(w, r, core.StartMaintenance{Machines: ids})
	}
}

func (s *Server) machinesUp(w http.ResponseWriter, r *http.Request) {
	if ids, ok := s.machineList(w, r); ok {
		s.askOperator(w, r, core.StopMaintenance{Machines: ids})
	}
}

// machineList reads an array of machines, or answers and reports false.
func (s *Server) machineList(w http.ResponseWriter, r *http.Request) ([]*mesos.MachineID, bool) {
	if r.Method != http.MethodPost {
		methodNotAllowed(w, r, "POST")
		return nil, false
	}
	body, ok := s.body(w, r)
	if !ok {
		return nil, false
	}
	var list []json.RawMessage
	if err := json.Unmarshal(body, &list); err != nil || list == nil {
		text(w, http.StatusBadRequest, jsonError(body, err, '['))
		return nil, false
	}
	ids := make([]*mesos.MachineID, 0, len(list))
	for i, one := range list {
		id := &mesos.MachineID{}
		if err := codec.UnmarshalJSON(one, id); err != nil {
			text(w, http.StatusBadRequest, fmt.Sprintf("Failed to convert JSON array element %d to a machine: %s", i, err))
			return nil, false
		}
		ids = append(ids, id)
	}
	return ids, true
}
