// Keeps the whole app in the browser, so that it opens without a network. Files are known by the hash of their content: a new
// version takes over what did not change, is checked before it is kept, and waits until the page asks for it.
const FILES = {}; // path: SHA-256, written by `cargo xtask pack`
const CACHE = "sonoseg";
const address = (path) => new URL(path, self.registration.scope).href;
const key = (path) => `${address(path)}?${FILES[path]}`;

self.addEventListener("install", (event) => event.waitUntil(Promise.all(Object.keys(FILES).map(keep))));
self.addEventListener("activate", (event) => event.waitUntil(forget().then(() => self.clients.claim())));
self.addEventListener("message", (event) => {
  if (event.data === "update") self.skipWaiting();
});
self.addEventListener("fetch", (event) => {
  const asked = new URL(event.request.url);
  const path = (asked.origin + asked.pathname).replace(self.registration.scope, "") || "index.html";
  if (event.request.method === "GET" && path in FILES) event.respondWith(answer(path));
});

async function answer(path) {
  const kept = await (await caches.open(CACHE)).match(key(path));
  return kept ?? fetch(address(path));
}

async function keep(path) {
  const cache = await caches.open(CACHE);
  if (await cache.match(key(path))) return;
  // The page has just loaded it; where a copy is of another version, it is loaded again.
  for (const mode of ["force-cache", "reload"]) {
    const response = await fetch(address(path), { cache: mode });
    const bytes = await response.clone().arrayBuffer();
    if (response.ok && (await hash(bytes)) === FILES[path]) return cache.put(key(path), response);
  }
  throw new Error(`${path} is of another version`);
}

async function hash(bytes) {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", bytes));
  return Array.from(digest, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

// What only older versions had.
async function forget() {
  const cache = await caches.open(CACHE);
  const current = new Set(Object.keys(FILES).map(key));
  const old = (await cache.keys()).filter((request) => !current.has(request.url));
  await Promise.all(old.map((request) => cache.delete(request)));
}
