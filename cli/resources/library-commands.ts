/** Commands whose answers are files: exports of sessions, images. */
import { type Command, Option } from "commander";
import type { CommandTools } from "./commands.ts";
import type { SessionExportFlags } from "./session-export.ts";

/** @param sessions  the command `sessions`, which gets `export` */
export function addSessionExport(sessions: Command, { start, client }: CommandTools): void {
  client(sessions, "export", "print a session as a file, or write several into a folder")
    .argument("<ids...>", "id of the session")
    .addOption(
      new Option("--format <format>", "one message a line, or one trajectory document (ATIF 1.7)")
        .choices(["jsonl", "atif"])
        .default("jsonl"),
    )
    .option("-d, --directory <path>", "write one file each into it; a long trajectory becomes several")
    .option("--verbose", "print the calls of the API to stderr")
    .addHelpText(
      "after",
      "\nExamples:\n  everruns sessions export session_0198… | jq -r .role\n" +
        "  everruns sessions export $(everruns sessions -o id) --format atif -d trajectories",
    )
    .action((ids: string[], flags: SessionExportFlags) =>
      start(async (context) => (await import("./session-export.ts")).exportSessions(context, ids, flags)),
    );
}

/** @param images  the command `images`, which gets two verbs more */
export function addImageCommands(images: Command, { start, client }: CommandTools): void {
  client(images, "upload", "store images, and print their ids")
    .argument("<files...>", "PNG, JPEG, GIF or WebP")
    .option("-s, --session <id>", "removed with this session; without it, it stays until it is deleted")
    .option("--verbose", "print the calls of the API to stderr")
    .addHelpText("after", "\nExamples:\n  everruns images upload plan.png")
    .action((files: string[], flags) =>
      start(
        async (context) => void (await (await import("./images.ts")).uploadImages(context, files, flags)),
      ),
    );
  client(images, "download", "print an image, byte by byte")
    .argument("<id>", "id")
    .option("-f, --file <path>", "write it there instead")
    .option("--verbose", "print the calls of the API to stderr")
    .addHelpText("after", "\nExamples:\n  everruns images download img_0198… -f plan.png")
    .action((id: string, flags) =>
      start(async (context) => void (await (await import("./images.ts")).downloadImage(context, id, flags))),
    );
}
