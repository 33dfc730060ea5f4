// Asks the command for work, shows how it goes, and says that the page is still there.
// The work itself is done by worker.js, in a fresh worker for every round.

const TOKEN = location.hash.slice(1);
const PAGE = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
  byte.toString(16).padStart(2, "0"),
).join("");
const HEARTBEAT_MS = 1000;
const FAILURES_UNTIL_LOST = 3;

const element = (id) => document.getElementById(id);
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const ms = (value) => (value < 1000 ? value.toPrecision(3) : value.toFixed(0));
const timesOfFiles = new Map();
let hidden = false;

function show(status, detail, fraction, failed = false) {
  element("status").textContent = status;
  element("detail").textContent = detail;
  if (fraction !== undefined) element("bar").value = fraction;
  element("job").classList.toggle("failed", failed);
}

function request(path, options = {}) {
  const headers = { "X-Token": TOKEN, "X-Page": PAGE, ...options.headers };
  return fetch(path, { ...options, headers, cache: "no-store" });
}

function post(path, job, value, options = {}) {
  const headers = { "X-Job": job.id, "Content-Type": "application/json" };
  const body = JSON.stringify(value);
  return request(path, { method: "POST", headers, body, ...options });
}

async function battery() {
  if (!navigator.getBattery) return null;
  const state = await navigator.getBattery();
  const level_percent = Math.round(state.level * 100);
  return { level_percent, temperature_c: null, plugged: state.charging };
}

async function deviceFacts() {
  const asked = ["architecture", "model", "platformVersion"];
  const hints = (await navigator.userAgentData?.getHighEntropyValues(asked)) ?? {};
  const system = hints.platform || navigator.platform || null;
  return {
    machine: hints.architecture || navigator.platform || null,
    cores: navigator.hardwareConcurrency || 1,
    os: [system, hints.platformVersion].filter(Boolean).join(" ") || null,
    product: hints.model || null,
    browser: navigator.userAgent,
    cross_origin_isolated: self.crossOriginIsolated === true,
    secure_context: self.isSecureContext,
  };
}

async function showFacts(facts) {
  const gpu = await navigator.gpu?.requestAdapter().catch(() => null);
  const shown = {
    Browser: facts.browser,
    System: [facts.os, facts.product].filter(Boolean).join(", ") || "unknown",
    Cores: facts.cores,
    Threads: facts.cross_origin_isolated ? "available" : "one: the address is not secure",
    WebGPU: gpu ? "available" : "not available here",
  };
  for (const [name, value] of Object.entries(shown)) {
    element("facts").append(
      Object.assign(document.createElement("dt"), { textContent: name }),
      Object.assign(document.createElement("dd"), { textContent: value }),
    );
  }
}

function percentile(sorted, share) {
  const place = (sorted.length - 1) * share;
  const below = sorted[Math.floor(place)];
  return below + (sorted[Math.ceil(place)] - below) * (place % 1);
}

function showTimes(job, times) {
  const before = timesOfFiles.get(job.sha256) ?? { all: [], first: [], init: [] };
  before.all.push(...times.latency_ms);
  before.first.push(times.first_ms);
  before.init.push(times.init_ms);
  timesOfFiles.set(job.sha256, before);
  const sorted = (values) => Float64Array.from(values).sort();
  const all = sorted(before.all);
  const cells = {
    file: job.file,
    median: ms(percentile(all, 0.5)),
    p90: ms(percentile(all, 0.9)),
    min: ms(all[0]),
    first: ms(percentile(sorted(before.first), 0.5)),
    init: ms(percentile(sorted(before.init), 0.5)),
    samples: String(all.length),
  };
  const row = document.createElement("tr");
  row.id = `file-${job.sha256}`;
  for (const [name, textContent] of Object.entries(cells)) {
    const cell = Object.assign(document.createElement("td"), { textContent });
    cell.dataset.name = name;
    row.append(cell);
  }
  element(row.id)?.replaceWith(row);
  if (!row.isConnected) element("results").append(row);
  element("measured").hidden = false;
}

// Ends when the worker has ended, or the command doesn't want its result any more.
function performed(job) {
  return new Promise((resolve) => {
    const worker = new Worker("/worker.js");
    let last = 0;
    const end = (outcome) => {
      clearInterval(timer);
      worker.terminate();
      resolve(outcome);
    };
    const beat = async () => {
      last = performance.now();
      const answer = await post("/job/alive", job, {}).catch(() => null);
      if (answer?.status === 410) end({ dropped: true });
    };
    // By the clock, and by the worker's news too: the clock of a hidden page is slow.
    const timer = setInterval(beat, HEARTBEAT_MS);
    beat();
    worker.onmessage = ({ data }) => {
      if (data.times || data.error !== undefined) return end(data);
      show(data.status, data.detail, data.fraction);
      if (performance.now() - last > HEARTBEAT_MS) beat();
    };
    worker.onerror = (event) => end({ error: event.message || "The worker failed" });
    worker.postMessage({ job, token: TOKEN, page: PAGE });
  });
}

async function work(job, facts) {
  document.title = `${job.file} · keras_effnet`;
  show(`Loading ${job.file}`, "", 0);
  hidden = document.hidden;
  const before = await battery();
  const outcome = await performed(job);
  if (outcome.dropped) return;
  if (outcome.error !== undefined) {
    show(`${job.file} failed`, outcome.error, 1, true);
    await post("/job/failed", job, { error: outcome.error });
    return;
  }
  const charge = before && { before, after: await battery() };
  const device = { ...facts, ...outcome.device, battery: charge, was_hidden: hidden };
  const { runtime, times } = outcome;
  await post("/job/done", job, { device, runtime, times });
  if (job.kind === "measure") showTimes(job, times);
  show("Waiting for the next round", `${job.file} is done.`, 1);
}

async function stayAwake() {
  try {
    await navigator.wakeLock?.request("screen");
  } catch {
    // A browser may refuse, with an almost empty battery for one.
  }
}

async function main() {
  if (!TOKEN) {
    const whole = "Its end, from # on, lets this page in.";
    show("Open the whole address that the command shows", whole, 0, true);
    return;
  }
  const facts = await deviceFacts();
  await showFacts(facts);
  stayAwake();
  addEventListener("visibilitychange", () => {
    hidden ||= document.hidden;
    if (!document.hidden) stayAwake();
  });
  addEventListener("pagehide", () => {
    request("/leave", { method: "POST", body: "", keepalive: true });
  });
  show("Waiting for the command", "Connected.", 0);
  for (let failures = 0; ; ) {
    try {
      const answer = await request("/job");
      failures = 0;
      if (answer.status === 200) {
        const job = await answer.json();
        if (job.kind === "end") return show("Finished", "You can close this page.", 1);
        await work(job, facts);
      } else if (answer.status === 409) {
        show("Another page is connected", "Close that one first.", 0, true);
        await pause(HEARTBEAT_MS);
      } else if (answer.status === 403) {
        const again = "Open the address that the command shows now.";
        return show("This address is of an earlier command", again, 0, true);
      }
    } catch {
      failures += 1;
      if (failures >= FAILURES_UNTIL_LOST) {
        const why = "It has ended, or the network is gone. Load the page again then.";
        return show("The command can’t be reached", why, undefined, true);
      }
      await pause(HEARTBEAT_MS);
    }
  }
}

main();
