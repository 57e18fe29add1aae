/**
 * What a server takes in while somebody sends it more than it wants: bodies without end to every route that reads
 * one, and requests that are no HTTP. It refuses, its memory stays what it was, and it goes on serving.
 */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { createConnection } from "node:net";
import { killCluster, workDirectory } from "../embedded/support/clusters.ts";
import { createWorld, type World } from "../support/api/world.ts";
import { type RunningServer, serveExecutable } from "../support/executable.ts";
import { callerOf, conversationWorks, residentBytes } from "./support/fuzzed-server.ts";

const work = workDirectory();
const cwd = work.fresh("empty");
const dataDir = work.fresh("data");
let server: RunningServer;
let world: World<ReturnType<typeof callerOf>>;

beforeAll(async () => {
  server = await serveExecutable(["--data-dir", dataDir], { cwd });
  world = await createWorld(callerOf(server.url));
});
afterAll(async () => {
  await server.kill();
  killCluster(dataDir);
  work.remove();
});

const MIB = 1024 * 1024;
const ROUNDS = 4;
/** A round sends more than a gigabyte. */
const GROWTH_MIB_MAX = 50;

/** Sends every route that reads a body one that does not end. @returns what was not refused as it should be */
async function sendWithoutEnd(): Promise<{ routes: number; sentBytes: number; wrong: string[] }> {
  const chunk = new Uint8Array(MIB).fill(0x20);
  let sentBytes = 0;
  const wrong: string[] = [];
  const readers = world.operations.filter(({ bodies }) => Object.keys(bodies).length > 0);
  for (const operation of readers) {
    const type = Object.keys(operation.bodies)[0] ?? "";
    const body = new ReadableStream({
      pull(controller) {
        sentBytes += chunk.byteLength;
        controller.enqueue(chunk);
      },
    });
    const response = await fetch(`${server.url}/v1${world.pathOf(operation)}`, {
      method: operation.method,
      headers: { "content-type": type.startsWith("multipart/") ? `${type}; boundary=x` : type },
      body,
    });
    const { code } = (await response.json()) as { code: string };
    if (response.status !== 413 || code !== "payload_too_large") wrong.push(`${operation.name}: ${code}`);
  }
  return { routes: readers.length, sentBytes, wrong };
}

test("bodies without end are refused by every route that reads one, and memory stays flat", async () => {
  const grown: number[] = [];
  let sentBytes = 0;
  for (let round = 0; round < ROUNDS; round += 1) {
    const before = residentBytes(server.pid);
    const sent = await sendWithoutEnd();
    expect(sent.wrong).toEqual([]);
    expect(sent.routes).toBeGreaterThan(50);
    sentBytes += sent.sentBytes;
    grown.push(Math.round((residentBytes(server.pid) - before) / MIB));
  }
  console.log(
    `bodies without end: ${Math.round(sentBytes / MIB)} MiB sent, memory grew by ${grown.join(", ")} MiB in each round`,
  );
  // The first round takes what the largest body needs; after it nothing more is kept.
  expect(Math.min(...grown.slice(1))).toBeLessThan(GROWTH_MIB_MAX);
}, 120_000);

/** Sends bytes as they are. @returns the first line of the answer; "" when the connection was closed without one */
function sendRaw(bytes: string | Uint8Array): Promise<string> {
  const { hostname, port } = new URL(server.url);
  return new Promise((resolve) => {
    let answer = "";
    const socket = createConnection(Number(port), hostname, () => socket.end(bytes));
    socket.on("data", (piece) => {
      answer += piece;
    });
    socket.on("error", () => {});
    socket.on("close", () => resolve(answer.split("\r\n")[0] ?? ""));
  });
}

const request = (head: string, body = "") => `${head}\r\nHost: localhost\r\nConnection: close\r\n\r\n${body}`;

test("what is no HTTP, or lies about its length, is refused or closed", async () => {
  const cases: [what: string, bytes: string | Uint8Array, answer: RegExp][] = [
    ["noise", new Uint8Array(10_000).map((_zero, index) => (index * 7) % 256), /^$|^HTTP\/1.1 4\d\d/],
    ["an empty line", "\r\n\r\n", /^$|^HTTP\/1.1 4\d\d/],
    ["a method that is none", request("B@D / HTTP/1.1"), /^$|^HTTP\/1.1 4\d\d/],
    ["a version that is none", request("GET /health HTTP/9.9"), /^$|^HTTP\/1.1 [45]\d\d/],
    ["a path without a slash", request("GET health HTTP/1.1"), /^$|^HTTP\/1.1 4\d\d/],
    [
      "the address of another server",
      request("GET http://evil.example/health HTTP/1.1"),
      /^$|^HTTP\/1.1 [234]\d\d/,
    ],
    ["no host", "GET /v1/agents HTTP/1.1\r\nConnection: close\r\n\r\n", /^$|^HTTP\/1.1 4\d\d/],
    [
      "a header of a megabyte",
      request(`GET /health HTTP/1.1\r\nx: ${"y".repeat(MIB)}`),
      /^$|^HTTP\/1.1 4\d\d/,
    ],
    [
      "ten thousand headers",
      request(
        `GET /health HTTP/1.1\r\n${Array.from({ length: 10_000 }, (_none, index) => `x${index}: y`).join("\r\n")}`,
      ),
      /^$|^HTTP\/1.1 4\d\d/,
    ],
    ["a path of a megabyte", request(`GET /${"a/".repeat(MIB / 2)} HTTP/1.1`), /^$|^HTTP\/1.1 4\d\d/],
    [
      "a length that is none",
      request("POST /v1/agents HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: -5", "{}"),
      /^$|^HTTP\/1.1 4\d\d/,
    ],
    [
      "two lengths",
      request(
        "POST /v1/agents HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nContent-Length: 40",
        "{}",
      ),
      /^$|^HTTP\/1.1 4\d\d/,
    ],
    [
      "a length and chunks",
      request(
        "POST /v1/agents HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nTransfer-Encoding: chunked",
        "0\r\n\r\nGET /v1/sessions HTTP/1.1\r\nHost: localhost\r\n\r\n",
      ),
      /^$|^HTTP\/1.1 4\d\d/,
    ],
    [
      "a chunk without a size",
      request(
        "POST /v1/agents HTTP/1.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked",
        "zz\r\n{}\r\n0\r\n\r\n",
      ),
      /^$|^HTTP\/1.1 4\d\d/,
    ],
    [
      "less than was promised",
      request("POST /v1/agents HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 1000", "{"),
      /^$|^HTTP\/1.1 4\d\d/,
    ],
  ];
  for (const [what, bytes, answer] of cases)
    expect([what, await sendRaw(bytes)]).toEqual([what, expect.stringMatching(answer)]);
}, 60_000);

test("clients that go away in the middle cost nothing", async () => {
  const { hostname, port } = new URL(server.url);
  for (let round = 0; round < 200; round += 1) {
    await new Promise<void>((resolve) => {
      const socket = createConnection(Number(port), hostname, () => {
        const head = "POST /v1/agents HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n";
        socket.write(`${head}Content-Length: 100000\r\n\r\n{"name":`, () => socket.resetAndDestroy());
      });
      socket.on("error", () => {});
      socket.on("close", () => resolve());
    });
  }
  expect(await conversationWorks(server.url)).toBe("Still here.");
});
