package httpapi

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestRowsAreWrittenAsListsAre(t *testing.T) {
	row := func(n int) any { return whole{"n": n, "text": "<a & b>"} }
	nested := func(n int) any { return map[string]any{"rows": rowsOf([]int{n, n + 1}, row)} }
	document := map[string]any{"none": rowsOf(nil, row), "some": rowsOf([]int{1, 5}, nested), "empty": map[string]any{}, "z": number(1)}
	want, err := json.Marshal(map[string]any{"none": []any{}, "empty": map[string]any{}, "z": number(1), "some": []any{
		map[string]any{"rows": []any{row(1), row(2)}}, map[string]any{"rows": []any{row(5), row(6)}}}})
	if err != nil {
		t.Fatal(err)
	}
	for query, body := range map[string]string{"": string(want), "?jsonp=call": "/**/call(" + string(want) + ");"} {
		got := httptest.NewRecorder()
		writeRows(got, httptest.NewRequest(http.MethodGet, "/state"+query, nil), document)
		if got.Body.String() != body {
			t.Errorf("%q: %s\nwant %s", query, got.Body, body)
		}
	}
}

// TestAnAnswerThatIsCutOffIsNotWhole: the connection ends, so that a reader does not take half of a document for all of it.
func TestAnAnswerThatIsCutOffIsNotWhole(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeRows(w, r, map[string]any{"rows": rowsOf([]float64{1, math.NaN()}, func(v float64) any { return v })})
	}))
	defer server.Close()
	response, err := http.Get(server.URL)
	if err == nil {
		defer response.Body.Close()
		var document any
		err = json.NewDecoder(response.Body).Decode(&document)
	}
	if err == nil {
		t.Error("half of a document was read without an error")
	}
}
