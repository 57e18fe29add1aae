/** What passes between a process and its child: JSON and, behind it, bytes. The length of the JSON comes first. */

const LENGTH_BYTES = 4;

export function packMessage<T>(head: T, bytes: Uint8Array | null): Uint8Array {
  const json = new TextEncoder().encode(JSON.stringify(head));
  const length = new Uint8Array(LENGTH_BYTES);
  new DataView(length.buffer).setUint32(0, json.length);
  return Buffer.concat([length, json, bytes ?? new Uint8Array(0)]);
}

/** @throws Error the message is cut off */
export function unpackMessage<T>(message: Uint8Array): { head: T; bytes: Uint8Array } {
  if (message.length < LENGTH_BYTES) throw new Error("no message");
  const view = new DataView(message.buffer, message.byteOffset, message.byteLength);
  const end = LENGTH_BYTES + view.getUint32(0);
  if (end > message.length) throw new Error("the message is cut off");
  const head = JSON.parse(new TextDecoder().decode(message.subarray(LENGTH_BYTES, end))) as T;
  return { head, bytes: message.subarray(end) };
}
