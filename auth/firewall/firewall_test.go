package firewall_test

import (
	"net/http/httptest"
	"strings"
	"testing"

	"agora.dev/agora/auth/firewall"
)

// route knows /state and /files/browse, with or without a prefix.
func route(path string) (string, bool) {
	path = strings.TrimPrefix(path, "/master")
	return path, path == "/state" || path == "/files/browse"
}

func TestAnEndpointIsOffInEverySpelling(t *testing.T) {
	rules, err := firewall.Parse([]byte(`{"disabled_endpoints":{"paths":["/master/state"]}}`))
	if err == nil {
		err = rules.Resolve(route)
	}
	if err != nil {
		t.Fatal(err)
	}
	answer := httptest.NewRecorder()
	if !rules.Stops(answer, httptest.NewRequest("GET", "/state", nil), "/state") {
		t.Error("/state was let through")
	}
	if answer.Code != 403 || answer.Body.String() != "Endpoint '/state' is disabled" {
		t.Errorf("%d %s", answer.Code, answer.Body)
	}
	if rules.Stops(httptest.NewRecorder(), httptest.NewRequest("GET", "/files/browse", nil), "/files/browse") {
		t.Error("/files/browse was stopped")
	}
}

func TestWithoutRulesNothingIsOff(t *testing.T) {
	var rules *firewall.Rules
	if err := rules.Resolve(route); err != nil {
		t.Error(err)
	}
	if rules.Stops(httptest.NewRecorder(), httptest.NewRequest("GET", "/state", nil), "/state") {
		t.Error("/state was stopped")
	}
}

func TestARuleThatProtectsNothingIsRefused(t *testing.T) {
	for document, want := range map[string]string{
		`{"disabled_endpoints":{"paths":["/stat"]}}`:                 `paths[0]: there is no endpoint "/stat"`,
		`{"disabled_endpoints":{"paths":["/state","files/browse"]}}`: `paths[1]: "files/browse" does not begin with /`,
		`{"disabled_endpoint":{"paths":["/state"]}}`:                 `unknown field "disabled_endpoint"`,
		`{}`:                                     `there is no "disabled_endpoints"`,
		`{"disabled_endpoints":{"paths":[]}} {}`: "text after the document",
		`{"disabled_endpoints":`:                 "unexpected EOF",
	} {
		rules, err := firewall.Parse([]byte(document))
		if err == nil {
			err = rules.Resolve(route)
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", document, err, want)
		}
	}
}
