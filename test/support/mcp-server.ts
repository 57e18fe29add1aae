/** An MCP server on a port of this machine, made with the official package; every request is kept. */
import { McpServer } from "@modelcontextprotocol/sdk/server/mcp.js";
import { WebStandardStreamableHTTPServerTransport } from "@modelcontextprotocol/sdk/server/webStandardStreamableHttp.js";
import { z } from "zod";

export interface TestMcpServer {
  url: string;
  /** Method and headers of each request. */
  seen: { method: string; headers: Headers; body: string }[];
  stop(): Promise<void>;
}

export function startMcpServer(): TestMcpServer {
  const seen: TestMcpServer["seen"] = [];
  const server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      seen.push({ method: request.method, headers: request.headers, body: await request.clone().text() });
      if (new URL(request.url).pathname === "/moved")
        return Response.redirect("http://169.254.169.254/", 307);
      // One a request, as the protocol wants it of servers without sessions.
      const transport = new WebStandardStreamableHTTPServerTransport({});
      await makeServer().connect(transport as never);
      return transport.handleRequest(request);
    },
  });
  return { url: `http://127.0.0.1:${server.port}/mcp`, seen, stop: () => server.stop(true) };
}

function makeServer(): McpServer {
  const server = new McpServer({ name: "test", version: "1" });
  const add = { description: "Adds two numbers.", inputSchema: { a: z.number(), b: z.number() } };
  server.registerTool("add", add, async ({ a, b }) => ({ content: [{ type: "text", text: String(a + b) }] }));
  server.registerTool("fail", { description: "Fails." }, async () => ({
    content: [{ type: "text", text: "It broke." }],
    isError: true,
  }));
  server.registerTool("look", {}, async ({ requestInfo }) => ({
    content: [
      { type: "text", text: `You sent ${JSON.stringify(requestInfo?.headers)}` },
      { type: "image", data: "AAAA", mimeType: "image/png" },
    ],
  }));
  return server;
}
