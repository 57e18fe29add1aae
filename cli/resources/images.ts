/** `everruns images upload|download`: the bytes of stored images. */
import { basename } from "node:path";
import type { ImageUploadResponse } from "../../src/contract/image.ts";
import { type CommandContext, UsageError } from "../action.ts";
import { clientOf } from "../api.ts";
import { progressBar } from "../progress.ts";
import { readBytes } from "./input.ts";
import { writeOutput } from "./write-files.ts";

interface ImageFlags {
  apiUrl?: string;
  verbose?: boolean;
}

export async function uploadImages(
  context: CommandContext,
  files: readonly string[],
  flags: ImageFlags & { session?: string },
): Promise<void> {
  const client = clientOf(context, flags);
  const bar = progressBar(context.err, { total: files.length, what: "images" });
  try {
    for (const path of files) {
      const form = new FormData();
      form.set(
        "file",
        new File([new Uint8Array(await readBytes(path))], path === "-" ? "stdin" : basename(path)),
      );
      const { id } = await client.request<ImageUploadResponse>("POST", "/images", {
        query: { session_id: flags.session },
        body: form,
      });
      bar.around(() => context.out.line(id));
      bar.step();
    }
  } finally {
    bar.end();
  }
}

/** To stdout byte by byte, or into a file. */
export async function downloadImage(
  context: CommandContext,
  id: string,
  flags: ImageFlags & { file?: string },
): Promise<void> {
  if (flags.file === undefined && context.out.isTty) {
    throw new UsageError("an image on a terminal is noise: give a file with -f, or send it into a pipe");
  }
  const bytes = await clientOf(context, flags).requestBytes("GET", `/images/${encodeURIComponent(id)}`);
  if (flags.file !== undefined) writeOutput(flags.file, bytes);
  else process.stdout.write(bytes);
}
