// Starts the page's wasm. Until it has put itself in its place, #boot says what is going on; when it cannot, why.
import { counted } from "./counted.js";

const BYTES = 0 /* bytes of page_bg.wasm */;
const status = document.getElementById("boot-status");
const mega = (bytes) => (bytes / 1e6).toFixed(1);
try {
  const { default: init } = await import("./page.js");
  const program = await fetch(new URL("./page_bg.wasm", import.meta.url));
  const told = counted(program, (bytes) => {
    status.textContent = `Loading: ${mega(bytes)} of ${mega(BYTES)} MB`;
  });
  await init({ module_or_path: told });
  document.getElementById("boot")?.remove();
} catch (error) {
  status.textContent =
    `sonoseg could not start: ${error}. It needs a current Chrome, Edge, Firefox or Safari with WebAssembly.`;
  document.body.dataset.state = "stopped";
  throw error;
}

// Without a service worker the app needs the network, and nothing else is different.
const registration = await navigator.serviceWorker?.register("service-worker.js").catch(() => undefined);
if (registration) {
  // The page asks the user; `sonoseg-update` in its one direction says that there is a version, in the other that it is wanted.
  const offer = () => {
    if (registration.waiting && navigator.serviceWorker.controller) {
      dispatchEvent(new Event("sonoseg-update"));
    }
  };
  registration.addEventListener("updatefound", () => registration.installing?.addEventListener("statechange", offer));
  offer();
  addEventListener("sonoseg-take-update", () => {
    navigator.serviceWorker.addEventListener("controllerchange", () => location.reload(), { once: true });
    registration.waiting?.postMessage("update");
  });
}
