package core

import (
	"strconv"
	"strings"

	"agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/api/mesos/v1/quota"
)

// parseSetting reads "weights ROLE=WEIGHT...", "quota [force] ROLE [g=NAME:AMOUNT;...] [l=NAME:AMOUNT;...]...",
// "set-quota ROLE RESOURCES [force]", "remove-quota ROLE [PATH]"; nil for other calls.
func parseSetting(words []string) OperatorCommand {
	switch words[0] {
	case "weights":
		call := UpdateWeights{}
		for _, word := range words[1:] {
			role, text, _ := strings.Cut(word, "=")
			weight, _ := strconv.ParseFloat(text, 64)
			call.Weights = append(call.Weights, &mesos.WeightInfo{Role: &role, Weight: &weight})
		}
		return call
	case "quota":
		call := UpdateQuota{}
		if words[1] == "force" {
			call.Force, words = true, words[1:]
		}
		for from := 1; from < len(words); {
			to := from + 1
			for to < len(words) && strings.Contains(words[to], "=") {
				to++
			}
			call.Configs = append(call.Configs, parseQuota(words[from:to]))
			from = to
		}
		return call
	case "set-quota":
		return SetQuota{Request: &quota.QuotaRequest{Role: &words[1], Guarantee: parseResources(words[2], ""), Force: ptr(len(words) > 3)}}
	case "remove-quota":
		return RemoveQuota{Role: words[1], Path: strings.Join(words[2:], "")}
	}
	return nil
}

// parseQuota reads a role, g=guarantees and l=limits.
func parseQuota(words []string) *quota.QuotaConfig {
	config := &quota.QuotaConfig{Role: &words[0]}
	for _, word := range words[1:] {
		kind, text, _ := strings.Cut(word, "=")
		amounts := map[string]*mesos.Value_Scalar{}
		for _, r := range parseResources(text, "") {
			amounts[r.GetName()] = r.Scalar
		}
		if kind == "g" {
			config.Guarantees = amounts
		} else {
			config.Limits = amounts
		}
	}
	return config
}
