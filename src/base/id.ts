/**
 * Ids: `prefix_<32 lowercase hex of a UUIDv7>`, so that they sort by time of creation.
 *
 * Event ids carry one thing more. Their last ten hex digits are the event's sequence in its session, which the
 * database fills in when it assigns the sequence: a reader's cursor can therefore be read from the id alone,
 * even after the event itself (a pruned delta) is gone, and no index on event ids is needed.
 */
const SEQUENCE_DIGITS = 10;

export function newId<P extends string>(prefix: P): `${P}_${string}` {
  return `${prefix}_${uuidv7Hex()}`;
}

/** The part of an event id that is known before its sequence is: `event_` and 22 hex digits. */
export function newEventIdHead(): string {
  return `event_${uuidv7Hex().slice(0, 32 - SEQUENCE_DIGITS)}`;
}

/** The sequence inside an event id, or null when the text is not an event id. */
export function sequenceOfEventId(id: string): number | null {
  if (!isId("event", id)) return null;
  return Number.parseInt(id.slice(-SEQUENCE_DIGITS), 16);
}

export function isId(prefix: string, text: string): boolean {
  return (
    text.length === prefix.length + 33 &&
    text.startsWith(`${prefix}_`) &&
    /^[0-9a-f]{32}$/.test(text.slice(-32))
  );
}

/** The UUID spelling (8-4-4-4-12) of the hex part of an id; file entries show plain UUIDs on the wire. */
export function uuidOf(id: string): string {
  const hex = id.slice(-32);
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}

function uuidv7Hex(): string {
  return Bun.randomUUIDv7("hex").replaceAll("-", "");
}
