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

// For the tests of device loss: the page asks for it with ?lose=N.
self.addEventListener("message", (event) => {
  if (event.data && event.data.lose) devices.forEach((device) => device.destroy());
});
self.addEventListener("error", (event) => tell("crash", event.message));
self.addEventListener("unhandledrejection", (event) => tell("crash", event.reason));

const BYTES = 0 /* bytes of worker_bg.wasm */;
try {
  const { default: init } = await import("./worker.js");
  const { counted } = await import("./counted.js");
  const program = await fetch(new URL("./worker_bg.wasm", import.meta.url));
  await init({ module_or_path: counted(program, (bytes) => self.postMessage({ loaded: bytes, of: BYTES })) });
} catch (error) {
  tell("start", error);
}
