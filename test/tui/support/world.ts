/** A platform for what is played in a real terminal: API, worker, and a server that can go away and come back. */
import { type TestApp, testApp } from "../../support/app.ts";
import { startEngine, type TestEngine } from "../../support/engine.ts";
import { type LiveServer, startServer } from "../../support/live.ts";

export interface World {
  app: TestApp;
  engine: TestEngine;
  url: string;
  stopServer(): Promise<void>;
  /** At the same address. */
  startServer(): Promise<void>;
  close(): Promise<void>;
}

export async function startWorld(options: Parameters<typeof startEngine>[1] = {}): Promise<World> {
  const app = await testApp();
  const engine = await startEngine(app.db, { heartbeatMs: 200, drainMs: 50, ...options });
  let server: LiveServer = await startServer(app.db);
  const { url } = server;
  return {
    app,
    engine,
    url,
    stopServer: () => server.stop(),
    async startServer() {
      server = await startServer(app.db, { port: Number(new URL(url).port) });
    },
    async close() {
      await server.stop();
      await engine.stop();
      await app.close();
    },
  };
}
