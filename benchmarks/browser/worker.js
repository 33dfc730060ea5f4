// One round: loads a file anew, runs it, and posts its outputs. A classic worker, as
// LiteRT.js loads its WebAssembly by importScripts.

// Browsers compile WebAssembly quickly first and well later, while it runs: less of a
// warm-up leaves times that are several times too long.
const WARMUP_SECONDS = 1;
const WARMUP_RUNS = 60;
const WARMUP_RUNS_FOR_SECONDS = 5;
// So many of the timer's steps fit into what is timed: an error of one per cent.
const STEPS_PER_TIME = 100;
const NEWS_MS = 200;
const ARRAYS = { float32: Float32Array, int32: Int32Array, uint8: Uint8Array };

let job, token, page, lastNews = 0;

function tell(status, detail, fraction) {
  lastNews = performance.now();
  postMessage({ status: `${status} ${job.file}`, detail, fraction });
}

async function exchange(path, options = {}) {
  const headers = { "X-Token": token, "X-Page": page, "X-Job": job.id };
  const answer = await fetch(path, { ...options, headers });
  if (!answer.ok) throw new Error(`The command refused ${path} (${answer.status})`);
  return answer.arrayBuffer();
}

const fetchInputs = (part) => exchange(`/job/inputs/${part}`);
const postOutputs = (part, body) =>
  exchange(`/job/outputs/${part}`, { method: "POST", body });

// The smallest step that the clock makes.
function timerResolution() {
  const end = performance.now() + 1000;
  let smallest = Infinity;
  for (let steps = 0, last = performance.now(); steps < 20 && last < end; ) {
    const now = performance.now();
    if (now > last) {
      smallest = Math.min(smallest, now - last);
      steps += 1;
    }
    last = now;
  }
  return Number.isFinite(smallest) ? smallest : 1000;
}

async function loadRuntime() {
  const folder = `${self.location.origin}${job.runtime}/wasm/`;
  const threads = job.threads > 1;
  if (threads && !self.crossOriginIsolated) {
    throw new Error(
      "Threads need a secure address: http://localhost (by `adb reverse`) or https. " +
        "Use 1 thread",
    );
  }
  if (job.accelerator === "webgpu" && !navigator.gpu) {
    throw new Error(
      self.isSecureContext
        ? "This browser has no WebGPU. Use the accelerator wasm"
        : "WebGPU needs a secure address: http://localhost (by `adb reverse`) or " +
          "https. Use the accelerator wasm",
    );
  }
  // LiteRT.js takes over this object; a worker doesn't know where its scripts are.
  self.Module = {
    locateFile: (name) => folder + name,
    mainScriptUrlOrBlob: `${folder}litert_wasm_threaded_internal.js`,
    print: () => {},
    printErr: () => {},
  };
  const litert = await import(`${job.runtime}/index.js`);
  // With JSPI, operators that the GPU lacks run in WebAssembly; without it none may.
  const jspi = job.accelerator === "webgpu" && "Suspending" in WebAssembly;
  await litert.loadLiteRt(folder, { threads, jspi });
  if (job.accelerator === "webgpu" && !litert.getWebGpuDevice()) {
    throw new Error("The browser gives no GPU. Use the accelerator wasm");
  }
  return litert;
}

async function loadModel(litert, bytes) {
  const { accelerator } = job;
  const cpuOptions = { numThreads: job.threads };
  const model = await litert.loadAndCompile(bytes, { accelerator, cpuOptions });
  if (model.options.accelerator !== accelerator) {
    throw new Error(
      "This browser's WebGPU lacks some operators of the file, and it has no JSPI to " +
        "run those elsewhere. Use the accelerator wasm",
    );
  }
  return model;
}

async function inputTensor(litert, model, values) {
  const tensor = new litert.Tensor(values, job.input.shape);
  const [details] = model.getInputDetails();
  // A GPU's input is brought there once: bringing it is no part of running the file.
  return details.supportedBufferTypes.has(tensor.getBufferType())
    ? tensor
    : tensor.moveTo([...details.supportedBufferTypes][0]);
}

// A GPU's run returns at once; only when its output is read has it been made.
async function run(model, tensor) {
  const outputs = await model.run([tensor]);
  const values = job.accelerator === "webgpu" ? await outputs[0].data() : null;
  outputs.forEach((output) => output.delete());
  return values;
}

