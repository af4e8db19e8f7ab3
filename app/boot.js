// Starts the page's wasm. Until it has put itself in its place, #boot says what is going on; when it cannot, why.
const status = document.getElementById("boot-status");
try {
  const { default: init } = await import("./page.js");
  await init({ module_or_path: new URL("./page_bg.wasm", import.meta.url) });
  document.getElementById("boot")?.remove();
} catch (error) {
  status.textContent =
    `sonoseg could not start: ${error}. It needs a current Chrome, Edge, Firefox or Safari with WebAssembly.`;
  document.body.dataset.state = "stopped";
  throw error;
}
