package core_test

import (
	"strings"

	"agora.dev/agora/agent/core"
	mesos "agora.dev/agora/api/mesos/v1"
	"agora.dev/agora/resources"
)

// oversubscription plays "estimate RESOURCES" and "preempt FRAMEWORK EXECUTOR CONTAINER WHY…";
// the container is given by the name it was launched under.
func (w *world) oversubscription(words []string) {
	if words[0] == "estimate" {
		parsed, err := resources.Parse(strings.Join(words[1:], ""), "*")
		if err != nil {
			w.t.Fatal(err)
		}
		list := parsed.Proto()
		for _, r := range list {
			r.Revocable = &mesos.Resource_RevocableInfo{}
		}
		w.step(core.Oversubscribable{Resources: list})
		return
	}
	w.step(core.Preempt{
		Executor:  core.ExecutorKey{Framework: core.FrameworkID(words[1]), Executor: core.ExecutorID(words[2])},
		Container: w.ids[words[3]], Why: strings.Join(words[4:], " "),
	})
}
