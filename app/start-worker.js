// Runs in the worker before its wasm. It watches the GPU device, which wasm cannot do from inside, and tells the page
// about trouble in a form that needs no wasm: { trouble: "device" | "crash" | "start", reason, request }, where the request
// is what the wasm was working on (it keeps the number in self.request); and how much of the wasm is loaded: { loaded, of }.
const tell = (trouble, reason) => self.postMessage({ trouble, reason: String(reason), request: self.request });
const devices = [];

if (self.GPUAdapter) {
  const requestDevice = GPUAdapter.prototype.requestDevice;
  GPUAdapter.prototype.requestDevice = async function (descriptor) {
    const device = await requestDevice.call(this, descriptor);
    devices.push(device);
    device.lost.then((info) => tell("device", info.message || info.reason));
    device.addEventListener("uncapturederror", (event) => tell("device", event.error.message));
    return device;
  };
}

// Firefox looks every 100 ms whether a read from the GPU is done, and whenever something is submitted: while one is awaited,
// nothing is submitted again and again.
if (self.GPUBuffer && navigator.userAgent.includes("Firefox")) {
  const mapAsync = GPUBuffer.prototype.mapAsync;
  GPUBuffer.prototype.mapAsync = async function (...range) {
    const nudge = setInterval(() => devices.forEach((device) => device.queue.submit([])), 2);
    try {
      return await mapAsync.apply(this, range);
    } finally {
      clearInterval(nudge);
    }
  };
}

// For the tests of device loss: the page asks for it with ?lose=N.
self.addEventListener("message", (event) => {
  if (event.data && event.data.lose) devices.forEach((device) => device.destroy());
});
self.addEventListener("error", (event) => tell("crash", event.message));
self.addEventListener("unhandledrejection", (event) => tell("crash", event.reason));

const given = new Promise((resolve) => {
  self.addEventListener("message", ({ data }) => data?.program && resolve(data.program));
});
const load = async (counted) => {
  const response = await fetch(new URL("./worker_bg.wasm", import.meta.url));
  return WebAssembly.compileStreaming(counted(response, (bytes) => self.postMessage({ loaded: bytes, of: BYTES })));
};
const BYTES = 0 /* bytes of worker_bg.wasm */;
try {
  const { default: init } = await import("./worker.js");
  const { counted } = await import("./counted.js");
  // A helper of the worker is given what the worker has loaded. Both are kept for the wasm, which starts helpers.
  self.home = import.meta.url;
  self.program = await (self.name === "helper" ? given : load(counted));
  await init({ module_or_path: self.program });
} catch (error) {
  tell("start", error);
}