async function answer(model, tensor) {
  const [output, ...others] = await model.run([tensor]);
  const values = await output.data();
  [output, ...others].forEach((each) => each.delete());
  if (values.byteLength !== job.output_bytes) {
    throw new Error(`The output has ${values.byteLength} bytes, not ${job.output_bytes}`);
  }
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

async function timedRuns(each, batch, maxSeconds, goesOn, news) {
  const times = [];
  const begin = performance.now();
  for (let seconds = 0; goesOn(times.length, seconds); ) {
    const start = performance.now();
    for (let i = 0; i < batch; i += 1) await each();
    const end = performance.now();
    times.push((end - start) / batch);
    seconds = (end - begin) / 1000;
    if (end - lastNews > NEWS_MS) news(times.length, seconds);
    if (seconds > maxSeconds) break;
  }
  return { times, seconds: (performance.now() - begin) / 1000 };
}

async function measure(litert, model, init, resolution) {
  const asked = job.request;
  const values = new ARRAYS[job.input.dtype](await fetchInputs(0));
  const tensor = await inputTensor(litert, model, values);
  const each = () => run(model, tensor);
  const limit = asked.max_seconds;

  const first = await timedRuns(each, 1, 0, (runs) => runs < 1, () => {});
  const warmup = await timedRuns(
    each, 1, limit,
    (runs, seconds) =>
      runs < asked.warmup_runs || seconds < asked.warmup_seconds ||
      seconds < WARMUP_SECONDS ||
      (runs < WARMUP_RUNS && seconds < WARMUP_RUNS_FOR_SECONDS),
    (runs, seconds) => {
      const share = Math.min(runs / WARMUP_RUNS, seconds / WARMUP_SECONDS, 1);
      tell("Warming up", `${runs} runs`, 0.1 + 0.2 * share);
    },
  );
  const mean = (warmup.seconds * 1000) / Math.max(1, warmup.times.length);
  const batch = Math.max(1, Math.ceil((STEPS_PER_TIME * resolution) / mean));
  const timed = await timedRuns(
    each, batch, limit,
    (times, seconds) => times < asked.min_runs || seconds < asked.min_seconds,
    (times, seconds) => {
      const share = Math.min(times / asked.min_runs, seconds / (asked.min_seconds || 1));
      const rate = (seconds * 1000) / (times * batch);
      const detail = `${times * batch} runs, ${rate.toPrecision(3)} ms each`;
      tell("Measuring", detail, 0.3 + 0.7 * Math.min(1, share));
    },
  );
  await postOutputs(0, await answer(model, tensor));
  return {
    times: {
      // What the clock can't tell from nothing has taken at most one of its steps.
      init_ms: Math.max(init, resolution),
      first_ms: Math.max(first.times[0], resolution),
      warmup_ms: warmup.times,
      latency_ms: timed.times,
    },
    device: { timer_resolution_ms: resolution, runs_per_time: batch },
  };
}

async function answers(litert, model) {
  const size = job.input.shape.reduce((product, length) => product * length, 1);
  for (let done = 0, part = 0; done < job.rows; part += 1) {
    const inputs = new ARRAYS[job.input.dtype](await fetchInputs(part));
    const rows = inputs.length / size;
    const found = new Uint8Array(rows * job.output_bytes);
    for (let row = 0; row < rows; row += 1) {
      const values = inputs.subarray(row * size, (row + 1) * size);
      const tensor = await inputTensor(litert, model, values);
      found.set(await answer(model, tensor), row * job.output_bytes);
      tensor.delete();
      if (performance.now() - lastNews > NEWS_MS) {
        const count = `${done + row + 1} of ${job.rows} images`;
        tell("Answering with", count, (done + row + 1) / job.rows);
      }
    }
    await postOutputs(part, found);
    done += rows;
  }
  return { times: {}, device: {} };
}

function gpuFacts(litert) {
  const info = litert.getWebGpuDevice()?.adapterInfo;
  if (!info) return null;
  const { vendor, architecture, device, description } = info;
  return { vendor, architecture, device, description };
}

async function perform() {
  tell("Loading", "The runtime, LiteRT.js", 0.02);
  const litert = await loadRuntime();
  tell("Loading", "The file", 0.06);
  const bytes = new Uint8Array(await exchange(`/job/model/${job.sha256}`));
  const resolution = timerResolution();
  const start = performance.now();
  const model = await loadModel(litert, bytes);
  const init = performance.now() - start;
  const outcome =
    job.kind === "measure"
      ? await measure(litert, model, init, resolution)
      : await answers(litert, model);
  const runtime = {
    accelerator: job.accelerator,
    fully_accelerated: model.isFullyAccelerated,
  };
  const gpu = job.accelerator === "webgpu" ? gpuFacts(litert) : null;
  return { ...outcome, runtime, device: { ...outcome.device, gpu } };
}

self.onmessage = async ({ data }) => {
  ({ job, token, page } = data);
  try {
    postMessage(await perform());
  } catch (error) {
    const text = error instanceof Error ? error.message || error.name : String(error);
    postMessage({ error: text.split("\n")[0] });
  }
};
