"use strict";
// Drives the master through mesos-framework, a public client of the v1 scheduler API that this
// project did not write, unchanged: it subscribes, launches a task, acknowledges its updates,
// reconciles and kills it, and tears the framework down. Arguments: host and port of the master.
const { Scheduler, Mesos } = require("mesos-framework");
const mesos = Mesos.getMesos();

const scheduler = new Scheduler({
  masterUrl: process.argv[2],
  port: Number(process.argv[3]),
  frameworkName: "mesos-framework",
  logging: { level: "info" },
  restartStates: [],
  tasks: {
    sleeper: {
      priority: 1,
      instances: 1,
      commandInfo: new mesos.CommandInfo(null, null, true, "sleep 1000", null, null),
      resources: { cpus: 0.1, mem: 32, ports: 1, disk: 0 },
    },
  },
});

let reconciled = false;
let killed = false;
let owed = 0; // acknowledgements: one that comes after the framework is refused, as by Mesos
let tearing = false;
const tearDown = () => {
  if (killed && owed === 0 && !tearing) {
    tearing = true;
    scheduler.teardown();
  }
};
scheduler.on("subscribed", (s) => console.log("subscribed as", s.frameworkId));
scheduler.on("update", ({ status }) => {
  console.log("update", status.state, status.reason || "");
  owed += status.uuid ? 1 : 0;
  const task = status.task_id.value;
  if (status.state === "TASK_RUNNING" && !reconciled) {
    reconciled = true;
    scheduler.reconcile(task, status.agent_id.value);
  } else if (status.state === "TASK_RUNNING" && status.reason === "REASON_RECONCILIATION") {
    scheduler.kill(task, status.agent_id.value);
  } else if (status.state === "TASK_KILLED") {
    killed = true;
    tearDown();
  }
});
scheduler.on("sent_acknowledge", () => {
  owed--;
  tearDown();
});
const end = () => {
  console.log("torn down");
  process.exit(0);
};
scheduler.on("sent_teardown", end);
scheduler.on("error", (e) => {
  // TEARDOWN ends the stream too, which the library reports as an error.
  if (tearing && e.message === "Long-running connection was closed!") end();
  console.error("error", e);
  process.exit(1);
});
scheduler.on("ready", () => scheduler.subscribe());
