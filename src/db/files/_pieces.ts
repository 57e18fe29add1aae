/** Bytes of a row as a stream: a piece is read when it is asked for, so that a slow reader holds one in memory. */
const PIECE_BYTES = 1024 * 1024;

/**
 * @param read  the bytes from an offset (0 is the first) on, at most as many as named; null or none: they are gone,
 *              and the stream breaks off
 */
export function streamPieces(
  sizeBytes: number,
  read: (offset: number, bytesMax: number) => Promise<Uint8Array | null>,
): ReadableStream<Uint8Array> {
  let offset = 0;
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        if (offset >= sizeBytes) return controller.close();
        const piece = await read(offset, PIECE_BYTES);
        if (piece === null || piece.length === 0)
          throw new Error("the bytes were changed while they were sent");
        offset += piece.length;
        controller.enqueue(piece);
        if (offset >= sizeBytes) controller.close();
      },
    },
    { highWaterMark: 1 },
  );
}
