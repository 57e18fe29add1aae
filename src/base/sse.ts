/**
 * Server-Sent Events, both directions, in one file: the server encodes with it, the client decodes with it and
 * the tests prove decode(encode(x)) = x. Source: WHATWG HTML, section 9.2 "Server-sent events".
 */
export interface SseFrame {
  /** Event name; "message" when the stream named none. */
  event: string;
  data: string;
  /** The frame's own id, or null when it carried none. */
  id: string | null;
  /** Reconnection time in milliseconds, or null. */
  retry: number | null;
}

/** One frame as text. Refuses line breaks in `event` and `id`: they would let data pose as another field. */
export function encodeSseFrame(frame: { event: string; data: string; id?: string; retry?: number }): string {
  if (/[\r\n]/.test(frame.event) || /[\r\n\0]/.test(frame.id ?? "")) {
    throw new Error("line break in the event name or id of a server-sent event");
  }
  let text = `event: ${frame.event}\n`;
  if (frame.id !== undefined) text += `id: ${frame.id}\n`;
  if (frame.retry !== undefined) text += `retry: ${frame.retry}\n`;
  for (const line of frame.data.split(/\r\n|\r|\n/)) text += `data: ${line}\n`;
  return `${text}\n`;
}

export const SSE_HEARTBEAT = ": heartbeat\n\n";

/**
 * Folds chunks of text into frames. Keeps what is incomplete for the next chunk; a frame without data is not
 * dispatched, comments are passed over. `feed` returns the frames that the chunk completed.
 */
export function createSseDecoder(): { feed(chunk: string): SseFrame[] } {
  let rest = "";
  let isFirst = true;
  let event = "";
  let data: string[] = [];
  let id: string | null = null;
  let retry: number | null = null;

  const takeLine = (line: string, frames: SseFrame[]) => {
    if (line === "") {
      if (data.length > 0) frames.push({ event: event || "message", data: data.join("\n"), id, retry });
      event = "";
      data = [];
      id = null;
      retry = null;
      return;
    }
    const colon = line.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? line : line.slice(0, colon);
    const raw = colon < 0 ? "" : line.slice(colon + 1);
    const value = raw.startsWith(" ") ? raw.slice(1) : raw;
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^[0-9]+$/.test(value)) retry = Number(value);
  };

  return {
    feed(chunk) {
      const frames: SseFrame[] = [];
      rest += isFirst && chunk.startsWith("\uFEFF") ? chunk.slice(1) : chunk;
      if (chunk !== "") isFirst = false;
      let start = 0;
      for (;;) {
        const at = nextBreak(rest, start);
        if (at < 0) break;
        takeLine(rest.slice(start, at), frames);
        start = rest[at] === "\r" && rest[at + 1] === "\n" ? at + 2 : at + 1;
      }
      rest = rest.slice(start);
      return frames;
    },
  };
}

/** Index of the next line break, or -1. A final CR is held back: its LF may come with the next chunk. */
function nextBreak(text: string, from: number): number {
  for (let at = from; at < text.length; at += 1) {
    if (text[at] === "\n") return at;
    if (text[at] === "\r") return at + 1 < text.length ? at : -1;
  }
  return -1;
}
