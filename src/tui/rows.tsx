/**
 * Lines, one below the other, each a text of its own. Ink keeps the thousands of texts that it measured and wrapped
 * last: as one text, every frame of a live screen would be among them, and the memory would grow for hours by megabytes.
 */
import { Box, Text } from "ink";

/** @param isCut  lines that are too wide end at the edge; else they go on below */
export function Rows({ lines, isCut = false }: { lines: readonly string[]; isCut?: boolean }) {
  return (
    <Box flexDirection="column">
      {lines.map((line, at) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: a line is nothing but its place
        <Text key={at} wrap={isCut ? "truncate" : "wrap"}>
          {line === "" ? " " : line}
        </Text>
      ))}
    </Box>
  );
}
