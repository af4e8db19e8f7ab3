// Times our wasm and ONNX Runtime Web by turns on the parts that work/job.json lists; bench/browser.py serves this
// page and prints what it posts.

import * as ort from "./ort/ort.wasm.min.mjs";
import start, { Network } from "./ours/infer_web.js";

const tell = (message) => fetch("tell", { method: "POST", body: JSON.stringify(message) });
const bytes = async (file) => new Uint8Array(await (await fetch(`work/${file}`)).arrayBuffer());

async function session(part) {
  const options = { executionProviders: ["wasm"], graphOptimizationLevel: "all" };
  const session = await ort.InferenceSession.create(await bytes(part.onnx), options);
  const feeds = {};
  for (const [index, { file, shape }] of part.inputs.entries()) {
    const numbers = new Float32Array((await bytes(file)).buffer);
    feeds[session.inputNames[index]] = new ort.Tensor("float32", numbers, shape);
  }
  const run = async () => (await session.run(feeds))[session.outputNames[0]].data;
  return { run, end: () => session.release() };
}

async function timed(run, repeats) {
  const times = [];
  for (let i = 0; i < repeats; i += 1) {
    const start = performance.now();
    await run();
    times.push(performance.now() - start);
  }
  return times;
}

const difference = (a, b) => {
  if (a.length !== b.length) throw new Error(`outputs of ${a.length} and ${b.length} numbers`);
  return a.reduce((worst, x, index) => Math.max(worst, Math.abs(x - b[index])), 0);
};

async function main() {
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmPaths = new URL("ort/", location.href).href;
  await start();
  const job = await (await fetch("work/job.json")).json();
  for (const network of job.networks) {
    const ours = new Network(network.config, await bytes(network.weights));
    for (const part of network.parts) {
      ours.load(part.name, await bytes(part.tensors));
      const theirs = await session(part);
      const contestants = { ours: () => ours.run(part.name), theirs: theirs.run };
      const expected = new Float32Array((await bytes(part.output)).buffer);
      const result = { network: network.name, part: part.name, ours: [], theirs: [], differences: {} };
      // The first runs also let the engine compile hot functions with its optimising compiler.
      for (const [name, run] of Object.entries(contestants)) {
        result.differences[name] = difference(await run(), expected);
        await timed(run, job.warm_up);
      }
      for (let round = 0; round < part.rounds; round += 1) {
        for (const [name, run] of Object.entries(contestants)) result[name].push(...(await timed(run, part.repeats)));
      }
      await theirs.end();
      await tell({ result });
    }
    ours.free();
  }
  await tell({ done: true, ort: ort.env.versions.web, browser: navigator.userAgent });
}

main().catch((error) => tell({ failed: String(error?.stack ?? error) }));
