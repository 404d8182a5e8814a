package httpapi

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func TestRefusedFormsOfOperationsAreThoseRecorded(t *testing.T) {
	e := newEdge(t)
	for _, pattern := range []string{"errors/master-v0/reserve-*.http", "errors/master-v0/create-volumes-*.http"} {
		for name, want := range golden(t, pattern) {
			status, header, body := e.serve(want.request)
			compare(t, name, want, status, header, body)
		}
	}
}

func TestFormsOfOperationsReachTheAgent(t *testing.T) {
	for path, field := range map[string]string{"/reserve": "resources", "/master/unreserve": "resources",
		"/create-volumes": "volumes", "/master/destroy-volumes": "volumes"} {
		e := newEdge(t)
		r := httptest.NewRequest(http.MethodPost, path, strings.NewReader("slaveId=S0&"+field+
			`=[{"name":"disk","type":"SCALAR","scalar":{"value":1},"role":"web","reservation":{}}]`))
		if status, _, body := e.serve(r); status != http.StatusBadRequest || body != "No agent found with specified ID" {
			t.Errorf("%s: %d %q", path, status, body)
		}
		r = httptest.NewRequest(http.MethodPost, path, strings.NewReader("slaveId=S0&"+field+`=[{"name":7}]`))
		if status, _, body := e.serve(r); status != http.StatusBadRequest || !strings.Contains(body, "Error parsing '"+field+"'") {
			t.Errorf("%s with a bad resource: %d %q", path, status, body)
		}
	}
}
