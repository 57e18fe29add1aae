/** A server that does nothing but hand what is posted to it to every open stream: what fan-out costs at least. */
const streams = new Set<ReadableStreamDefaultController<Uint8Array>>();
const encoder = new TextEncoder();

const server = Bun.serve({
  hostname: "127.0.0.1",
  port: 0,
  idleTimeout: 0,
  async fetch(request) {
    if (request.method === "POST") {
      const bytes = encoder.encode(await request.text());
      for (const stream of streams) stream.enqueue(bytes);
      return new Response(null, { status: 204 });
    }
    let own: ReadableStreamDefaultController<Uint8Array> | null = null;
    const body = new ReadableStream<Uint8Array>({
      start(controller) {
        own = controller;
        streams.add(controller);
        controller.enqueue(encoder.encode('event: connected\ndata: {"status":"connected"}\n\n'));
      },
      cancel() {
        if (own) streams.delete(own);
      },
    });
    return new Response(body, { headers: { "content-type": "text/event-stream" } });
  },
});
console.log(`listens on ${server.port}`);
