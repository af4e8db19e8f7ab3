// A response whose bytes are counted while they come in: `tell` hears how many there are.
export function counted(response, tell) {
  if (!response.ok) throw new Error(`${response.url}: status ${response.status}`);
  let bytes = 0;
  const count = new TransformStream({
    transform(chunk, out) {
      bytes += chunk.byteLength;
      tell(bytes);
      out.enqueue(chunk);
    },
  });
  return new Response(response.body.pipeThrough(count), { headers: { "content-type": "application/wasm" } });
}
