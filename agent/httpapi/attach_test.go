package httpapi

import (
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"agora.dev/agora/api/codec"
	"agora.dev/agora/auth/guard"
)

// typist is a client that types as soon as it is told that it is attached.
type typist struct {
	*httptest.ResponseRecorder
	attached func()
}

// WriteHeader implements http.ResponseWriter.
func (c typist) WriteHeader(status int) {
	c.ResponseRecorder.WriteHeader(status)
	c.attached()
}

// TestAnAttachedClientMissesNothingFromTheStart: what a task answers to the first thing that is typed is shown, and
// so is the last that it writes.
func TestAnAttachedClientMissesNothingFromTheStart(t *testing.T) {
	e := newEdge(t, nil, guard.Access{})
	sandbox := e.Backend.(*backend).snapshot.Frameworks[0].Executors[0].Sandbox
	r := httptest.NewRequest(http.MethodPost, "/api/v1", strings.NewReader(
		`{"type": "ATTACH_CONTAINER_OUTPUT", "attach_container_output": {"container_id": {"value": "c-web"}}}`))
	r.Header.Set("Content-Type", string(codec.JSON))
	r.Header.Set("Accept", string(codec.RecordIO))
	r.Header.Set("Message-Accept", string(codec.Protobuf))
	w := typist{httptest.NewRecorder(), func() {
		f, err := os.OpenFile(filepath.Join(sandbox, "stdout"), os.O_WRONLY|os.O_APPEND, 0)
		if err == nil {
			_, err = f.WriteString("the first and last line")
			f.Close()
		}
		if err != nil {
			t.Error(err)
		}
		e.fake.Finish("c-web", 0)
	}}
	e.ServeHTTP(w, r)
	if body := w.Body.String(); w.Code != http.StatusOK || !strings.Contains(body, "the first and last line") || strings.Contains(body, "wrote this") {
		t.Errorf("%d %q", w.Code, body)
	}
}
