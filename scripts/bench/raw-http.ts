/**
 * HTTP that costs the client next to nothing: a stream that hands out text as it comes, and posts on a connection
 * that stays open. Load and server share the machine; what the client burns, the server does not have.
 */

export interface RawStream {
  close(): void;
}

/** Opens a stream; resolves when the server has greeted it. Every chunk, with its framing, goes to `onText`. */
export async function openRawStream(
  port: number,
  path: string,
  onText: (text: string) => void,
): Promise<RawStream> {
  const greeted = Promise.withResolvers<void>();
  const decoder = new TextDecoder();
  let head: string | null = "";
  let isClosed = false;
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      open: (opened) =>
        void opened.write(
          `GET ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\naccept: text/event-stream\r\n\r\n`,
        ),
      data(_, bytes) {
        const text = decoder.decode(bytes, { stream: true });
        if (head === null) return onText(text);
        head += text;
        const at = head.indexOf("event: connected");
        if (at >= 0) {
          const rest = head.slice(at + 16);
          head = null;
          greeted.resolve();
          onText(rest);
        } else if (/^HTTP\/1\.1 (?!200)/.test(head)) greeted.reject(new Error(head.slice(0, 500)));
      },
      close() {
        greeted.reject(new Error(`the stream ${path} was closed before it began`));
        if (!isClosed && head === null) onText("\nstream-closed\n");
      },
      error: (_, error) => greeted.reject(error),
    },
  });
  await greeted.promise;
  return {
    close() {
      isClosed = true;
      socket.end();
    },
  };
}

export interface RawPoster {
  /** @returns the status */
  post(path: string, json: string): Promise<number>;
  close(): void;
}

export async function openRawPoster(port: number): Promise<RawPoster> {
  let waiting: PromiseWithResolvers<number> | null = null;
  let answer = "";
  const socket = await Bun.connect({
    hostname: "127.0.0.1",
    port,
    socket: {
      data(_, bytes) {
        answer += bytes.toString("latin1");
        const bodyAt = answer.indexOf("\r\n\r\n");
        if (bodyAt < 0) return;
        const length = Number(/^content-length: (\d+)/im.exec(answer.slice(0, bodyAt))?.[1] ?? -1);
        if (length < 0) waiting?.reject(new Error(`an answer without a length:\n${answer}`));
        if (answer.length < bodyAt + 4 + length) return;
        const status = Number(answer.slice(9, 12));
        answer = "";
        const settled = waiting;
        waiting = null;
        settled?.resolve(status);
      },
      close: () => waiting?.reject(new Error("the connection was closed")),
      error: (_, error) => waiting?.reject(error),
    },
  });
  return {
    post(path, json) {
      waiting = Promise.withResolvers<number>();
      socket.write(
        `POST ${path} HTTP/1.1\r\nhost: 127.0.0.1:${port}\r\ncontent-type: application/json\r\ncontent-length: ${Buffer.byteLength(json)}\r\n\r\n${json}`,
      );
      return waiting.promise;
    },
    close: () => void socket.end(),
  };
}
