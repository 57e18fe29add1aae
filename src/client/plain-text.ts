/**
 * Text that came from a model, a tool or a file, made safe to show on a terminal: without the control sequences
 * that could move the cursor, set the title, write the clipboard or hide what is on the screen, and without the
 * marks that turn the direction of writing around. Line breaks stay; tabs become two spaces, whose width is known.
 */
export function plainText(text: string): string {
  return text
    .replace(/\r\n?/g, "\n")
    .replace(/\t/g, "  ")
    .replace(ESCAPE_SEQUENCES, "")
    .replace(CONTROLS, "");
}

// CSI …, OSC/DCS/APC/PM/SOS … up to their end or the end of the line, and two-character escapes.
const ESCAPE_SEQUENCES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  /[\u001b\u009b](?:\[[0-?]*[ -/]*[@-~]|[\]PX^_][^\u0007\u001b\n]*(?:\u0007|\u001b\\)?|[ -/]*[0-~])/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
