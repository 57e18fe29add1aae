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

// CSI …, then OSC/DCS/APC/PM/SOS … up to their end or the end of the line, then two-character escapes.
const ESCAPE_SEQUENCES =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
  /(?:\u001b\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\u001b[\]PX^_]|[\u009d\u0090\u0098\u009e\u009f])[^\u0007\u001b\u009c\n]*(?:\u0007|\u001b\\|\u009c)?|\u001b[ -/]*[0-~]/g;
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what this is about
const CONTROLS = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/g;
